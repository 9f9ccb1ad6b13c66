"""When a batch waits for more: of a steady stream, and never a lone message."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from manman.events.bus import Delivery
from manman.processor.consumer import EventConsumer

LINGER = timedelta(milliseconds=2)


class Queue:
    """Gives so many messages at a time, and notes how long it was asked to wait for more."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes, self.lingers = list(sizes), list[timedelta]()

    async def get_batch(self, most: int, linger: timedelta, wait: timedelta) -> list[Delivery]:
        self.lingers.append(linger)
        made = Delivery(tag=1, exchange="manman", key="status.session.stopping", body=b'{"session_id":7}', headers={})
        return [made] * self.sizes.pop(0)

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        pass


class Ways:
    async def apply(self, batch: Sequence[Any], erase: Any) -> dict[str, int]:
        return {}


async def lingers(sizes: Sequence[int]) -> list[timedelta]:
    anything: Any = None
    consumer = EventConsumer(
        bus=type("Bus", (), {"user_id": "control"})(),  # type: ignore[arg-type]
        queue="events",
        prefetch=500,
        batch_max=500,
        ways=Ways(),  # type: ignore[arg-type]
        backoff=type("Backoff", (), {"reset": lambda self: anything})(),  # type: ignore[arg-type]
        loop_time=asyncio.get_running_loop().time,
        linger=LINGER,
    )
    queue: Any = Queue(sizes)
    for _ in sizes:
        await consumer.step(queue)
    return list(queue.lingers)


async def test_what_follows_several_waits_for_more_and_what_follows_one_or_nothing_does_not() -> None:
    at_once = timedelta(0)
    assert await lingers([1, 1, 3, 2, 1, 0, 1]) == [at_once, at_once, at_once, LINGER, LINGER, at_once, at_once]
