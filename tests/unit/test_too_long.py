"""What takes longer than the database allows is no outage: a batch is split for it, and the one alone waits with its host."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import pytest

from manman.errors import Unavailable
from manman.events.bus import Delivery
from manman.processor.consumer import SLOW_MOST, SLOW_TRIES, EventConsumer
from manman.processor.marks import Mark
from manman.processor.world import Arrived
from manman.store.bounds import TooLong

SLOW = 3


def said_by(host: int, tag: int) -> Delivery:
    key = f"status.session.stopping.{host}"
    return Delivery(
        tag=tag, exchange="manman", key=key, body=b'{"session_id":%d}' % tag, headers={"host": str(host)}, message_id=f"m{tag}"
    )  # fmt: skip


class Ways:
    """A database for which host 3 is `slow`, or all there is `busy` times; `tried` are the sizes of batches."""

    def __init__(self, *, slow: bool = False, busy: int = 0, error: Unavailable | None = None) -> None:
        self.slow, self.busy, self.error = slow, busy, error or TooLong("idle in transaction")
        self.tried, self.applied, self.condemned = list[int](), list[str](), list[str]()

    async def apply(self, batch: list[Arrived], _erase: Collection[str]) -> dict[str, int]:
        self.tried.append(len(batch))
        self.busy -= 1
        if self.busy >= 0 or (self.slow and any(one.host_id == SLOW for one in batch)):
            raise self.error
        self.applied += [one.key for one in batch]
        return {}

    async def condemn(self, arrived: Arrived, *_: Any) -> None:
        self.condemned.append(arrived.key)


class Backoff:
    def reset(self) -> None: ...

    async def wait(self, _stop: asyncio.Event) -> None: ...


class Channel:
    """Delivers once; `acked` are the tags that were settled."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self.waiting, self.acked = list(deliveries), list[int]()

    async def get_batch(self, *_: Any) -> list[Delivery]:
        waiting, self.waiting = self.waiting, []
        return waiting

    async def ack_many(self, deliveries: Collection[Delivery]) -> None:
        self.acked += [delivery.tag for delivery in deliveries]


def consuming(ways: Ways, clock: list[float], *hosts: int) -> tuple[EventConsumer, Channel]:
    anything: Any = Backoff()
    consumer = EventConsumer(
        bus=type("Bus", (), {"user_id": "control"})(),
        queue="events",
        prefetch=500,
        batch_max=500,
        ways=ways,  # type: ignore[arg-type]
        backoff=anything,
        loop_time=lambda: clock[0],
    )
    return consumer, Channel([said_by(host, tag) for tag, host in enumerate(hosts, 1)])


async def test_the_hosts_beside_one_that_takes_too_long_go_on_and_it_is_tried_until_it_does_not() -> None:
    ways, clock = Ways(slow=True), [0.0]
    consumer, channel = consuming(ways, clock, 1, 2, SLOW, 4, SLOW, 5)
    await consumer.step(channel)  # type: ignore[arg-type]
    assert ways.tried[: SLOW_TRIES + 1] == [6, 6, 6, 3]
    assert channel.acked == [1, 2, 4, 6]
    assert list(consumer.held) == [SLOW] and consumer.paused is None
    for _ in range(12):
        clock[0] = consumer.held[SLOW].again_at  # type: ignore[index]
        await consumer.step(channel)  # type: ignore[arg-type]
    ways.slow = False
    clock[0] = consumer.held[SLOW].again_at  # type: ignore[index]
    await consumer.step(channel)  # type: ignore[arg-type]
    assert channel.acked == [1, 2, 4, 6, 3, 5] and not consumer.held
    assert not ways.condemned


async def test_who_fills_half_of_what_the_broker_hands_out_is_named_until_it_goes_on() -> None:
    ways, clock = Ways(slow=True), [0.0]
    consumer, channel = consuming(ways, clock, *([SLOW] * 250), 1)
    await consumer.step(channel)  # type: ignore[arg-type]
    assert consumer.held_up is None
    channel.waiting = [said_by(SLOW, 900)]
    await consumer.step(channel)  # type: ignore[arg-type]
    assert consumer.held_up == f"251 messages of host {SLOW} wait: TooLong: idle in transaction"
    ways.slow = False
    clock[0] = consumer.held[SLOW].again_at  # type: ignore[index]
    ways.tried.clear()
    await consumer.step(channel)  # type: ignore[arg-type]
    assert consumer.held_up is None and len(channel.acked) == 252
    assert ways.tried == [1, 250], "what waited goes together once the first is done"


async def test_a_batch_that_takes_too_long_once_or_twice_stays_whole() -> None:
    ways = Ways(busy=SLOW_TRIES - 1)
    consumer, channel = consuming(ways, [0.0], 1, 2, 3)
    await consumer.step(channel)  # type: ignore[arg-type]
    assert (ways.tried, channel.acked) == ([3] * SLOW_TRIES, [1, 2, 3])


async def test_a_batch_waits_whole_for_a_database_that_is_away() -> None:
    ways = Ways(busy=20, error=Unavailable("away"))
    consumer, channel = consuming(ways, [0.0], 1, 2, 3)
    await consumer.step(channel)  # type: ignore[arg-type]
    assert (ways.tried, channel.acked) == ([3] * 21, [1, 2, 3])


@pytest.mark.parametrize("waits", ["nobody", "a mark", "half of the prefetch"])
async def test_what_takes_too_long_gives_way_to_whoever_waits_behind_it(waits: str) -> None:
    ways, clock = Ways(slow=True), [0.0]
    consumer, channel = consuming(ways, clock, SLOW, *([SLOW] * 250 if waits == "half of the prefetch" else []))
    noted: list[Mark] = []

    async def ended(mark: Mark) -> None:
        noted.append(mark)

    mark = Mark(generation=1, partition=0, mark=2)
    if waits == "a mark":
        consumer.ended = ended
        body = msgspec.json.encode(mark)
        channel.waiting.append(Delivery(tag=2, exchange="", key="events", body=body, headers={}, user_id="control"))
    await consumer.step(channel)  # type: ignore[arg-type]
    for _ in range(SLOW_MOST - 1):
        assert not ways.condemned
        clock[0] = consumer.held[SLOW].again_at  # type: ignore[index]
        await consumer.step(channel)  # type: ignore[arg-type]
    assert ways.condemned == ([] if waits == "nobody" else [f"status.session.stopping.{SLOW}"])
    assert noted == ([mark] if waits == "a mark" else [])
    assert bool(consumer.held) == (waits != "a mark")


async def test_a_bug_behind_what_takes_too_long_is_a_bug_and_no_outage() -> None:
    class Buggy(Ways):
        async def apply(self, batch: list[Arrived], erase: Collection[str]) -> dict[str, int]:
            assert len(self.tried) < 100, "it is tried again and again"
            done = await super().apply(batch, erase)
            if any(one.host_id == 4 for one in batch):
                raise RuntimeError("a bug")
            return done

    ways, clock = Buggy(busy=SLOW_TRIES), [0.0]
    consumer, channel = consuming(ways, clock, 1, 2, 4, 5)
    await consumer.step(channel)  # type: ignore[arg-type]
    assert list(consumer.held) == [4] and channel.acked == [1, 2, 4]
    while consumer.held:
        clock[0] = consumer.held[4].again_at  # type: ignore[index]
        await consumer.step(channel)  # type: ignore[arg-type]
    assert ways.condemned == ["status.session.stopping.4"]
