"""The real PostgreSQL inside a simulation: virtual time, a turn before every statement, lock waits played by the scheduler.

A statement that waits for another's lock parks its actor; after 2 s of virtual time it is cancelled, a transaction whose process
is frozen for 3 s is rolled back, as the server's own bounds would.

How long anything takes decides nothing. Whether a statement waits is asked of the server, until it is answered or waits. The server
process of one that waits is halted: locks that are set free at once to several would else make these race. They go on one by one, in
the order in which they came.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import coroutine
from typing import Any

import asyncpg

from harness.sim_time import ACTOR, Actor, Parking, Process, Scheduler
from manman.errors import Unavailable
from manman.store.pool import prepare, reach

LOCK_TIMEOUT = 2.0
IDLE_TIMEOUT = 3.0
NEAR = 0.02  # statements outside of a transaction that are so near to each other have one time
LOOKS_AFTER = 0.005  # real seconds after which an unanswered statement is asked about: no verdict hangs on it
BOUNDS = {
    "jit": "off",
    "timezone": "UTC",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "deadlock_timeout": "1d",  # who waits in a circle is found by the bound on waiting
    "plan_cache_mode": "force_generic_plan",
}
CLOCK = (
    "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE"
    " AS $$SELECT current_setting('sim.now')::timestamptz$$"
)
WAITS = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock')"
STILL_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"


@dataclass(eq=False)
class Blocked:
    """A statement that waits for a lock; its server process is halted. `answer` is what the driver waits for."""

    connection: "Connection"
    answer: "asyncio.Future[Any]"
    actor: Actor
    parking: Parking


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
    _asked: "asyncio.Future[None] | None" = None
    _seen: "asyncio.Future[None] | None" = None
    _timer: "asyncio.TimerHandle | None" = None

    async def open(self) -> None:
        """Put the virtual clock in."""
        self.monitor = await self.raw()
        await self.monitor.execute(CLOCK)
        self._tick()

    async def raw(self) -> Any:
        """A connection to the server itself."""
        found = await asyncpg.connect(
            self.url, ssl=False, server_settings=BOUNDS, max_cached_statement_lifetime=0, statement_cache_size=500
        )
        await prepare(found)
        await found.execute(f"SET sim.now = '{self.time.at.isoformat()}'")
        self.every.append(found)
        return found

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for blocked in self.blocked:
            blocked.connection.go_on()
        for raw in self.every:
            raw.terminate()
        await asyncio.sleep(0)

    async def checkout(self, process: Process) -> "Connection":
        """The connection that was given back last, where there is one: few of them have all the plans."""
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
        await connection.undo()
        await self.look()

    async def stop(self) -> None:
        """The server goes: every transaction is gone."""
        self.down = True
        for connection in list(self.used):
            await self.kill(connection, "the server went away")

    # ---- who waits for whom

    @coroutine
    def run(self, connection: "Connection", statement: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """One statement; parks the actor while another's lock is in the way."""
        self.statements += 1
        try:
            while True:
                answer = statement.send(None)
                answer._asyncio_future_blocking = False
                if not (yield from self.answered(answer, connection).__await__()):
                    connection.halt()
                    blocked = Blocked(connection, answer, ACTOR.get(), Parking())
                    self.blocked.append(blocked)
                    self.time.call_at(self.time.now + LOCK_TIMEOUT, lambda blocked=blocked: self._timed_out(blocked))
                    yield blocked.parking
        except StopIteration as done:
            return done.value
        finally:
            statement.close()

    async def answered(self, answer: "asyncio.Future[Any]", connection: "Connection") -> bool:
        """Whether a statement ends by itself; False when it waits for somebody's lock."""
        while not answer.done():
            asked = self._asked = asyncio.get_running_loop().create_future()

            def over(_: Any, asked: "asyncio.Future[None]" = asked) -> None:
                if not asked.done():
                    asked.set_result(None)

            answer.add_done_callback(over)
            await asked
            self._asked = None
            if not answer.done() and await self.monitor.fetchval(WAITS, connection.pid):
                return False
        return True

    def _tick(self) -> None:
        """Have whoever was unanswered at the last tick too ask whether he waits."""
        seen, self._seen = self._seen, self._asked
        if seen is not None and seen is self._asked and not seen.done():
            seen.set_result(None)
        self._timer = asyncio.get_running_loop().call_later(LOOKS_AFTER, self._tick)

    async def _cancel(self, blocked: Blocked) -> None:
        await self.monitor.execute("SELECT pg_cancel_backend($1)", blocked.connection.pid)
        blocked.connection.go_on()
        await asyncio.wait({blocked.answer})

    async def _timed_out(self, blocked: Blocked) -> None:
        if blocked in self.blocked:
            await self._cancel(blocked)
            await self.look()

    async def look(self) -> None:
        """After locks were released: whoever got his goes on, one after the other."""
        moved = bool(self.blocked)
        while moved:
            moved = False
            for blocked in list(self.blocked):
                if blocked.answer.done() or not await self.monitor.fetchval(STILL_WAITS, blocked.connection.pid):
                    moved = True
                    await self._go_on(blocked)

    async def _go_on(self, blocked: Blocked) -> None:
        """Let a halted one run, to its end or to the next lock that it waits for."""
        connection = blocked.connection
        connection.go_on()
        if await self.answered(blocked.answer, connection):
            self.blocked.remove(blocked)
            self.time.push(self.time.now, blocked.actor, blocked.parking)
        else:
            connection.halt()


@dataclass(eq=False)
class Connection:
    """What the product calls in place of the driver's connection. `begun`: the server knows of the transaction."""

    database: Database
    raw: Any
    process: Process
    in_transaction: bool = False
    begun: bool = False
    set_at: float = -1.0
    broken: str | None = None

    @property
    def pid(self) -> int:
        return int(self.raw.get_server_pid())

    @property
    def gate(self) -> Any:
        return self.raw._transport

    def halt(self) -> None:
        """Have its server process stand still."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

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
        self.gate.first(f"BEGIN; SET LOCAL sim.now = '{self._now()}'")
        self.in_transaction, self.begun = True, False
        if self.database.began is not None:
            self.database.began(ACTOR.get())

    async def commit(self) -> None:
        await self._point()
        if self.begun:
            await self.database.run(self, self.raw.execute("COMMIT"))
        self.gate.ahead = None
        self.in_transaction = self.begun = False
        if self.database.committed is not None:
            self.database.committed(ACTOR.get())
        await self.database.look()
        if self.database.lose_replies > 0:
            self.database.lose_replies -= 1
            self.broken = "the reply to a commit was lost"
            raise Unavailable(f"the database is out of reach: {self.broken}")

    async def rollback(self) -> None:
        if self.in_transaction:
            await self.undo()
            await self.database.look()

    async def undo(self) -> None:
        """The server forgets the transaction."""
        self.gate.ahead = None
        if self.begun:
            await self.raw.execute("ROLLBACK")
        self.in_transaction = self.begun = False

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
            self.gate.first(f"SET sim.now = '{self._now()}'")
            self.set_at = self.database.time.now
        self.begun = self.in_transaction
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
