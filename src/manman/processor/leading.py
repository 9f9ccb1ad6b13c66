"""Leases of this process: who relays, who sweeps. Another process takes over within 4 s of a leader's death or freeze.

A leader that cannot renew in time says so itself: a round of renewals that is not answered within `ANSWERED_WITHIN` ends, with its
connection, before the lease does. At the end each lease is kept until what is done under it is over, and then given up.

Whoever cannot reach the broker while the database answers leaves the relay, the changes of partitions and its share of them to those who
are left; one that is alone, or the last, stays.

A leader looks at its lease again in every transaction it makes (`Lease.transaction`): a frozen one lost it by the database's
clock, and what it does when it wakes changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from manman.errors import ManManError, Transient
from manman.events.bus import Bus
from manman.observability import get_logger, metrics
from manman.processor.backoff import Backoff
from manman.processor.failing import told
from manman.store import leadership, outbox
from manman.store.pool import Connection, Pool, reach, single
from manman.store.settings import DatabaseSettings

log = get_logger(__name__)
SEVERED_AFTER = 5.0  # seconds
ANSWERED_WITHIN = 2.0  # seconds; with those between two rounds less than a lease lasts


class NotLeading(Transient):
    """Somebody else leads now; whoever catches it waits for its turn."""

    code = "unavailable"


@dataclass(slots=True)
class Lease:
    """One thing that only one process does at a time. `led` is set while it is this one, as far as this process knows, `over`
    when this process is ending and does nothing under it any more. `speaks`: it is of no use to who cannot reach the broker."""

    name: str
    holder: str
    pool: Pool
    speaks: bool = False
    led: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
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

    async def renew(self, conn: Connection, *, severed: bool) -> bool:
        """Say that it lives; each second. One that is `severed` from the broker leaves all to the others, where there are any; whether
        it stays."""
        ...

    async def leave(self, conn: Connection) -> None:
        """Say that it goes."""
        ...


@dataclass(slots=True)
class Severed:
    """Whether one of this process's ways to the broker is closed, for longer than losing it and finding it again takes."""

    buses: Sequence[Bus]
    loop_time: Callable[[], float]
    since: float | None = None

    def __call__(self) -> bool:
        """To be asked each second."""
        now = self.loop_time()
        if all(bus.connected for bus in self.buses):
            self.since = None
        elif self.since is None:
            self.since = now
        return self.since is not None and now - self.since >= SEVERED_AFTER


@dataclass(slots=True)
class Leases:
    """Keeps this process's leases on a connection of its own, which also hears when rows enter the outbox. `member` renews before
    them."""

    database: DatabaseSettings
    leases: tuple[Lease, ...]
    backoff: Backoff
    woken: Callable[[str], None]
    member: Member
    severed: Callable[[], bool]
    away: bool = False
    stays: bool = True

    async def run(self, stop: asyncio.Event) -> None:
        """Take, renew each second, give up at the end so that the next one need not wait."""
        while not stop.is_set():
            try:
                await self._one_life(stop)
            except Exception as error:
                if not isinstance(error, ManManError):
                    log.error("loop_failed", loop="leases", **told(error))
                elif not self.away:
                    log.warning("leases_paused", reason=str(error))
                self.away = True
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
                await self._leave(conn)
        finally:
            conn.terminate()

    async def step(self, conn: Connection) -> None:
        """Take or renew each lease once."""
        severed = self.severed()
        async with asyncio.timeout(ANSWERED_WITHIN):
            stays = await renew(conn, self.member, self.leases, severed=severed)
        if self.stays and not stays:
            log.warning("left_to_others", reason="the broker is out of reach")
        elif stays and not self.stays:
            log.info("takes_part_again")
        self.stays = stays
        self.backoff.reset()
        if self.away:
            log.info("leases_resumed")
        self.away = False

    async def _leave(self, conn: Connection) -> None:
        """Give up what is over, renew what is not yet."""
        async with asyncio.timeout(ANSWERED_WITHIN):
            await self.member.leave(conn)
        left = list(self.leases)
        while left:
            await _sleep(left[0].over, leadership.RENEW_EVERY.total_seconds())
            async with asyncio.timeout(ANSWERED_WITHIN):
                severed = self.severed()
                left = [lease for lease in left if not await _given_up(conn, lease, severed=severed)]


async def renew(conn: Connection, member: Member, leases: Sequence[Lease], *, severed: bool) -> bool:
    """Take or renew each lease once; whether this process takes part, or leaves what needs the broker to others."""
    stays = await member.renew(conn, severed=severed)
    for lease in leases:
        if stays or not lease.speaks:
            lease.know(await leadership.take(conn, lease.name, lease.holder))
        elif lease.led.is_set():
            lease.know(None)
            await leadership.release(conn, lease.name, lease.holder)
    return stays


async def _given_up(conn: Connection, lease: Lease, *, severed: bool) -> bool:
    """Whether it was over, or is of no use without the broker; else it is renewed."""
    over = lease.over.is_set() or (lease.speaks and severed)
    if over:
        await leadership.release(conn, lease.name, lease.holder)
        lease.know(None)
    elif lease.led.is_set():
        lease.know(await leadership.take(conn, lease.name, lease.holder))
    return over


async def _sleep(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        pass
