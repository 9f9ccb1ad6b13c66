"""The bus on PostgreSQL: what `manman up` uses where no RabbitMQ is configured. Same promises, one contract suite.

A bus is a connection that holds an advisory lock and listens; the lock is its life. Its consumers and exclusive queues carry
the lock's number, so whoever finds it free knows that they are gone and returns what they held. Everything else runs on a
small pool. NOTIFY carries a queue's name only; every second each waiting consumer looks anyway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import msgspec

from manman.domain.ids import Chance
from manman.errors import ManManError, OutOfReach, Unavailable
from manman.events.bus import PATIENCE, Consumer, Depth, Outcome, Outgoing, QueueMissing, Topology
from manman.events.rabbit import keeping
from manman.observability import get_logger
from manman.store import bus_consumer, bus_publish, bus_queues
from manman.store import pool as pools
from manman.store.bus_consumer import PostgresConsumer
from manman.store.pool import Connection, Pool
from manman.store.settings import DatabaseSettings
from manman.store.sql import load

log = get_logger(__name__)
sql = load(__name__)

AT_START = timedelta(seconds=30)
CHANNEL = "manman_bus"
REAP_SECONDS = 1.0
CLOSE_SECONDS = 3.0
POOL_MIN, POOL_MAX = 1, 4


async def connect(
    settings: DatabaseSettings,
    *,
    topology: Topology | None = None,
    patience: timedelta | None = AT_START,
    chance: Chance = os.urandom,
) -> PostgresBus:
    """A bus that is connected and has its topology declared; the tables are those of the migrations.

    Raises `OutOfReach` when the database refuses or stays out of reach for `patience`; with None it returns at once and goes on
    trying for ever (`bus.trouble` says why).
    """
    bus = PostgresBus(settings, chance, topology or Topology())
    bus._start()
    if patience is None:
        return bus
    try:
        async with asyncio.timeout(patience.total_seconds()):
            await bus._first()
    except TimeoutError:
        trouble = bus.trouble
        await bus.close()
        raise OutOfReach(f"{settings.source}: {trouble or 'the database does not answer'}") from None
    except BaseException:
        await bus.close()
        raise
    return bus


class PostgresBus:
    """See `manman.events.bus.Bus`; made by `connect`."""

    def __init__(self, settings: DatabaseSettings, chance: Chance, topology: Topology) -> None:
        self.routes = bus_publish.Routes()
        self._settings = settings
        self._chance = chance
        self._topology = topology
        self._pool: Pool | None = None
        self._owner = 0
        self._consumers: dict[int, PostgresConsumer] = {}
        self._leaving: set[int] = set()
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._trouble: ManManError | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def user_id(self) -> str | None:
        return None  # the database has one user: whoever reaches it is the control plane

    @property
    def trouble(self) -> ManManError | None:
        """Why it is not connected, None while it is."""
        return None if self.connected else self._trouble

    @property
    def blocked(self) -> str | None:
        return None  # a database without room refuses, and goes

    async def wait_connected(self) -> None:
        while not self._ready.is_set():
            if self._closed:
                raise Unavailable("the bus is closed")
            self._changed.clear()
            await self._changed.wait()

    async def declare(self, topology: Topology, *, lasting: bool = True) -> None:
        async with self.work() as conn:
            await bus_queues.declare(conn, topology, self._owner)
        if lasting:
            self._topology += topology

    async def require_hashing(self) -> None:
        bus_queues.refuse_hashing()

    async def unbind(self, topology: Topology) -> None:
        async with self.work() as conn:
            await bus_queues.unbind(conn, topology)

    async def delete_exchange(self, exchange: str) -> None:
        """Exchanges are names here: there is nothing to remove."""

    async def publish(
        self, batch: Sequence[Outgoing], *, apart: bool = False, patience: timedelta = PATIENCE
    ) -> list[Outcome]:
        # A transaction for each call: no queue holds up another, and how long a database may be silent is the pool's to say.
        if not batch:
            return []
        async with self.work() as conn:
            return await bus_publish.publish(conn, self.routes, batch)

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Consumer]:
        # Whoever tries again in a loop lets the loop run, also while a connection is ending.
        await asyncio.sleep(0)
        await self.wait_connected()
        async with self.work() as conn:
            # What a dead predecessor held comes first, so it returns before this one begins.
            await conn.fetch(sql["reap"], self._owner)
            id = await conn.fetchval(bus_consumer.sql["enter"], queue, self._owner)
        if id is None:
            raise QueueMissing(f"there is no queue {queue!r}, or it is another connection's")
        consumer = self._consumers[id] = PostgresConsumer(self, queue, id, prefetch)
        try:
            yield consumer
        finally:
            await consumer.close()

    async def depth(self, queue: str) -> Depth:
        async with self.work() as conn:
            return await bus_queues.depth(conn, queue, self._owner)

    async def delete_queue(self, queue: str) -> None:
        async with self.work() as conn:
            await bus_queues.delete(conn, queue)
        self._topology = self._topology.without(queue)

    async def close(self) -> None:
        self._closed = True
        self._changed.set()
        keeper, self._keeper = self._keeper, None
        await keeping.end(keeper)

    # ---- what a consumer needs -----------------------------------------------------------------------------

    @asynccontextmanager
    async def work(self, *, hurry: bool = False) -> AsyncIterator[Connection]:
        """A transaction; with `hurry` its commit need not be on disk. Raises `Unavailable` while not connected."""
        if self._pool is None:
            raise Unavailable(str(self._trouble) if self._trouble else "the database is not connected")
        async with self._pool.transaction() as conn:
            if hurry:
                await conn.execute("SET LOCAL synchronous_commit TO off")
            yield conn

    async def leave(self, consumer: PostgresConsumer) -> None:
        """Returns what the consumer holds, now or as soon as the database is in reach again."""
        self._consumers.pop(consumer.id, None)
        if any(known.name == consumer.queue and known.auto_delete for known in self._topology.queues):
            self._topology = self._topology.without(consumer.queue)
        self._leaving.add(consumer.id)
        left = asyncio.get_running_loop().create_task(self._left())
        # Not cancelled: what waits for a database that says nothing cannot be. It ends with its connection.
        done, _ = await asyncio.wait([left], timeout=CLOSE_SECONDS)
        for one in done:
            one.result()

    async def _left(self) -> None:
        try:
            await self._leave_all()
        except ManManError:
            return  # the next round of the keeper tries again; a lost connection returns everything by itself

    async def _leave_all(self) -> None:
        for id in sorted(self._leaving):
            async with self.work() as conn:
                await conn.execute(bus_consumer.sql["leave"], id)
            self._leaving.discard(id)

    # ---- keeping the connection ----------------------------------------------------------------------------

    def _start(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="postgres-bus")
        self._keeper.add_done_callback(self._kept)

    def _kept(self, _: asyncio.Task[None]) -> None:
        # Nobody connects again, so whoever waits for that must not wait on.
        self._closed = True
        self._ready.clear()
        self._changed.set()

    async def _first(self) -> None:
        while not self._ready.is_set():
            if self._trouble is not None and not isinstance(self._trouble, Unavailable):
                raise self._trouble
            self._changed.clear()
            await self._changed.wait()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            try:
                await self._one_life()
            except ManManError as error:
                self._tell(error)
            except asyncpg.UndefinedTableError as error:
                self._tell(Unavailable(f"the database has no tables for the bus: {error}", hint="manman migrate up"))
            except Exception as error:
                # A bug of ours must not end reconnecting for ever.
                log.exception("bus_connection_failed")
                self._tell(Unavailable(f"connecting failed: {type(error).__name__}: {error}"))
            failures = 1 if loop.time() - began > keeping.GOOD_WHILE else failures + 1
            await asyncio.sleep(keeping.pause(failures, self._trouble, self._chance))

    def _tell(self, error: ManManError) -> None:
        if str(error) != str(self._trouble):
            log.warning("bus_unavailable", error=str(error))
        self._trouble = error
        self._changed.set()

    async def _one_life(self) -> None:
        """One connection from its opening to its end; raises why it ended."""
        conn = await pools.single(self._settings)
        pool = None
        try:
            self._owner = int.from_bytes(self._chance(8), "big") >> 1
            pool = await self._open_pool()
            with pools.reach():
                await conn.execute(sql["hold"], self._owner)
                async with pool.transaction() as work:
                    await work.fetch(sql["reap"], self._owner)
                    await bus_queues.declare(work, self._topology, self._owner)
                await self._serve(conn, pool)
        finally:
            await self._end_life(conn, pool)

    async def _open_pool(self) -> Pool:
        small = msgspec.structs.replace(self._settings, db_pool_min=POOL_MIN, db_pool_max=POOL_MAX)
        try:
            return await pools.connect(small, patience=timedelta(0))
        except OutOfReach as error:
            # It answered a moment ago, so this is weather.
            raise Unavailable(error.detail) from error

    async def _serve(self, conn: Connection, pool: Pool) -> None:
        lost = asyncio.Event()
        conn.add_termination_listener(lambda _: lost.set())
        await conn.add_listener(CHANNEL, lambda _conn, _pid, _channel, queue: self._woken(str(queue)))
        self._pool, self._trouble = pool, None
        self._ready.set()
        self._changed.set()
        log.info("bus_connected", bus="postgresql")
        while not lost.is_set():
            try:
                async with asyncio.timeout(REAP_SECONDS):
                    await lost.wait()
            except TimeoutError:
                await conn.execute("SELECT")  # raises where nobody answers: then the lock may be gone
                await self._tidy()
        raise Unavailable("the connection to the database was lost")

    async def _tidy(self) -> None:
        """Once a second: what dead owners held returns, what waited too long goes; a busy database waits for the next round."""
        try:
            await self._leave_all()
            async with self.work() as work:
                await work.fetch(sql["reap"], self._owner)
                await bus_publish.expire(work, self.routes)
        except Unavailable as error:
            log.debug("bus_tidy_postponed", error=str(error))

    async def _end_life(self, conn: Connection, pool: Pool | None) -> None:
        self._ready.clear()
        self._pool = None
        consumers, self._consumers = self._consumers, {}
        for consumer in consumers.values():
            consumer.end(Unavailable("the connection to the database was lost"))
        self._leaving.clear()
        try:
            if not conn.is_closed():
                await conn.execute(sql["release_owned"], self._owner, timeout=CLOSE_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            pass  # gone: its lock is free, others see that
        finally:
            conn.terminate()
            if pool is not None:
                await pool.close()

    def _woken(self, queue: str) -> None:
        for consumer in self._consumers.values():
            if consumer.queue == queue:
                consumer.wake()
