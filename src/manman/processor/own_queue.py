"""A queue that the processor makes for itself, consumed until it ends: that of heartbeats, that of expired commands."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from manman.errors import is_transient
from manman.events.bus import Bus, Consumer, QueueMissing, Topology
from manman.observability import get_logger
from manman.processor.backoff import Backoff
from manman.processor.failing import told

log = get_logger(__name__)


@dataclass(slots=True)
class OwnQueue:
    """`topology` is all that the queue needs: one that somebody deleted is declared again. `paused` is for readiness: why nothing is
    consumed now."""

    bus: Bus
    name: str
    prefetch: int
    topology: Topology
    backoff: Backoff
    paused: str | None = None
    missing: bool = False

    async def consume(self, step: Callable[[Consumer], Awaitable[None]], stop: asyncio.Event) -> None:
        """Step until `stop`. What fails is told and waits; the loop never ends by it, and never runs hot."""
        while not stop.is_set():
            try:
                await self._make_again()
                async with self.bus.consume(self.name, self.prefetch) as consumer:
                    while not stop.is_set():
                        await step(consumer)
                        self.paused = None
                        self.backoff.reset()
            except Exception as error:
                self._pause(error)
                await self.backoff.wait(stop)

    async def _make_again(self) -> None:
        if self.missing:
            await self.bus.declare(self.topology, lasting=False)
            self.missing = False
            log.info("queue_made_again", queue=self.name)

    def _pause(self, error: Exception) -> None:
        """An outage is told by who consumes the events; that a queue is gone, by nobody else."""
        self.paused = f"{self.name}: {error}"
        if not is_transient(error):
            log.error("loop_failed", loop=self.name, **told(error))
        elif isinstance(error, QueueMissing):
            self.missing = True
            log.warning("queue_missing", queue=self.name, reason=str(error))
        else:
            log.debug("loop_waits", loop=self.name, reason=str(error))
