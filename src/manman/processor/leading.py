"""Leases of this process: who relays, who sweeps. Another process takes over within 4 s of a leader's death or freeze.

A leader looks at its lease again in every transaction it makes (`Lease.transaction`): a frozen one lost it by the database's
clock, and what it does when it wakes changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from manman.errors import ManManError, Transient
from manman.observability import get_logger, metrics
from manman.processor.backoff import Backoff
from manman.store import leadership, outbox
from manman.store.pool import Connection, Pool, reach, single
from manman.store.settings import DatabaseSettings

log = get_logger(__name__)


class NotLeading(Transient):
    """Somebody else leads now; whoever catches it waits for its turn."""

    code = "unavailable"


@dataclass(slots=True)
class Lease:
    """One thing that only one process does at a time. `led` is set while it is this one, as far as this process knows."""

    name: str
    holder: str
    pool: Pool
    led: asyncio.Event = field(default_factory=asyncio.Event)
    term: int | None = None

    def know(self, term: int | None) -> None:
        """What the database said of the lease."""
        if (term is None) == self.led.is_set():
            log.info("leads" if term is not None else "leads_no_more", what=self.name, term=term or self.term)
        self.term = term
        self.led.set() if term is not None else self.led.clear()
        metrics.gauge(f"leads_{self.name}", 0 if term is None else 1)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction in which the lease holds, or `NotLeading`."""
        async with self.pool.transaction() as conn:
            if not await leadership.is_mine(conn, self.name, self.holder):
                self.lose()
            yield conn

    def lose(self) -> NoReturn:
        """The database says that it is not this process's any more: raises `NotLeading`."""
        self.know(None)
        raise NotLeading(f"another process holds the lease {self.name!r}")

    def standby(self) -> str | None:
        """For readiness: that another process does it."""
        return None if self.led.is_set() else f"another process leads: {self.name}"


class Member(Protocol):
    """One of several that live at a time, and what follows for it from who else does."""

    async def renew(self, conn: Connection) -> None:
        """Say that it lives; each second."""
        ...

    async def leave(self, conn: Connection) -> None:
        """Say that it goes."""
        ...


@dataclass(slots=True)
class Leases:
    """Keeps this process's leases on a connection of its own, which also hears when rows enter the outbox. `member` renews with
    them."""

    database: DatabaseSettings
    leases: tuple[Lease, ...]
    backoff: Backoff
    woken: Callable[[str], None]
    member: Member | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Take, renew each second, give up at the end so that the next one need not wait."""
        while not stop.is_set():
            try:
                await self._one_life(stop)
            except ManManError as error:
                log.warning("leases_paused", reason=str(error))
                for lease in self.leases:
                    lease.know(None)
                await self.backoff.wait(stop)

    async def _one_life(self, stop: asyncio.Event) -> None:
        conn = await single(self.database)
        try:
            with reach():
                await conn.add_listener(outbox.CHANNEL, lambda *said: self.woken(str(said[-1])))
                while not stop.is_set():
                    await self.step(conn)
                    await _sleep(stop, leadership.RENEW_EVERY.total_seconds())
                for lease in self.leases:
                    await leadership.release(conn, lease.name, lease.holder)
                    lease.know(None)
                if self.member is not None:
                    await self.member.leave(conn)
        finally:
            conn.terminate()

    async def step(self, conn: Connection) -> None:
        """Take or renew each lease once."""
        for lease in self.leases:
            lease.know(await leadership.take(conn, lease.name, lease.holder))
        if self.member is not None:
            await self.member.renew(conn)
        self.backoff.reset()


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
