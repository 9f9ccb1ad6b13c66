"""The bus on RabbitMQ: one connection, opened again whenever it goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pika

from manman.domain.ids import Chance
from manman.errors import ManManError, OutOfReach, Unavailable
from manman.events import topics
from manman.events.bus import PATIENCE, Consumer, Depth, Outcome, Outgoing, Topology
from manman.events.rabbit import declaring, keeping, link
from manman.events.rabbit.consumer import RabbitConsumer
from manman.events.rabbit.lane import LaneConnection
from manman.events.rabbit.publisher import Publisher
from manman.observability import get_logger

log = get_logger(__name__)

AT_START = timedelta(seconds=30)


async def connect(
    url: str,
    *,
    name: str = "manman",
    topology: Topology | None = None,
    patience: timedelta | None = AT_START,
    setting: str = "RABBITMQ_URL",
    chance: Chance = os.urandom,
) -> RabbitBus:
    """A bus that is connected and has its topology declared.

    Raises `BadSetting` for a URL that is none, `OutOfReach` when the broker refuses user or vhost at the first try
    or is out of reach for `patience`; each names `setting`. With `patience=None` it returns at once and goes on
    trying for ever, also where refused (`bus.trouble` says why): that is the agent's way. `name` is shown by the
    broker's management.
    """
    bus = RabbitBus(link.parameters(url, name, setting), setting, chance, topology or Topology())
    bus._start()
    if patience is None:
        return bus
    try:
        async with asyncio.timeout(patience.total_seconds()):
            await bus._first()
    except TimeoutError:
        trouble = bus.trouble
        await bus.close()
        raise OutOfReach(
            str(trouble or f"{setting}: no answer"), hint=f"tried for {patience.total_seconds():.0f} s"
        ) from None
    except BaseException:
        await bus.close()
        raise
    return bus


class RabbitBus:
    """See `manman.events.bus.Bus`; made by `connect`."""

    def __init__(self, parameters: pika.URLParameters, setting: str, chance: Chance, topology: Topology) -> None:
        self._parameters = parameters
        self._setting = setting
        self._chance = chance
        self._topology = topology
        self._connection: LaneConnection | None = None
        self._publishers: dict[str, Publisher] = {}  # by way
        self._opening = asyncio.Lock()
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._trouble: ManManError | None = None
        self._blocked: str | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self._hashing: LaneConnection | None = None  # the connection that is known to know hash exchanges

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def user_id(self) -> str | None:
        return str(self._parameters.credentials.username)

    @property
    def trouble(self) -> ManManError | None:
        """Why it is not connected, None while it is."""
        return None if self.connected else self._trouble

    @property
    def blocked(self) -> str | None:
        return self._blocked

    async def wait_connected(self) -> None:
        while not self._ready.is_set():
            if self._closed:
                raise Unavailable("the bus is closed")
            self._changed.clear()
            await self._changed.wait()

    async def declare(self, topology: Topology, *, lasting: bool = True) -> None:
        connection = self._live()
        if topology.hash_exchanges and self._hashing is not connection:
            await self.require_hashing()
            self._hashing = connection
        await declaring.declare(connection, topology)
        if lasting:
            self._topology += topology

    async def require_hashing(self) -> None:
        connection = await link.open_connection(self._parameters, self._setting)
        try:
            await declaring.try_hashing(connection, f"manman.tried.{self._chance(8).hex()}")
        finally:
            if connection.is_open:
                connection.close()

    async def unbind(self, topology: Topology) -> None:
        await declaring.unbind(self._live(), topology)

    async def publish(
        self, batch: Sequence[Outgoing], *, apart: bool = False, patience: timedelta = PATIENCE
    ) -> list[Outcome]:
        if apart:
            return await self._publish_apart(batch, patience)
        return await (await self._publishing(_way(batch))).publish(batch, patience)

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Consumer]:
        # Whoever tries again in a loop lets the loop run, also while a connection is ending.
        await asyncio.sleep(0)
        await self.wait_connected()
        consumer = await RabbitConsumer.open(self._live(), queue, prefetch)
        try:
            yield consumer
        finally:
            await consumer.close()
            self._forget_viewed(queue)

    async def depth(self, queue: str) -> Depth:
        channel = await link.open_channel(self._live())
        try:
            frame = await link.reply(channel, channel.queue_declare, queue, passive=True)
        finally:
            await link.close_channel(channel)
        return Depth(ready=frame.method.message_count, consumers=frame.method.consumer_count)

    async def delete_queue(self, queue: str) -> None:
        channel = await link.open_channel(self._live())
        try:
            await link.reply(channel, channel.queue_delete, queue)
        finally:
            await link.close_channel(channel)
        self._topology = self._topology.without(queue)

    async def delete_exchange(self, exchange: str) -> None:
        channel = await link.open_channel(self._live())
        try:
            await link.reply(channel, channel.exchange_delete, exchange)
        finally:
            await link.close_channel(channel)

    async def close(self) -> None:
        self._closed = True
        self._changed.set()
        keeper, self._keeper = self._keeper, None
        await keeping.end(keeper)

    # ---- keeping the connection -------------------------------------------------------------------------

    def _start(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="rabbit-connection")
        self._keeper.add_done_callback(self._kept)

    def _kept(self, _: asyncio.Task[None]) -> None:
        # Nobody connects again, so whoever waits for that must not wait on.
        self._closed = True
        self._ready.clear()
        self._changed.set()

    async def _first(self) -> None:
        """Waits for the first connection; what will not mend itself is raised."""
        while not self._ready.is_set():
            if self._trouble is not None and not isinstance(self._trouble, Unavailable):
                raise self._trouble
            self._changed.clear()
            await self._changed.wait()

    async def _keep(self) -> None:
        """Connects, waits for the end, connects again: at once after a good while, else as `keeping.pause` says."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._one_life()
            except ManManError as error:
                self._tell(error)
            except Exception as error:
                # A bug of ours must not end reconnecting for ever.
                log.exception("broker_connection_failed")
                self._tell(Unavailable(f"connecting failed: {type(error).__name__}: {error}"))
            failures = 1 if loop.time() - began > keeping.GOOD_WHILE else failures + 1
            await asyncio.sleep(keeping.pause(failures, self._trouble, self._chance))

    def _tell(self, error: ManManError) -> None:
        if str(error) != str(self._trouble):
            log.warning("broker_unavailable", error=str(error))
        self._trouble = error
        self._changed.set()

    async def _one_life(self) -> None:
        """One connection from its opening to its end; returns or raises why it ended."""
        connection = await link.open_connection(self._parameters, self._setting)
        ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def on_close(_: object, error: BaseException) -> None:
            self._ready.clear()
            self._connection, self._publishers = None, {}
            if not ended.done():
                ended.set_result(error)

        connection.add_on_close_callback(on_close)
        connection.add_on_connection_blocked_callback(lambda _, frame: self._block(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda *_: self._unblock())
        try:
            await declaring.declare(connection, self._topology)
            self._publishers = {"": await Publisher.open(connection, str(self.user_id))}
            self._connection, self._trouble = connection, None
            self._ready.set()
            self._changed.set()
            log.info("broker_connected", broker=link.place(self._parameters))
            raise link.ours(await link.end_of(connection, ended))
        finally:
            self._ready.clear()
            self._connection, self._publishers, self._blocked = None, {}, None
            await link.close_connection(connection, ended)

    def _block(self, reason: str) -> None:
        if self._blocked is None:
            log.warning("broker_takes_no_messages", reason=reason)
        self._blocked = reason

    def _unblock(self) -> None:
        if self._blocked is not None:
            log.info("broker_takes_messages")
        self._blocked = None

    def _live(self) -> LaneConnection:
        if self._connection is None or not self._connection.is_open:
            raise Unavailable(str(self._trouble) if self._trouble else "the broker is not connected")
        return self._connection

    async def _publishing(self, way: str) -> Publisher:
        """The publisher, a new one where the broker closed the channel of the old (a refusal does that)."""
        connection = self._live()
        async with self._opening:
            publisher = self._publishers.get(way)
            if publisher is None or not publisher.usable:
                publisher = self._publishers[way] = await Publisher.open(connection, str(self.user_id))
            return publisher

    async def _publish_apart(self, batch: Sequence[Outgoing], patience: timedelta) -> list[Outcome]:
        self._live()
        # A channel that is held up is never closed, so a connection would run out of them.
        connection = await link.open_connection(self._parameters, self._setting)
        try:
            outcomes = await (await Publisher.open(connection, str(self.user_id))).publish(batch, patience)
        except BaseException:
            if not connection.is_closed:
                connection.hang_up()
            raise
        if connection.is_open:
            connection.close()
        return outcomes

    def _forget_viewed(self, queue: str) -> None:
        if any(known.name == queue and known.auto_delete for known in self._topology.queues):
            self._topology = self._topology.without(queue)


def _way(batch: Sequence[Outgoing]) -> str:
    """A channel that waits for a queue without leader holds up all that comes after: heartbeats and console lines have others."""
    if all(message.perishable for message in batch):
        return "perishable"
    return "lines" if all(message.key.startswith(topics.LINES) for message in batch) else ""
