"""Commands that the broker gave up because their time was over: counted and told, never their bodies, no row."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from manman.events.bus import Consumer
from manman.observability import get_logger, metrics
from manman.processor.own_queue import OwnQueue

log = get_logger(__name__)
MOST = 100
WAIT = timedelta(seconds=1)


@dataclass(slots=True)
class ExpiredConsumer:
    """The loop over `expired-commands`, `source`."""

    source: OwnQueue

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`."""
        await self.source.consume(self.step, stop)

    async def step(self, consumer: Consumer) -> None:
        """Tell what expired, then settle it."""
        deliveries = await consumer.get_batch(MOST, wait=WAIT)
        for delivery in deliveries:
            words = delivery.key.split(".")
            host, verb = (words[2], words[3]) if len(words) == 4 else ("?", delivery.key)
            metrics.count("commands_expired")
            log.info("command_expired", verb=verb, host_id=host, command_id=delivery.message_id)
        if deliveries:
            await consumer.ack(deliveries[-1])
