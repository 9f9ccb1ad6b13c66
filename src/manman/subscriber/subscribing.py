"""Reads a queue on `external`, one event after the other, and settles each after its handler."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from manman.domain.ids import Chance
from manman.errors import Malformed, ManManError, Transient, Unavailable, is_transient
from manman.events import topics, topology
from manman.events.bus import Bus, Consumer, Delivery, Outcome, Outgoing, QueueMissing
from manman.observability import get_logger
from manman.subscriber.typed import Event, Refuse, event_of

log = get_logger(__name__)

Handler = Callable[[Event], Awaitable[None]]
MOST_ATTEMPTS = 5
PREFETCH = 1  # what is in hand when a process dies counts as an attempt: only that one event should
FIRST_DELAY, LONGEST_DELAY = 0.2, 30.0
MISSED = "it is made again; what came meanwhile is missed: read it from the event stream"


class Subscriber:
    """A durable queue of one's own on `external`, and `<queue>.dead` for what could not be taken.

    `source` is an AMQP URL or a connected bus (then it stays the caller's to close). `queue` names the subscriber: processes
    that share it share the work, others each get everything. `patterns` are topic patterns (`manman.session.*`, `manman.#`);
    dropping one from the list later does not unbind it.
    """

    def __init__(
        self,
        source: str | Bus,
        queue: str,
        patterns: Sequence[str] = ("manman.#",),
        *,
        exchange: str = topics.EXTERNAL,
        setting: str = "RABBITMQ_URL",
        chance: Chance = os.urandom,
    ) -> None:
        if not queue or queue.startswith("amq.") or not patterns:
            raise ValueError("a subscriber needs a queue name of its own (not amq.…) and at least one pattern")
        self._source = source
        self._queue = queue
        self._topology = topology.subscriber(queue, patterns, exchange)
        self._setting = setting
        self._chance = chance

    async def run(self, handler: Handler, stop: asyncio.Event) -> None:
        """Hands every event to `handler` until `stop` is set, then finishes the one in hand and returns.

        An event is acknowledged after its handler returned. A handler that raises something transient (`ConnectionError`,
        `TimeoutError`, an `errors.Transient`) gets the event again and again with growing pauses; anything else five times in
        all; `Refuse` not again. What is given up goes to `<queue>.dead` with the reason. Raises `errors.OutOfReach` when the
        broker refuses at the start; once up, it waits for a broker that is away.
        """
        async with self._bus() as bus:
            while not stop.is_set():
                try:
                    async with bus.consume(self._queue, PREFETCH) as consumer:
                        await self._read(bus, consumer, handler, stop)
                except QueueMissing as error:
                    log.warning("subscriber_queue_missing", queue=self._queue, error=str(error), hint=MISSED)
                    await self._make_again(bus)
                    await self._pause(1, stop)
                except Transient as error:
                    log.warning("subscriber_waits", queue=self._queue, error=str(error))
                    await self._pause(1, stop)

    async def _make_again(self, bus: Bus) -> None:
        with suppress(ManManError):
            await bus.declare(self._topology)

    @asynccontextmanager
    async def _bus(self) -> AsyncIterator[Bus]:
        if not isinstance(self._source, str):
            await self._source.declare(self._topology)
            yield self._source
            return
        from manman.events.rabbit.bus import connect

        bus = await connect(self._source, name=self._queue, topology=self._topology, setting=self._setting)
        try:
            yield bus
        finally:
            await bus.close()

    async def _read(self, bus: Bus, consumer: Consumer, handler: Handler, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for delivery in await self._next(consumer, stop):
                if stop.is_set():
                    return
                if await self._take(bus, delivery, handler, stop):
                    await consumer.ack(delivery)

    async def _next(self, consumer: Consumer, stop: asyncio.Event) -> list[Delivery]:
        """The next events; none when `stop` came first."""
        waiting = asyncio.ensure_future(consumer.get_batch(PREFETCH))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else []
        finally:
            stopping.cancel()
            waiting.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)

    async def _take(self, bus: Bus, delivery: Delivery, handler: Handler, stop: asyncio.Event) -> bool:
        """Whether the event is settled: taken or buried. False when `stop` came between two tries."""
        tries = 0
        while True:
            tries += 1
            try:
                await handler(event_of(delivery))
                return True
            except (Malformed, Refuse) as error:
                await self._bury(bus, delivery, str(error))
                return True
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                log.warning("handler_failed", queue=self._queue, key=delivery.key, tries=tries, error=said)
                if not is_transient(error) and tries >= MOST_ATTEMPTS:
                    await self._bury(bus, delivery, said)
                    return True
            if await self._pause(tries, stop):
                return False

    async def _bury(self, bus: Bus, delivery: Delivery, reason: str) -> None:
        """Puts the event among the dead with its reason; raises `Unavailable` when that is not confirmed."""
        # A handler's own words may hold what no header carries.
        said = reason.encode("utf-8", "backslashreplace").decode().replace("\0", " ")
        told = {"reason": said[:1000], "routing-key": delivery.key}
        dead = Outgoing(
            exchange="",
            key=topics.dead(self._queue),
            body=delivery.body,
            headers=dict(delivery.headers) | told,
            message_id=delivery.message_id,
            mandatory=True,
        )
        if await bus.publish([dead]) != [Outcome.CONFIRMED]:
            raise Unavailable(f"queue {topics.dead(self._queue)!r} did not take a dead event")
        log.error("event_dead", queue=self._queue, key=delivery.key, event_id=delivery.message_id, reason=reason)

    async def _pause(self, tries: int, stop: asyncio.Event) -> bool:
        """Waits with jitter, longer each time; whether `stop` came."""
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tries, 20))
        share = int.from_bytes(self._chance(4), "big") / 2**32
        span = timedelta(seconds=longest * (0.5 + share / 2))
        try:
            async with asyncio.timeout(span.total_seconds()):
                await stop.wait()
        except TimeoutError:
            return False
        return True
