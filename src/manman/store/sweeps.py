"""What the clock makes due: found by statements of their own, decided by the rules, or only marked as sent or asked.

"Fresh" is a host that is online and was heard within the threshold; a sweep never judges or asks one that is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from manman.domain.hosts import Pulse
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.ranges import Ranges
from manman.domain.sessions import Desired
from manman.domain.wishes import Wish
from manman.store import session_leases
from manman.store.pool import Connection, Row
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A deployment whose host has not said that it holds this wish; `status` says whether it installs or removes."""

    deployment_id: DeploymentId
    host_id: HostId
    wish: Wish
    version: int
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A deployment that is no longer this host's, and the version of the stop that says so."""

    host_id: HostId
    deployment_id: DeploymentId
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Hosts above `after` up to `last`; `full`: there may be more behind it."""

    after: HostId
    last: HostId
    full: bool


async def pulse(conn: Connection) -> tuple[Pulse | None, datetime]:
    """The ear and the database's clock."""
    row = await conn.fetchrow(sql["pulse"])
    if row["last"] is None or row["since"] is None:
        return None, row["now"]
    return Pulse(last=row["last"], since=row["since"]), row["now"]


async def stale_hosts(conn: Connection) -> tuple[int, int]:
    """How many hosts are silent without a goodbye, of how many that were ever heard."""
    row = await conn.fetchrow(sql["stale_hosts"])
    return row["stale"], row["heard"]


async def due_starts(conn: Connection, threshold: timedelta, most: int) -> list[SessionId]:
    """Pending sessions whose deadline passed and that may be judged, unlocked."""
    return [SessionId(r["id"]) for r in await conn.fetch(sql["due_starts"], threshold, most)]


async def unseen_wishes(conn: Connection, threshold: timedelta, most: int) -> list[Unseen]:
    """Wishes to repeat; each is marked, so that it is due again after one threshold."""
    return [_unseen(r, None) for r in await conn.fetch(sql["unseen_wishes"], threshold, most)]


async def unseen_places(conn: Connection, threshold: timedelta, most: int) -> list[Unseen]:
    """Installs and removals to repeat; marked alike."""
    return [_unseen(r, r["status"]) for r in await conn.fetch(sql["unseen_places"], threshold, most)]


async def revocations(conn: Connection, threshold: timedelta, most: int) -> list[Revoked]:
    """Stops to repeat to former hosts; marked alike."""
    return [
        Revoked(host_id=HostId(r["host"]), deployment_id=DeploymentId(r["deployment"]), version=r["version"])
        for r in await conn.fetch(sql["revocations"], threshold, most)
    ]


async def release(conn: Connection, seen: Mapping[tuple[HostId, DeploymentId], int]) -> None:
    """Forget the stops that former hosts have seen: (host, deployment) to the version that it holds."""
    keys = sorted(seen)
    await conn.execute(sql["release"], [k[0] for k in keys], [k[1] for k in keys], [seen[k] for k in keys])


async def take_over_lease(conn: Connection, host: HostId, held: Ranges) -> Ranges:
    """A restored database believes the lease that a host still holds: its ids without those that have a session. The whole set."""
    found = await conn.fetchval(sql["take_over_lease"], host, session_leases.to_multirange(held))
    return session_leases.of_multirange(found or ())


async def holed(conn: Connection, hosts: Collection[HostId], threshold: timedelta) -> int:
    """From how many journals of these hosts something is missing without progress."""
    number: int = await conn.fetchval(sql["holed"], sorted(hosts), threshold)
    return number


async def hosts_to_ask(
    conn: Connection, threshold: timedelta, differing: Collection[HostId], *, most: int, lost_after: timedelta
) -> list[HostId]:
    """Hosts whose report is missing, from whose journal something is, or that differ, longest unasked first.

    At most `most`, less those asked within the threshold, and less those asked earlier that are still due: only after `lost_after` is
    their report given up.
    """
    found = await conn.fetch(sql["hosts_to_ask"], threshold, sorted(differing), most, lost_after)
    return [HostId(r["host"]) for r in found]


async def slice_of_hosts(conn: Connection, after: HostId, most: int) -> Slice:
    """The next piece of hosts by key, for what looks at all of them."""
    row = await conn.fetchrow(sql["slice"], after, most)
    return Slice(after=after, last=HostId(row["last"] or after), full=row["many"] == most)


async def hosts_that_differ(conn: Connection, threshold: timedelta, piece: Slice) -> list[HostId]:
    """Hosts of a piece whose live sessions are not those of the rows."""
    found = await conn.fetch(sql["hosts_that_differ"], threshold, piece.after, piece.last)
    return [HostId(r["host"]) for r in found]


async def ask(conn: Connection, hosts: Collection[HostId]) -> list[HostId]:
    """Mark these hosts as asked for a report; one that is locked right now is left for the next time."""
    return [HostId(r["host"]) for r in await conn.fetch(sql["ask"], sorted(hosts))]


async def note_reports(conn: Connection, *, due: Collection[HostId], came: Collection[HostId] = ()) -> None:
    """Reports that are wanted until one was applied, and hosts whose report was; no host is in both."""
    await conn.execute(sql["note_reports"], sorted(came), sorted(due))


async def lost_hosts(conn: Connection, after: timedelta, most: int) -> list[HostId]:
    """Hosts that were away for longer than `after` and have live sessions."""
    return [HostId(r["host"]) for r in await conn.fetch(sql["lost_hosts"], after, most)]


Kept = Literal["sessions", "deployment_history", "dead_letters", "events"]


async def forget(conn: Connection, what: Kept, older: timedelta, most: int) -> int:
    """Remove rows that are older than the span, at most `most`; how many went."""
    return _count(await conn.execute(sql[f"forget_{what}"], older, most))


async def forget_of_hosts(conn: Connection, older: timedelta, piece: Slice) -> int:
    """Remove what is old of a piece of the hosts: histories beyond the span, journals unused for 30 days, samples by resolution;
    how many rows went."""
    gone = _count(await conn.execute(sql["forget_host_history"], piece.after, piece.last, older))
    gone += _count(await conn.execute(sql["forget_journals"], piece.after, piece.last))
    return gone + _count(await conn.execute(sql["forget_samples"], piece.after, piece.last))


async def forget_leftovers(conn: Connection, most: int) -> int:
    """Remove replies after 24 h and notes of attempts after a day, at most `most` of each; how many went of the kind of which
    most did."""
    return max([_count(await conn.execute(sql[f"forget_{what}"], most)) for what in ("replies", "attempts")])


async def sum_up_samples(conn: Connection, piece: Slice) -> None:
    """Minute samples from those of ten seconds, ten-minute samples from those, for a piece of the hosts."""
    await conn.execute(sql["sum_up_samples"], 10, 60, piece.after, piece.last)
    await conn.execute(sql["sum_up_samples"], 60, 600, piece.after, piece.last)


def _unseen(row: Row, status: str | None) -> Unseen:
    return Unseen(
        deployment_id=DeploymentId(row["id"]),
        host_id=HostId(row["host"]),
        wish=Wish(desired=Desired(row["desired"]), version=row["desired_version"], fresh_version=row["fresh_version"]),
        version=row["version"],
        status=status,
    )


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
