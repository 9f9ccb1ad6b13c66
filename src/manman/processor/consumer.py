"""Consumes the events queue: batches, one transaction each, one acknowledgement after the commit.

What may go wrong, and what then happens: database or broker away → nothing is acked, the same batch waits with jittered
backoff; a bug on one message → the batch is split until the culprit is alone, its host waits, the others go on, and after five
tries it is a dead letter; a message that was redelivered may have killed a process → one at a time, its attempts noted before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from manman.domain.ids import HostId
from manman.errors import Unavailable, is_transient
from manman.events.bus import Bus, Consumer, Delivery
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.arrivals import arrive
from manman.processor.backoff import Backoff
from manman.processor.world import Arrived

log = get_logger(__name__)
TRIES = 5
SUSPECT_FROM = 2  # deliveries before this one
RETRY_AFTER = 0.2  # seconds, doubling
WAIT = timedelta(seconds=1)

Apply = Callable[[list[Arrived]], Awaitable[dict[str, int]]]
"""One transaction: load, fold, save. Returns the counts of outcomes; raises `Unavailable`, or anything for a bug."""


@dataclass(slots=True)
class Held:
    """Messages of one host that wait behind one that fails, in order; none of them is acked."""

    waiting: list[tuple[Delivery, Arrived]]
    tries: int
    again_at: float
    error: str


@dataclass(slots=True)
class Ways:
    """What the consumer calls: the transaction, and the two that concern suspects."""

    apply: Apply
    condemn: Callable[[Arrived, str, str], Awaitable[None]]
    note_attempt: Callable[[str, Arrived], Awaitable[int]]
    loop_time: Callable[[], float]


@dataclass(slots=True)
class EventConsumer:
    """The loop over one queue. `ways` touch the database; `chance` jitters the backoff."""

    bus: Bus
    queue: str
    prefetch: int
    batch_max: int
    ways: Ways
    backoff: Backoff
    held: dict[HostId | None, Held] = field(default_factory=dict)
    paused: str | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; leaving closes the channel, so that whatever is unacked returns in order."""
        while not stop.is_set():
            try:
                async with self.bus.consume(self.queue, self.prefetch) as consumer:
                    self.held.clear()
                    while not stop.is_set():
                        await self.step(consumer)
                        self.paused = None
            except Unavailable as error:
                self.pause(error)
                await self.backoff.wait(stop)

    def pause(self, error: BaseException) -> None:
        """Say once why consumption pauses."""
        if self.paused is None:
            log.warning("consumption_paused", queue=self.queue, reason=str(error))
        self.paused = str(error)

    async def step(self, consumer: Consumer) -> None:
        """Take what is there (a lone message at once), settle it, acknowledge it."""
        wait = WAIT if not self.held else timedelta(seconds=RETRY_AFTER)
        deliveries = await consumer.get_batch(self.batch_max, wait=wait)
        batch = [(d, arrive(d, self.bus.user_id)) for d in deliveries]
        batch = self._behind_held(batch)
        while batch:
            suspect = batch[0][0].attempts >= SUSPECT_FROM
            part = batch[:1] if suspect else _until_suspect(batch)
            batch = batch[len(part) :]
            await self._settle(consumer, part, suspect=suspect)
        await self._try_held(consumer)

    def _behind_held(self, batch: list[tuple[Delivery, Arrived]]) -> list[tuple[Delivery, Arrived]]:
        """A host that waits keeps its order: its further messages queue up behind."""
        free = []
        for item in batch:
            held = self.held.get(_host(item[1])) if self.held else None
            if held is None:
                free.append(item)
            else:
                held.waiting.append(item)
        return free

    async def _settle(self, consumer: Consumer, part: list[tuple[Delivery, Arrived]], *, suspect: bool = False) -> None:
        """Apply and ack; split on a bug; in place, again and again, while the database is away."""
        if suspect and await self._is_condemned(consumer, part[0]):
            return
        while True:
            try:
                await self._apply(part)
                break
            except Exception as error:
                if is_transient(error):
                    self.pause(error)
                    await self.backoff.wait(None)
                    continue
                await self._split(consumer, part, error)
                return
        self.paused = None
        self.backoff.reset()
        await self._ack(consumer, part)

    async def _apply(self, part: list[tuple[Delivery, Arrived]]) -> None:
        with observe(acts.APPLY_EVENTS) as seen:
            seen.add(**await self.ways.apply([arrived for _, arrived in part]))

    async def _ack(self, consumer: Consumer, part: list[tuple[Delivery, Arrived]]) -> None:
        if self.held:
            await consumer.ack_many([delivery for delivery, _ in part])
        else:
            await consumer.ack(part[-1][0])

    async def _split(self, consumer: Consumer, part: list[tuple[Delivery, Arrived]], error: Exception) -> None:
        metrics.count("batches_split")
        if len(part) == 1:
            delivery, arrived = part[0]
            log.error("message_failed", key=arrived.key, error=f"{type(error).__name__}: {error}", exc_info=error)
            again = self.ways.loop_time() + RETRY_AFTER
            self.held[_host(arrived)] = Held(waiting=[(delivery, arrived)], tries=1, again_at=again, error=str(error))
            return
        half = len(part) // 2
        for piece in (part[:half], part[half:]):
            free = self._behind_held(piece)
            if free:
                await self._settle(consumer, free)

    async def _try_held(self, consumer: Consumer) -> None:
        """The culprits that are due, once each; what waited behind one follows it."""
        for host, held in list(self.held.items()):
            if held.again_at > self.ways.loop_time():
                continue
            delivery, arrived = held.waiting[0]
            if held.tries >= TRIES:
                await self.ways.condemn(arrived, "bug", f"it failed {held.tries} times: {held.error}")
                await consumer.ack_many([delivery])
                await self._release(consumer, host, held.waiting[1:])
                continue
            try:
                await self._apply([(delivery, arrived)])
            except Exception as error:
                if is_transient(error):
                    self.pause(error)
                    continue
                held.tries, held.error = held.tries + 1, f"{type(error).__name__}: {error}"
                held.again_at = self.ways.loop_time() + RETRY_AFTER * 2**held.tries
                continue
            await consumer.ack_many([delivery])
            await self._release(consumer, host, held.waiting[1:])

    async def _release(self, consumer: Consumer, host: HostId | None, waiting: list[tuple[Delivery, Arrived]]) -> None:
        del self.held[host]
        if waiting:
            await self._settle(consumer, waiting)
            # Whatever is still held keeps its own unacked messages.

    async def _is_condemned(self, consumer: Consumer, item: tuple[Delivery, Arrived]) -> bool:
        """Note an attempt at a redelivered message before it is tried; after five it is set aside."""
        delivery, arrived = item
        name = delivery.message_id or f"{self.queue}/{delivery.key}/{hash(delivery.body):x}"
        count = await self._noted(name, arrived)
        if count <= TRIES:
            return False
        await self.ways.condemn(arrived, "kills_the_process", f"its delivery ended the processor {TRIES} times")
        await self._ack(consumer, [item])
        return True

    async def _noted(self, name: str, arrived: Arrived) -> int:
        while True:
            try:
                return await self.ways.note_attempt(name, arrived)
            except Unavailable as error:
                self.pause(error)
                await self.backoff.wait(None)


def _host(arrived: Arrived) -> HostId | None:
    return arrived.message.host_id if arrived.message is not None else None


def _until_suspect(batch: list[tuple[Delivery, Arrived]]) -> list[tuple[Delivery, Arrived]]:
    part = []
    for item in batch:
        if item[0].attempts >= SUSPECT_FROM:
            break
        part.append(item)
    return part
