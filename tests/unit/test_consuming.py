"""What a consumer takes for a mark, and for how long it is paused."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from manman.errors import Unavailable
from manman.events.bus import Delivery
from manman.processor.consumer import EventConsumer
from manman.processor.marks import Mark
from manman.processor.world import Arrived

MARK = Mark(generation=1, partition=0, mark=2)
BODY = msgspec.json.encode(MARK)


def delivery(exchange: str, body: bytes, tag: int = 1, user: str | None = "control") -> Delivery:
    return Delivery(tag=tag, exchange=exchange, key="events", body=body, headers={}, user_id=user)


class Ways:
    def __init__(self) -> None:
        self.applied: list[Arrived] = []

    async def apply(self, batch: list[Arrived], _erase: Collection[str]) -> dict[str, int]:
        self.applied += batch
        return {}


class Backoff:
    """Waits for no time; `failures` as they are counted until all is well again, `waits` what they were."""

    def __init__(self) -> None:
        self.failures, self.waits = 0, list[int]()

    def reset(self) -> None:
        self.failures = 0

    async def wait(self, _stop: asyncio.Event) -> None:
        self.failures += 1
        self.waits.append(self.failures)
        await asyncio.sleep(0)


class Channel:
    """Delivers once, then nothing; `cut`: it is closed at once. `again`: it was asked a second time, so all of the first is done."""

    def __init__(self, deliveries: Sequence[Delivery] = (), *, cut: bool = False) -> None:
        self.waiting, self.cut, self.acked, self.asked = list(deliveries), cut, list[int](), 0
        self.again = asyncio.Event()

    async def get_batch(self, *_: Any) -> list[Delivery]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.cut:
            raise Unavailable("the channel is closed")
        if self.asked > 1:
            self.again.set()
        waiting, self.waiting = self.waiting, []
        return waiting

    async def ack_many(self, deliveries: Collection[Delivery]) -> None:
        self.acked += [delivery.tag for delivery in deliveries]


class Bus:
    """Gives these channels one after the other; None: the broker is away. The last one stays."""

    user_id = "control"

    def __init__(self, *channels: Channel | None) -> None:
        self.channels = list(channels)

    @asynccontextmanager
    async def consume(self, _queue: str, _prefetch: int) -> AsyncIterator[Channel]:
        channel = self.channels.pop(0)
        if channel is None:
            raise Unavailable("the broker is away")
        yield channel


def consuming(bus: Bus, ways: Ways, **more: Any) -> EventConsumer:
    anything: Any = bus
    backoff: Any = Backoff()
    return EventConsumer(
        bus=anything,
        queue="events",
        prefetch=500,
        batch_max=500,
        ways=ways,  # type: ignore[arg-type]
        backoff=backoff,
        loop_time=lambda: 0.0,
        **more,
    )


@pytest.mark.parametrize(
    ("one", "mark"),
    [
        (delivery("", BODY), MARK),
        (delivery("manman", BODY), None),
        (delivery("", b'{"session_id": 1}'), None),
        (delivery("", b"\xff{"), None),
        (delivery("", BODY, user="host-7"), None),
        (delivery("", BODY, user=None), None),
        (delivery("", BODY[:-1] + b',"session_id":1}'), None),
        (delivery("", BODY.replace(b"2", b"3000000000")), None),
        (delivery("", BODY.replace(b"2", b"-1")), None),
    ],
)
async def test_only_what_reads_as_a_mark_and_came_over_no_exchange_is_one(one: Delivery, mark: Mark | None) -> None:
    met: list[Mark] = []

    async def ended(mark: Mark) -> None:
        met.append(mark)

    ways, channel = Ways(), Channel([one])
    await consuming(Bus(), ways, ended=ended).step(channel)  # type: ignore[arg-type]
    assert channel.acked == [1]
    assert met == ([] if mark is None else [mark])
    assert [arrived.body for arrived in ways.applied] == ([one.body] if mark is None else [])
    assert all(arrived.malformed for arrived in ways.applied)


async def test_consumption_goes_on_as_soon_as_a_channel_works_also_where_nothing_comes() -> None:
    idle = Channel()
    consumer = consuming(Bus(None, None, idle), Ways())
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))
    await idle.again.wait()
    assert consumer.paused is None and consumer.backoff.failures == 0
    stop.set()
    await task


async def test_channels_that_close_as_soon_as_they_are_open_are_waited_for_ever_longer() -> None:
    idle = Channel()
    consumer = consuming(Bus(*(Channel(cut=True) for _ in range(4)), idle), Ways())
    stop = asyncio.Event()
    task = asyncio.create_task(consumer.run(stop))
    await idle.again.wait()
    assert consumer.backoff.waits == [1, 2, 3, 4]  # type: ignore[attr-defined]
    stop.set()
    await task
