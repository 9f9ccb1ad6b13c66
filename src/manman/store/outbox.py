"""The outbox: what a transaction makes others hear. Commands leave it by confirm, all else by the move to `events`; what the relay's
leader says itself while nobody numbers and nothing waits goes there at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.events.envelope import Header
from manman.events.outbox import OutboxRow
from manman.events.topics import INTERNAL
from manman.store.events import Event
from manman.store.pool import Connection, Row
from manman.store.sql import Part, load, rows, together

sql = load(__name__)
_MICROSECOND = timedelta(microseconds=1)

CHANNEL = "manman_outbox"
"""The channel that is notified by each commit which inserted rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A row that waits for its confirm. `ttl_left` is none for a row without a TTL, negative for one whose time is over."""

    id: int
    row: OutboxRow
    ttl_left: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much waits, and how many seconds the oldest has."""

    commands: int
    events: int
    oldest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The relay's leader, as it knows itself: the lease, who holds it, and the last position that is known to be published."""

    lease: str
    holder: str
    published: int | None


async def insert(
    conn: Connection, messages: Sequence[OutboxRow], *, beside: Sequence[Part] = (), leader: Leader | None = None
) -> list[Event]:
    """Puts rows into the outbox, in the order given, in one statement with those `beside` it; the commit wakes the relay.

    What a `leader` says becomes events at once where that keeps the order: they are returned, and may be published after the commit.
    """
    if not messages:
        await together(conn, beside)
        return []
    said = await together(conn, [*beside, _insertion(messages, leader)])
    if said["first"] is None:
        return []
    numbered = (row for row in messages if row.exchange != INTERNAL)
    return [
        Event(epoch=said["epoch"], position=position, at=said["at"], row=row)
        for position, row in enumerate(numbered, said["first"])
    ]


class _Row(msgspec.Struct, omit_defaults=True, gc=False):
    """A row as it travels: what it does not say is left out, and the key where it is the type."""

    event_id: str
    type: str
    key: str | None = None
    exchange: str | None = None
    headers: Mapping[str, Header] | None = None
    host: int | None = None
    session: int | None = None
    deployment: int | None = None
    sequence: int | None = None
    public: bool = False
    ttl: str | None = None


def _insertion(messages: Sequence[OutboxRow], leader: Leader | None) -> Part:
    """Bodies travel beside the rows: what is nested in JSON is read twice."""
    bodies = [row.encoded.decode() for row in messages]
    by = (None, None, None) if leader is None else (leader.lease, leader.holder, leader.published)
    return Part(sql["insert"], (rows([_values(row) for row in messages]), bodies, *by))


def _values(row: OutboxRow) -> _Row:
    return _Row(
        row.event_id,
        row.type,
        None if row.key == row.type else row.key,
        row.exchange,
        row.headers or None,
        row.host_id,
        row.session_id,
        row.deployment_id,
        row.sequence,
        row.public,
        None if row.ttl is None else f"{row.ttl / _MICROSECOND:.0f} us",
    )


async def commands(conn: Connection, limit: int, *, held_up: Collection[int] = ()) -> list[Waiting]:
    """The oldest commands, in order, without those of the hosts that are `held_up` (0: rows without a host)."""
    found = await conn.fetch(sql["commands"], limit, list(held_up))
    return [Waiting(id=row["id"], row=row_of(row), ttl_left=row["left"]) for row in found]


async def remove(conn: Connection, ids: Sequence[int]) -> None:
    """Takes out what was confirmed (or is too old to be sent); harmless for rows that are gone."""
    if ids:
        await conn.execute(sql["remove"], list(ids))


async def backlog(conn: Connection) -> Backlog:
    """What waits, for metrics."""
    row = await conn.fetchrow(sql["waiting"])
    return Backlog(commands=row["commands"], events=row["events"], oldest=row["oldest"])


def row_of(row: Row) -> OutboxRow:
    """The value of a record with the columns of `outbox` or `events`, the body as text."""
    return OutboxRow(
        event_id=str(row["event_id"]),
        type=row["type"],
        key=row["key"],
        body=row["body"].encode(),
        exchange=row["exchange"],
        headers=row["headers"],
        host_id=_maybe(HostId, row["host"]),
        session_id=_maybe(SessionId, row["session"]),
        deployment_id=_maybe(DeploymentId, row["deployment"]),
        sequence=row["sequence"],
        public=row["public"],
        ttl=row["ttl"],
    )


def _maybe(kind: Any, value: int | None) -> Any:
    return None if value is None else kind(value)
