"""What a bus does when what it stands on is stopped, killed, started again."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from contract.places import Place, child, line_of
from harness import Postgres, RabbitMQ
from harness.proxy import Proxy

from manman.errors import OutOfReach, Unavailable
from manman.events import topics
from manman.events.bus import Binding, Bus, Delivery, Kind, Outcome, Outgoing, Queue, QueueLocked, Topology

SOON = timedelta(seconds=60)  # generous: a wait that ends by an event, never by this


@dataclass
class Ground:
    """A service that this test alone uses, with a bus's place on it."""

    place: Place
    kill: Callable[[], None]
    start: Callable[[], None]
    restart: Callable[[], None]


@pytest.fixture(params=["rabbitmq", "postgresql"])
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    if request.param == "rabbitmq":
        broker: RabbitMQ = request.getfixturevalue("own_rabbitmq")
        yield Ground(Place("rabbitmq", broker.url()), broker.kill, broker.start, broker.restart)
        return
    from manman.store import migrate

    server: Postgres = request.getfixturevalue("own_postgres")
    await migrate.up(server.url())
    yield Ground(Place("postgresql", server.url()), server.kill, server.start, server.restart)


@pytest.fixture
def word() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def bound(queue: Queue, pattern: str) -> Topology:
    binding = Binding(queue=queue.name, exchange=topics.INTERNAL, pattern=pattern)
    return Topology(exchanges=(topics.INTERNAL,), queues=(queue,), bindings=(binding,))


def says(key: str, body: object) -> Outgoing:
    return Outgoing(exchange=topics.INTERNAL, key=key, body=str(body).encode())


async def surely(bus: Bus, message: Outgoing) -> int:
    """Publishes until confirmed, as a relay does; how often it had to repeat."""
    repeats = 0
    async with asyncio.timeout(SOON.total_seconds()):
        while True:
            try:
                if await bus.publish([message]) == [Outcome.CONFIRMED]:
                    return repeats
            except Unavailable:
                pass
            repeats += 1
            await asyncio.sleep(0.1)


async def all_of(bus: Bus, queue: str, count: int) -> list[str]:
    """Reads until `count` different bodies were seen, over however many channels; first sights, in order."""
    seen: dict[str, None] = {}
    async with asyncio.timeout(SOON.total_seconds()):
        while len(seen) < count:
            try:
                async with bus.consume(queue, 100) as consumer:
                    while len(seen) < count:
                        batch: list[Delivery] = await consumer.get_batch(100)
                        seen.update(dict.fromkeys(delivery.body.decode() for delivery in batch))
                        await consumer.ack(batch[-1])
            except Unavailable:
                continue
    return list(seen)


async def test_after_a_kill_it_reconnects_declares_again_and_has_lost_nothing(ground: Ground, word: str) -> None:
    kept = Queue(name=word, single_active_consumer=True)
    lock = Queue(name=f"{word}.lock", kind=Kind.EXCLUSIVE)
    async with ground.place.bus(bound(kept, f"{word}.#")):
        pass
    # A quorum queue that is younger than the broker's last write of its own tables may come back without a leader.
    await asyncio.to_thread(ground.restart)
    async with ground.place.bus(bound(kept, f"{word}.#") + bound(lock, f"{word}.lock")) as bus:
        for n in range(10):
            await surely(bus, says(f"{word}.x", n))
        reading = asyncio.ensure_future(all_of(bus, word, 30))
        sending = asyncio.ensure_future(send_all(bus, word, range(10, 30)))
        await asyncio.to_thread(ground.kill)
        with pytest.raises(Unavailable):
            while True:
                await bus.publish([says("nobody.wants", 0)])
        async with asyncio.timeout(SOON.total_seconds()):
            while bus.trouble is None:  # noqa: ASYNC110 - whether it is connected is looked at, not waited for
                await asyncio.sleep(0.05)
        assert not bus.connected
        await asyncio.to_thread(ground.start)
        await sending
        assert await reading == [str(n) for n in range(30)]
        await asyncio.wait_for(bus.wait_connected(), SOON.total_seconds())
        assert bus.trouble is None
        assert (await bus.depth(lock.name)).ready == 0, "the exclusive queue is there again"


async def send_all(bus: Bus, word: str, numbers: range) -> None:
    for n in numbers:
        await surely(bus, says(f"{word}.x", n))


async def test_a_consumer_s_wait_ends_with_the_connection(ground: Ground, word: str) -> None:
    async with ground.place.bus(bound(Queue(name=word), f"{word}.#")) as bus:
        with pytest.raises(Unavailable):
            async with bus.consume(word, 5) as consumer:
                waiting = asyncio.ensure_future(consumer.get_batch(5))
                await asyncio.to_thread(ground.kill)
                await asyncio.wait_for(waiting, SOON.total_seconds())


async def test_out_of_reach_at_start_is_one_line_that_names_the_setting(ground: Ground) -> None:
    await asyncio.to_thread(ground.kill)
    with pytest.raises(OutOfReach, match=r"RABBITMQ_URL|DATABASE_URL") as refused:
        await ground.place.connect(patience=timedelta(seconds=1))
    assert "\n" not in str(refused.value)


async def test_with_endless_patience_it_comes_up_when_the_ground_does(ground: Ground, word: str) -> None:
    await asyncio.to_thread(ground.kill)
    bus = await ground.place.connect(bound(Queue(name=word), f"{word}.#"), patience=None)
    try:
        assert not bus.connected
        await asyncio.to_thread(ground.start)
        await asyncio.wait_for(bus.wait_connected(), SOON.total_seconds())
        assert await bus.publish([says(f"{word}.x", 1)]) == [Outcome.CONFIRMED]
    finally:
        await bus.close()


async def test_a_bus_that_lost_its_exclusive_queue_to_another_has_it_again_when_that_one_goes(
    place: Place, word: str
) -> None:
    mine = Topology(queues=(Queue(name=word, kind=Kind.EXCLUSIVE),))
    proxy = await Proxy(target=urlsplit(place.url).port or 0).open()
    by_proxy = Place(place.kind, place.url.replace(f":{proxy.target}/", f":{proxy.port}/"))
    try:
        async with asyncio.timeout(SOON.total_seconds()), by_proxy.bus() as bus:
            await bus.declare(mine)
            proxy.cut()
            async with place.bus() as other:
                while True:
                    try:
                        await other.declare(mine)
                        break
                    except QueueLocked:
                        await asyncio.sleep(0.1)
                proxy.heal()
                while not isinstance(bus.trouble, QueueLocked):  # noqa: ASYNC110 - looked at, not waited for
                    await asyncio.sleep(0.05)
                assert not bus.connected
            await bus.wait_connected()
            assert (await bus.depth(word)).ready == 0 and bus.trouble is None
    finally:
        await proxy.close()


async def test_a_bus_closes_though_what_it_stands_on_says_nothing_any_more(place: Place, word: str) -> None:
    port = urlsplit(place.url).port
    proxy = await Proxy(target=port or 0).open()
    try:
        async with asyncio.timeout(SOON.total_seconds()):
            by_proxy = Place(place.kind, place.url.replace(f":{port}/", f":{proxy.port}/"))
            bus = await by_proxy.connect(bound(Queue(name=word), f"{word}.#"))
            async with bus.consume(word, 5) as consumer:
                waiting = asyncio.ensure_future(consumer.get_batch(5))
                await asyncio.sleep(0)
                proxy.hold()
            await bus.close()
            assert bus.closed and not bus.connected
            with pytest.raises(Unavailable):
                await bus.wait_connected()
            proxy.cut()
            with pytest.raises(Unavailable):
                await waiting
    finally:
        await proxy.close()


async def test_a_frozen_consumer_is_replaced_by_the_broker(rabbitmq_url: str, word: str) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    queue = Queue(name=word, single_active_consumer=True)
    async with place.bus(bound(queue, f"{word}.#")) as bus:
        with child(place, "consume", word, "5") as frozen:
            assert await asyncio.to_thread(line_of, frozen) == "consuming"
            async with bus.consume(word, 5) as standby:
                await bus.publish([says(f"{word}.x", n) for n in range(5)])
                assert await asyncio.to_thread(line_of, frozen) == "0 1 2 3 4"
                frozen.send_signal(signal.SIGSTOP)
                got = await standby.get_batch(5, linger=SOON, wait=SOON)
                assert [delivery.body for delivery in got] == [b"0", b"1", b"2", b"3", b"4"]
