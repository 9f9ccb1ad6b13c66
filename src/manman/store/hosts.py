"""Liveness of hosts: heartbeats in bulk, the sweep for silent ones, their history. Only the database's clock is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from manman.domain.hosts import Heard, HostMoved, Presence, Pulse, presence
from manman.domain.ids import HostId
from manman.store.pool import Connection, Row
from manman.store.sql import load

sql = load(__name__)
BACK_TOGETHER = 250  # hosts that return in one statement


class Beat(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The newest heartbeat of one host in a batch, with the journal of the life that beats. Without a boot (a plain publisher) it is
    always the newest."""

    host_id: HostId
    boot: int | None = None
    beat: int | None = None
    journal: str | None = None
    live_count: int | None = None
    live_xor: int | None = None


class Beaten(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of a heartbeat. `was` is what the row said before; `counted` whether it was above the known pair; `postponed` that it
    was, and was left for the next one to say, since enough others returned with it.

    `known_boot`, `known_journal` and `last_seen`, as the row said before, are told of those that did not count or brought their host
    back.
    """

    host_id: HostId
    known: bool
    counted: bool
    postponed: bool = False
    was: Presence = Presence.NEW
    known_boot: int = 0
    known_journal: str | None = None
    last_seen: datetime | None = None

    @property
    def returned(self) -> bool:
        """Whether it brought an absent host back (or a new one for the first time)."""
        return self.counted and self.was is not Presence.ONLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A host that the sweep marked as gone; `number` is that of its history row."""

    host_id: HostId
    name: str
    labels: Mapping[str, str]
    agent_version: str
    last_seen: datetime
    number: int
    mass: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A host that was not heard for longer than the threshold."""

    host_id: HostId
    name: str
    last_seen: datetime
    online: bool


async def update_status_and_last_seen(conn: Connection, rows: Sequence[Heard]) -> list[HostId]:
    """Writes liveness as it was decided over locked rows: hosts that said hello or goodbye, were asked, reported."""
    if not rows:
        return []
    names = ("host_id", "online", "boot", "beat", "last_seen", "returned_at", "asked_at", "journal")
    columns = [[getattr(row, name) for row in rows] for name in names]
    return [HostId(row["host"]) for row in await conn.fetch(sql["update_status_and_last_seen"], *columns)]


async def update_last_seen(conn: Connection, beats: Sequence[Beat], *, back: int = BACK_TOGETHER) -> list[Beaten]:
    """Takes one heartbeat of each host, in one statement that updates in place; tells what became of each, in the order given.

    The caller announces who `returned`, and answers one that did not count with a request for a report. A beat whose host's row
    somebody else holds right now does not count either: the next one will. No more than `back` absent hosts come back, by id; the
    others are `postponed`: nothing of them is written. Their next beat counts, for those before them are here by then.
    """
    if not beats:
        return []
    found = await conn.fetch(
        sql["update_last_seen"],
        [beat.host_id for beat in beats],
        [beat.boot for beat in beats],
        [beat.beat or 0 for beat in beats],
        [beat.live_count for beat in beats],
        [beat.live_xor for beat in beats],
        [beat.journal for beat in beats],
        back,
    )
    special = {row["host"]: row for row in found}
    return [
        _beaten(special[beat.host_id])
        if beat.host_id in special
        else Beaten(host_id=beat.host_id, known=True, counted=True, was=Presence.ONLINE)
        for beat in beats
    ]


def _beaten(row: Row) -> Beaten:
    return Beaten(
        host_id=HostId(row["host"]),
        known=row["known"],
        counted=row["counted"],
        postponed=row["postponed"],
        was=_was(row),
        known_boot=row["boot"] or 0,
        known_journal=row["journal"],
        last_seen=row["last_seen"],
    )


def _was(row: Row) -> Presence:
    if row["online"] is None:
        return Presence.NEW
    return presence(online=row["online"], beat=row["beat"], last_seen=row["last_seen"])


async def touch_pulse(conn: Connection) -> Pulse:
    """Says that heartbeats come through now: with every batch of them. A pause of 3 s begins a new `since`."""
    row = await conn.fetchrow(sql["touch_pulse"])
    return Pulse(last=row["last"], since=row["since"])


async def pulse(conn: Connection) -> tuple[Pulse | None, datetime]:
    """The ear (None before the first heartbeat ever) and the database's time."""
    row = await conn.fetchrow(sql["pulse"])
    return (None if row["last"] is None else Pulse(last=row["last"], since=row["since"])), row["now"]


async def list_stale(conn: Connection, threshold: timedelta) -> list[Silent]:
    """Hosts that were heard once, but not within the threshold, by id."""
    found = await conn.fetch(sql["list_stale"], threshold)
    return [
        Silent(host_id=HostId(r["host"]), name=r["name"], last_seen=r["last_seen"], online=r["online"]) for r in found
    ]


async def mark_offline(
    conn: Connection,
    threshold: timedelta,
    reconnect: timedelta | None = None,
    *,
    most: int = 1000,
    mass: bool | None = None,
) -> list[Marked]:
    """The sweep: finds, marks and records silent hosts in one statement, at most `most` of them, by id; the caller announces them
    in the same transaction.

    Nothing is marked unless heartbeats come through and have for longer than threshold + reconnect (one threshold unless given).
    When more than half of at least four are silent, or nearly so, they wait one further threshold, and are marked with `mass`. Where
    more are silent than `most`, `mass` hands what was said of the first ones to those that follow.
    """
    reconnect = threshold if reconnect is None else reconnect
    found = await conn.fetch(sql["mark_offline"], threshold, reconnect, most, mass)
    return [
        Marked(
            host_id=HostId(row["host"]),
            name=row["name"],
            labels=row["labels"],
            agent_version=row["agent_version"],
            last_seen=row["last_seen"],
            number=row["number"],
            mass=row["mass"],
        )
        for row in found
    ]


async def add_history(conn: Connection, moved: Sequence[HostMoved]) -> list[int]:
    """One history row for each, numbered without gaps by host; returns the numbers in the order given."""
    if not moved:
        return []
    found = await conn.fetch(
        sql["add_history"],
        [m.host_id for m in moved],
        [m.from_.value for m in moved],
        [m.to.value for m in moved],
        [m.at for m in moved],
        [m.cause for m in moved],
        [_uuid(m.event_id) for m in moved],
    )
    return [row["number"] for row in found]


def _uuid(text: str | None) -> UUID | None:
    """The id of an event; a foreign publisher's that is no UUID identifies nothing."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None


async def asked(conn: Connection, hosts: Sequence[HostId]) -> None:
    """Notes that these hosts were asked for a report now."""
    await conn.execute(sql["asked"], list(hosts))


async def set_agent_versions(conn: Connection, versions: Mapping[HostId, str]) -> None:
    """Notes which agent versions hosts said they run."""
    if versions:
        await conn.execute(sql["set_agent_versions"], list(versions), list(versions.values()))
