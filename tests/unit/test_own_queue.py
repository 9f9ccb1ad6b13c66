"""A queue that the processor makes for itself: why it is not consumed is named, and one that is gone is made again."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from manman.errors import Unavailable
from manman.events import topology
from manman.events.bus import QueueMissing, Topology
from manman.processor.backoff import Backoff
from manman.processor.own_queue import OwnQueue

QUEUES = topology.processor_base("beats")


class Broken:
    """A bus on which each of `faults` happens once: None is a step that ends well."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.declared: list[Topology] = []
        self.stop = asyncio.Event()
        self.notes: list[str | None] = []
        self.queue = OwnQueue(self, "beats", 10, QUEUES, Backoff(os.urandom, first=0.0))  # type: ignore[arg-type]

    async def declare(self, wanted: Topology, *, lasting: bool) -> None:
        assert not lasting
        self.declared.append(wanted)

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Any]:
        assert (queue, prefetch) == ("beats", 10)
        yield None

    async def step(self, _: Any) -> None:
        self.notes.append(self.queue.paused)
        if not self.faults:
            self.stop.set()
        elif (fault := self.faults.pop(0)) is not None:
            raise fault

    async def run(self) -> list[tuple[str, str]]:
        """Until nothing more happens; the lines that are told, with their levels."""
        with structlog.testing.capture_logs() as lines:
            await self.queue.consume(self.step, self.stop)
        return [(line["log_level"], line["event"]) for line in lines]


async def test_a_queue_that_is_gone_is_told_once_and_made_again() -> None:
    bus = Broken(None, QueueMissing("it was deleted"), None)
    assert await bus.run() == [("warning", "queue_missing"), ("info", "queue_made_again")]
    assert bus.declared == [QUEUES]
    assert bus.notes == [None, None, "beats: it was deleted", None]


@pytest.mark.parametrize(
    ("fault", "line"),
    [(Unavailable("the broker is away"), ("debug", "loop_waits")), (KeyError("a bug"), ("error", "loop_failed"))],
)
async def test_whatever_else_fails_is_noted_until_a_step_ends_well(fault: Exception, line: tuple[str, str]) -> None:
    bus = Broken(fault, None)
    assert await bus.run() == [line]
    assert bus.declared == []
    assert bus.notes == [None, f"beats: {fault}", None]
