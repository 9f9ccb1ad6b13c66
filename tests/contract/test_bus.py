"""What every bus promises, run on RabbitMQ and on PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from contract.places import Place, child, line_of

from manman.errors import Unavailable
from manman.events import topics
from manman.events.bus import (
    Binding,
    Bus,
    Consumer,
    Delivery,
    Kind,
    Outcome,
    Outgoing,
    Overflow,
    Queue,
    QueueDiffers,
    QueueLocked,
    QueueMissing,
    Topology,
)

EXCHANGE = topics.INTERNAL
SECOND = timedelta(seconds=1)
SOON = timedelta(seconds=20)  # generous: a wait that ends by an event, never by this


@pytest.fixture
def word() -> str:
    """A name of this test alone: every test may use the same broker."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def bus(place: Place) -> AsyncIterator[Bus]:
    async with place.bus(Topology(exchanges=(EXCHANGE, topics.EXTERNAL, topics.DEAD_LETTER_EXCHANGE))) as connected:
        yield connected


def bound(queue: Queue, *patterns: str, exchange: str = EXCHANGE) -> Topology:
    bindings = tuple(Binding(queue=queue.name, exchange=exchange, pattern=pattern) for pattern in patterns)
    return Topology(queues=(queue,), bindings=bindings)


def says(key: str, *bodies: object, mandatory: bool = False, ttl: timedelta | None = None) -> list[Outgoing]:
    return [
        Outgoing(exchange=EXCHANGE, key=key, body=str(body).encode(), mandatory=mandatory, ttl=ttl) for body in bodies
    ]


def bodies(batch: Sequence[Delivery]) -> list[str]:
    return [delivery.body.decode() for delivery in batch]


async def get(consumer: Consumer, count: int) -> list[Delivery]:
    """Exactly so many, however many batches it takes."""
    got: list[Delivery] = []
    while len(got) < count:
        batch = await consumer.get_batch(count - len(got), wait=SOON)
        assert batch, f"only {bodies(got)} of {count} arrived"
        got += batch
    return got


async def nothing_more(consumer: Consumer) -> bool:
    return await consumer.get_batch(1, wait=SECOND / 2) == []


async def until_depth(bus: Bus, queue: str, ready: int) -> None:
    async with asyncio.timeout(SOON.total_seconds()):
        while (await bus.depth(queue)).ready != ready:  # noqa: ASYNC110 - a broker tells its depth only when asked
            await asyncio.sleep(0.05)


# ---- publish, consume, settle ------------------------------------------------------------------------------------


async def test_what_was_published_arrives_whole(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    sent = Outgoing(
        exchange=EXCHANGE,
        key=f"{word}.a",
        body="ä\x00\xff".encode("latin1"),
        headers={"cloudEvents:id": "7", "host": "3", "n": 5},
        message_id="the-id",
    )
    assert await bus.publish([sent]) == [Outcome.CONFIRMED]
    async with bus.consume(word, 10) as consumer:
        [got] = await get(consumer, 1)
        assert (got.exchange, got.key, got.body, got.message_id) == (EXCHANGE, sent.key, sent.body, "the-id")
        assert dict(got.headers) == dict(sent.headers)
        assert (got.attempts, got.redelivered, got.user_id) == (0, False, bus.user_id)
        await consumer.ack(got)


async def test_messages_come_in_the_order_they_were_published(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with bus.consume(word, 50) as consumer:
        for first in range(0, 200, 40):
            await bus.publish(says(f"{word}.x", *range(first, first + 40)))
        seen: list[str] = []
        while len(seen) < 200:
            batch = await consumer.get_batch(30, wait=SOON)
            seen += bodies(batch)
            await consumer.ack(batch[-1])
    assert seen == [str(n) for n in range(200)]


async def test_what_is_published_apart_arrives_as_anything_else_and_may_be_said_any_number_of_times(
    bus: Bus, word: str
) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    lost = Outgoing(exchange=EXCHANGE, key=f"nobody.{word}", body=b"", mandatory=True)
    for first in range(0, 60, 3):
        batch = [*says(f"{word}.x", *range(first, first + 3)), lost]
        assert await bus.publish(batch, apart=True, patience=SOON) == [Outcome.CONFIRMED] * 3 + [Outcome.UNROUTABLE]
    async with bus.consume(word, 100) as consumer:
        assert bodies(await get(consumer, 60)) == [str(n) for n in range(60)]


async def test_one_ack_settles_all_before_it_and_nothing_after(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    await bus.publish(says(f"{word}.x", *range(6)))
    async with bus.consume(word, 10) as consumer:
        got = await get(consumer, 6)
        await consumer.ack(got[3])
    async with bus.consume(word, 10) as consumer:
        assert bodies(await get(consumer, 2)) == ["4", "5"]
        assert await nothing_more(consumer)


async def test_some_may_be_settled_and_the_others_return_in_order(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    await bus.publish(says(f"{word}.x", *range(6)))
    async with bus.consume(word, 10) as consumer:
        got = await get(consumer, 6)
        await consumer.ack_many([got[0], got[1], got[4]])
    async with bus.consume(word, 10) as consumer:
        assert bodies(await get(consumer, 3)) == ["2", "3", "5"]


async def test_prefetch_bounds_what_is_unacked(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    await bus.publish(says(f"{word}.x", *range(5)))
    async with bus.consume(word, 2) as consumer:
        first = await get(consumer, 2)
        assert await nothing_more(consumer)
        await consumer.ack(first[-1])
        assert bodies(await get(consumer, 2)) == ["2", "3"]


async def test_a_lone_message_does_not_wait_for_company(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with bus.consume(word, 10) as consumer:
        await bus.publish(says(f"{word}.x", 1))
        assert bodies(await consumer.get_batch(10, wait=SOON)) == ["1"]


async def test_a_linger_gathers_a_batch(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with bus.consume(word, 10) as consumer:
        waiting = asyncio.ensure_future(consumer.get_batch(3, linger=SOON))
        for n in range(3):
            await bus.publish(says(f"{word}.x", n))
        assert bodies(await waiting) == ["0", "1", "2"]


async def test_a_cancelled_wait_loses_nothing(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with bus.consume(word, 100) as consumer:
        seen: list[str] = []
        for n in range(30):
            waiting = asyncio.ensure_future(consumer.get_batch(100))
            await bus.publish(says(f"{word}.x", n))
            waiting.cancel()
            done = await asyncio.gather(waiting, return_exceptions=True)
            seen += [text for batch in done if isinstance(batch, list) for text in bodies(batch)]
        seen += bodies(await get(consumer, 30 - len(seen)))
    assert seen == [str(n) for n in range(30)]


# ---- return --------------------------------------------------------------------------------------------------------


async def test_closing_returns_what_is_unacked_before_what_waits_and_counts_it(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, single_active_consumer=True), f"{word}.#"))
    await bus.publish(says(f"{word}.x", *range(16)))
    async with bus.consume(word, 8) as consumer:
        await get(consumer, 8)
    async with bus.consume(word, 8) as consumer:
        got = await get(consumer, 8)
        assert bodies(got) == [str(n) for n in range(8)]
        assert [delivery.attempts for delivery in got] == [1] * 8
        assert all(delivery.redelivered for delivery in got)
        await consumer.ack(got[-1])
        later = await get(consumer, 8)
        assert bodies(later) == [str(n) for n in range(8, 16)]
        assert [delivery.attempts for delivery in later] == [0] * 8


async def test_attempts_are_counted_over_every_return(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    await bus.publish(says(f"{word}.x", "poison"))
    for attempt in range(7):
        async with bus.consume(word, 5) as consumer:
            [got] = await get(consumer, 1)
            assert got.attempts == attempt


async def test_a_killed_consumer_s_messages_return_in_order(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, single_active_consumer=True), f"{word}.#"))
    await bus.publish(says(f"{word}.x", *range(20)))
    with child(place, "consume", word, "10") as victim:
        assert await asyncio.to_thread(line_of, victim) == "consuming"
        assert await asyncio.to_thread(line_of, victim) == " ".join(map(str, range(10)))
        victim.kill()
        async with bus.consume(word, 10) as consumer:
            got = await get(consumer, 10)
            assert bodies(got) == [str(n) for n in range(10)]
            assert {delivery.attempts for delivery in got} == {1}
            await consumer.ack(got[-1])
            assert bodies(await get(consumer, 10)) == [str(n) for n in range(10, 20)]


async def test_nothing_that_a_killed_publisher_saw_confirmed_is_lost(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    with child(place, "publish", f"{word}.x", "100000") as victim:
        confirmed: list[str] = []
        while len(confirmed) < 50:
            n, outcome = (await asyncio.to_thread(line_of, victim)).split()
            assert outcome == "confirmed"
            confirmed.append(n)
        victim.kill()
    async with bus.consume(word, 500) as consumer:
        got = bodies(await get(consumer, len(confirmed)))
    assert got == confirmed


# ---- one active consumer ----------------------------------------------------------------------------------------------


async def test_of_two_consumers_one_is_active_and_the_other_takes_over(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, single_active_consumer=True), f"{word}.#"))
    async with place.bus() as other, bus.consume(word, 10) as first, other.consume(word, 10) as second:
        await bus.publish(says(f"{word}.x", *range(10)))
        got = await get(first, 10)
        assert await nothing_more(second)
        await first.ack(got[4])
        await first.close()
        taken_over = await get(second, 5)
        assert bodies(taken_over) == ["5", "6", "7", "8", "9"]
        await second.ack(taken_over[-1])


async def test_the_next_one_gets_what_was_unacked_before_what_waits(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, single_active_consumer=True), f"{word}.#"))
    async with place.bus() as other, bus.consume(word, 15) as first, other.consume(word, 15) as second:
        await bus.publish(says(f"{word}.x", *range(60)))
        await get(first, 15)
        await first.close()
        seen: list[str] = []
        while len(seen) < 60:
            batch = await get(second, 1)
            seen += bodies(batch)
            await second.ack(batch[-1])
    assert seen == [str(n) for n in range(60)]


async def test_a_killed_active_consumer_is_replaced(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, single_active_consumer=True), f"{word}.#"))
    with child(place, "consume", word, "5") as victim:
        assert await asyncio.to_thread(line_of, victim) == "consuming"
        async with bus.consume(word, 5) as standby:
            await bus.publish(says(f"{word}.x", *range(5)))
            assert await asyncio.to_thread(line_of, victim) == "0 1 2 3 4"
            assert await nothing_more(standby)
            victim.kill()
            assert bodies(await get(standby, 5)) == ["0", "1", "2", "3", "4"]


async def test_without_that_word_consumers_share_the_work(place: Place, bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with place.bus() as other, bus.consume(word, 1) as first, other.consume(word, 1) as second:
        await bus.publish(says(f"{word}.x", 1, 2))
        assert sorted(bodies(await get(first, 1) + await get(second, 1))) == ["1", "2"]


# ---- time to live, bounds, dead letters, unroutable -----------------------------------------------------------------


async def test_a_message_that_waits_longer_than_it_may_goes_to_the_dead_letters(bus: Bus, word: str) -> None:
    buried = Queue(name=f"{word}.buried", kind=Kind.CLASSIC)
    await bus.declare(bound(buried, f"{word}.#", exchange=topics.DEAD_LETTER_EXCHANGE))
    await bus.declare(bound(Queue(name=word, dead_letter_exchange=topics.DEAD_LETTER_EXCHANGE), f"{word}.#"))
    await bus.publish(says(f"{word}.short", "short", ttl=SECOND / 10) + says(f"{word}.long", "long"))
    async with bus.consume(buried.name, 5) as consumer:
        [got] = await get(consumer, 1)
        assert (got.key, got.body) == (f"{word}.short", b"short")
    async with bus.consume(word, 5) as consumer:
        assert bodies(await get(consumer, 1)) == ["long"]
        assert await nothing_more(consumer)


async def test_a_queue_s_own_time_to_live_holds_for_every_message(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, kind=Kind.CLASSIC, ttl=SECOND / 5), f"{word}.#"))
    await bus.publish(says(f"{word}.x", 1, 2, ttl=SOON))
    await until_depth(bus, word, 0)


async def test_a_full_queue_that_rejects_says_so_and_keeps_the_oldest(bus: Bus, word: str) -> None:
    full = Queue(name=word, kind=Kind.CLASSIC, max_length=3, overflow=Overflow.REJECT_PUBLISH)
    await bus.declare(bound(full, f"{word}.#") + bound(Queue(name=f"{word}.other"), f"{word}.#"))
    outcomes = [(await bus.publish(says(f"{word}.x", n)))[0] for n in range(5)]
    assert outcomes == [Outcome.CONFIRMED] * 3 + [Outcome.NACKED] * 2
    async with bus.consume(word, 10) as consumer:
        assert bodies(await get(consumer, 3)) == ["0", "1", "2"]
    await until_depth(
        bus, f"{word}.other", 5
    )  # the healthy queue got every one; a refusal does not wait until it counts it


async def test_a_full_queue_that_drops_keeps_the_newest(bus: Bus, word: str) -> None:
    bounded = Queue(name=word, kind=Kind.CLASSIC, max_length=3, overflow=Overflow.DROP_HEAD)
    await bus.declare(bound(bounded, f"{word}.#"))
    assert set(await bus.publish(says(f"{word}.x", *range(10)))) == {Outcome.CONFIRMED}
    await until_depth(bus, word, 3)
    assert (await bus.depth(word)).dropped in (7, None)
    async with bus.consume(word, 10) as consumer:
        assert bodies(await get(consumer, 3)) == ["7", "8", "9"]


async def test_what_no_queue_wants_is_reported_for_each_message(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.yes"))
    batch = says(f"{word}.no", 1, mandatory=True) + says(f"{word}.yes", 2, mandatory=True) + says(f"{word}.no", 3)
    assert await bus.publish(batch) == [Outcome.UNROUTABLE, Outcome.CONFIRMED, Outcome.CONFIRMED]


async def test_a_rejected_message_goes_to_the_dead_letters(bus: Bus, word: str) -> None:
    buried = Queue(name=f"{word}.buried")
    await bus.declare(bound(buried, f"{word}.#", exchange=topics.DEAD_LETTER_EXCHANGE))
    await bus.declare(bound(Queue(name=word, dead_letter_exchange=topics.DEAD_LETTER_EXCHANGE), f"{word}.#"))
    await bus.publish(says(f"{word}.x", "bad", "good"))
    async with bus.consume(word, 5) as consumer, bus.consume(buried.name, 5) as dead:
        bad, good = await get(consumer, 2)
        await consumer.reject(bad)
        await consumer.ack_many([good])
        assert bodies(await get(dead, 1)) == ["bad"]
    await until_depth(bus, word, 0)


async def test_the_default_exchange_reaches_a_queue_by_its_name(bus: Bus, word: str) -> None:
    await bus.declare(Topology(queues=(Queue(name=word),)))
    assert await bus.publish([Outgoing(exchange="", key=word, body=b"1", mandatory=True)]) == [Outcome.CONFIRMED]
    assert (await bus.depth(word)).ready == 1
    nowhere = Outgoing(exchange="", key=f"{word}.none", body=b"1", mandatory=True)
    assert await bus.publish([nowhere]) == [Outcome.UNROUTABLE]


# ---- queues ---------------------------------------------------------------------------------------------------------


async def test_declaring_again_changes_nothing(bus: Bus, word: str) -> None:
    topology = bound(Queue(name=word, max_length=5, overflow=Overflow.REJECT_PUBLISH), f"{word}.#", f"{word}.a")
    await bus.declare(topology)
    await bus.publish(says(f"{word}.a", 1))
    await bus.declare(topology)
    assert (await bus.depth(word)).ready == 1, "two bindings that match are one copy"


async def test_other_arguments_are_reported_and_the_queue_stays(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, max_length=5), f"{word}.#"))
    await bus.publish(says(f"{word}.a", 1))
    with pytest.raises(QueueDiffers) as differs:
        await bus.declare(bound(Queue(name=word, max_length=6), f"{word}.#"))
    assert word in differs.value.detail
    assert "5" in differs.value.detail and "6" in differs.value.detail
    assert differs.value.hint and word in differs.value.hint
    assert (await bus.depth(word)).ready == 1


async def test_a_queue_that_is_not_there_is_named(bus: Bus, word: str) -> None:
    with pytest.raises(QueueMissing, match=word):
        await bus.depth(word)
    with pytest.raises(QueueMissing, match=word):
        async with bus.consume(word, 5):
            pass
    await bus.delete_queue(word)
    await bus.publish(says(f"{word}.x", 1))


async def test_deleting_a_queue_ends_its_consumer(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    async with bus.consume(word, 5) as consumer:
        await bus.delete_queue(word)
        with pytest.raises((QueueMissing, Unavailable)):
            await consumer.get_batch(1, wait=SOON)


async def test_a_delivery_says_since_when_it_may_be_held(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word), f"{word}.#"))
    now = asyncio.get_running_loop().time
    async with bus.consume(word, 5) as consumer:
        said = now()
        await bus.publish(says(f"{word}.x", 1))
        [one] = await get(consumer, 1)
        assert said - 1 <= one.held_since <= now()
        await consumer.ack(one)
        await bus.publish(says(f"{word}.x", 2))
        [two] = await get(consumer, 1)
        assert one.held_since <= two.held_since <= now()


async def test_an_exclusive_queue_is_a_lock(place: Place, bus: Bus, word: str) -> None:
    mine = Topology(queues=(Queue(name=word, kind=Kind.EXCLUSIVE),))
    await bus.declare(mine)
    async with place.bus() as other:
        with pytest.raises(QueueLocked, match=word):
            await other.declare(mine)
        with pytest.raises(QueueLocked, match=word):
            await other.depth(word)
        await bus.close()
        async with asyncio.timeout(SOON.total_seconds()):
            while True:
                try:
                    await other.declare(mine)
                    break
                except QueueLocked:
                    await asyncio.sleep(0.1)


async def test_an_exclusive_queue_goes_with_its_killed_owner(place: Place, bus: Bus, word: str) -> None:
    with child(place, "own", word) as owner:
        assert await asyncio.to_thread(line_of, owner) == "owning"
        with pytest.raises(QueueLocked):
            await bus.depth(word)
        owner.kill()
        async with asyncio.timeout(SOON.total_seconds()):
            while True:
                try:
                    await bus.depth(word)
                except QueueMissing:
                    break
                except QueueLocked:
                    await asyncio.sleep(0.1)


async def test_an_auto_delete_queue_goes_with_its_consumer(bus: Bus, word: str) -> None:
    await bus.declare(bound(Queue(name=word, kind=Kind.EXCLUSIVE, auto_delete=True), f"{word}.#"))
    async with bus.consume(word, 5) as consumer:
        await bus.publish(says(f"{word}.x", 1))
        assert bodies(await get(consumer, 1)) == ["1"]
    with pytest.raises(QueueMissing):
        await bus.depth(word)


async def test_a_closed_bus_is_unavailable(place: Place, word: str) -> None:
    bus = await place.connect()
    await bus.close()
    await bus.close()
    assert bus.closed and not bus.connected
    with pytest.raises(Unavailable):
        await bus.publish(says(f"{word}.x", 1))
    with pytest.raises(Unavailable):
        await bus.wait_connected()
