"""The real PostgreSQL inside a simulation: virtual time, a turn before every statement, lock waits played by the scheduler.

A statement that waits for another's lock parks its actor; after 2 s of virtual time it is cancelled, a transaction whose process
is frozen for 3 s is rolled back, as the server's own bounds would.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from harness.sim_time import ACTOR, Process, Scheduler
from manman.errors import Unavailable
from manman.store.pool import prepare, reach

LOCK_TIMEOUT = 2.0
IDLE_TIMEOUT = 3.0
NEAR = 0.02  # statements outside of a transaction that are so near to each other have one time
BOUNDS = {"jit": "off", "timezone": "UTC", "lock_timeout": "0", "statement_timeout": "0", "deadlock_timeout": "200ms"}
CLOCK = (
    "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE"
    " AS $$SELECT current_setting('sim.now')::timestamptz$$"
)


@dataclass(eq=False)
class Blocked:
    """A statement that waits for a lock."""

    connection: "Connection"
    task: "asyncio.Future[Any]"
    actor: Any
    future: "asyncio.Future[bool]"


@dataclass(eq=False)
class Database:
    """One database of a simulation. `slow` stretches every wait; `down` refuses all; `lose_replies` commits lose theirs.

    `began` and `committed` are told the actor whose transaction it is, `wrote` each statement."""

    url: str
    time: Scheduler
    down: bool = False
    slow: float = 1.0
    lose_replies: int = 0
    statements: int = 0
    wrote: Any = None
    began: Any = None
    committed: Any = None
    monitor: Any = None
    free: list[Any] = field(default_factory=list)
    every: list[Any] = field(default_factory=list)
    used: list["Connection"] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)

    async def open(self) -> None:
        """Put the virtual clock in; no background work of the server may change a plan."""
        self.monitor = await self.raw()
        await self.monitor.execute(CLOCK)
        tables = await self.monitor.fetch(
            "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r'"
        )
        await self.monitor.execute(";".join(f"ALTER TABLE {t['name']} SET (autovacuum_enabled = off)" for t in tables))

    async def raw(self) -> Any:
        """A connection to the server itself."""
        found = await asyncpg.connect(self.url, server_settings=BOUNDS)
        await prepare(found)
        await found.execute(f"SET sim.now = '{self.time.at.isoformat()}'")
        self.every.append(found)
        return found

    async def close(self) -> None:
        for raw in self.every:
            raw.terminate()
        await asyncio.sleep(0)

    async def checkout(self, process: Process) -> "Connection":
        raw = self.free.pop() if self.free else await self.raw()
        connection = Connection(self, raw, process)
        self.used.append(connection)
        return connection

    def checkin(self, connection: "Connection") -> None:
        if connection in self.used:
            self.used.remove(connection)
            self.free.append(connection.raw)

    async def kill(self, connection: "Connection", why: str) -> None:
        """End what a connection is in the midst of, as the server would."""
        connection.broken = why
        waiting = [b for b in self.blocked if b.connection is connection]
        for blocked in waiting:
            await self._cancel(blocked)
        if connection.in_transaction:
            await connection.raw.execute("ROLLBACK")
            connection.in_transaction = False
        await self.look()

    async def stop(self) -> None:
        """The server goes: every transaction is gone."""
        self.down = True
        for connection in list(self.used):
            await self.kill(connection, "the server went away")

    async def _cancel(self, blocked: Blocked) -> None:
        await self.monitor.execute("SELECT pg_cancel_backend($1)", blocked.connection.pid)
        await asyncio.wait({blocked.task})

    async def run(self, connection: "Connection", statement: Any) -> Any:
        """One statement; parks the actor while another's lock is in the way."""
        self.statements += 1
        task = asyncio.ensure_future(statement)
        if not await self.settled(task, connection.pid):
            blocked = Blocked(connection, task, ACTOR.get(), asyncio.get_running_loop().create_future())
            self.blocked.append(blocked)
            self.time.call_at(self.time.now + LOCK_TIMEOUT, lambda: self._timed_out(blocked))
            await self.time.parked(blocked.future)
        return task.result()

    async def _timed_out(self, blocked: Blocked) -> None:
        if blocked in self.blocked:
            await self._cancel(blocked)
            await self.look()

    async def settled(self, task: "asyncio.Future[Any]", pid: int) -> bool:
        """Whether a statement ends by itself; False when it waits for somebody's lock."""
        while True:
            done, _ = await asyncio.wait({task}, timeout=0.02)
            if done:
                return True
            if await self.monitor.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
                return False

    async def look(self) -> None:
        """After locks were released: whoever got his goes on."""
        for blocked in list(self.blocked):
            if await self.settled(blocked.task, blocked.connection.pid):
                self.blocked.remove(blocked)
                if not blocked.future.done():
                    self.time.push(self.time.now, blocked.actor, blocked.future)


@dataclass(eq=False)
class Connection:
    """What the product calls in place of the driver's connection."""

    database: Database
    raw: Any
    process: Process
    in_transaction: bool = False
    set_at: float = -1.0
    broken: str | None = None

    @property
    def pid(self) -> int:
        return int(self.raw.get_server_pid())

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._run("fetch", query, args)

    async def fetchrow(self, query: str, *args: Any) -> Any:
        return await self._run("fetchrow", query, args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        return await self._run("fetchval", query, args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._run("execute", query, args)

    async def begin(self) -> None:
        await self._point()
        await self.database.run(self, self.raw.execute(f"BEGIN; SET LOCAL sim.now = '{self._now()}'"))
        self.in_transaction = True
        if self.database.began is not None:
            self.database.began(ACTOR.get())

    async def commit(self) -> None:
        await self._point()
        await self.database.run(self, self.raw.execute("COMMIT"))
        self.in_transaction = False
        if self.database.committed is not None:
            self.database.committed(ACTOR.get())
        await self.database.look()
        if self.database.lose_replies > 0:
            self.database.lose_replies -= 1
            self.broken = "the reply to a commit was lost"
            raise Unavailable(f"the database is out of reach: {self.broken}")

    async def rollback(self) -> None:
        if self.in_transaction:
            self.in_transaction = False
            await self.raw.execute("ROLLBACK")
            await self.database.look()

    def _now(self) -> str:
        return self.database.time.at.isoformat()

    async def _point(self) -> None:
        chance = self.database.time.chance
        await self.database.time.sleep(chance.uniform(0.0001, 0.001) * self.database.slow)
        if self.process.dead:
            raise asyncio.CancelledError
        if self.database.down or self.broken:
            raise Unavailable(f"the database is out of reach: {self.broken or 'down'}")

    async def _run(self, method: str, query: str, args: Any) -> Any:
        await self._point()
        if not self.in_transaction and self.database.time.now - self.set_at > NEAR:
            await self.raw.execute(f"SET sim.now = '{self._now()}'")
            self.set_at = self.database.time.now
        if self.database.wrote is not None:
            self.database.wrote(self, query, args)
        return await self.database.run(self, getattr(self.raw, method)(query, *args))


@dataclass(eq=False)
class Pool:
    """A process's connections, with the product's promises: a transaction commits at the end or is rolled back."""

    database: Database
    process: Process
    timeouts: int = 0
    held: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process.attached.append(self)

    async def crashed(self) -> None:
        """The process is gone; the server rolls back what it was in."""
        for connection in list(self.held):
            await self.database.kill(connection, "its process is gone")
            self.database.checkin(connection)
        self.held.clear()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        with reach():
            if self.process.dead:
                raise asyncio.CancelledError
            connection = await self.database.checkout(self.process)
            self.held.append(connection)
            try:
                yield connection
            finally:
                if connection in self.held:
                    self.held.remove(connection)
                    self.database.checkin(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with self.acquire() as connection:
            await connection.begin()
            try:
                yield connection
            except BaseException:
                if not self.process.dead:
                    await connection.rollback()
                raise
            await connection.commit()

    async def close_idle(self) -> None:
        """A frozen process's open transactions, as the server's bound ends them."""
        for connection in list(self.held):
            if connection.in_transaction:
                await self.database.kill(connection, "idle in transaction for too long")
