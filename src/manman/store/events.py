"""Events: numbered rows, the only cursor for replay and streams. Positions are commit-ordered and gap-free within an epoch.

The relay's leader moves rows out of the outbox, publishes from here in order and advances: `relay`. Readers are woken by NOTIFY
(`listen`), know where replay may begin (`bounds`) and follow by position (`after`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.errors import Unavailable
from manman.events.envelope import Header
from manman.events.outbox import OutboxRow
from manman.store.pool import Connection, reach
from manman.store.sql import load

sql = load(__name__)

MOST_LOOKS = 100
CHANNEL = "manman_events"
"""Notified with the newest position by each commit that moved rows."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A numbered row. `at` is when its transaction was."""

    epoch: int
    position: int
    at: datetime
    row: OutboxRow

    @property
    def cursor(self) -> str:
        """Where a reader goes on after this event."""
        return f"{self.epoch}-{self.position}"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of the relay found: whether the lease holds (else nothing was done), how many rows it moved; of what
    follows the last published position how many are due now, whether there may be more, and those that others hear. `last` is the last
    of them, the published one where there is none."""

    leads: bool
    moved: int
    due: int
    more: bool
    epoch: int
    last: int
    public: list[Event]


class _Public(msgspec.Struct, frozen=True, array_like=True):
    epoch: int
    position: int
    at: datetime
    id: str
    type: str
    exchange: str
    key: str
    body: msgspec.Raw
    headers: dict[str, Header]
    host: HostId | None
    session: SessionId | None
    deployment: DeploymentId | None
    sequence: int | None
    public: bool


_PUBLIC = msgspec.json.Decoder(list[_Public])


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The epoch, the last position that was given, and the first that is still kept (None: none is)."""

    epoch: int
    last: int
    first: int | None


async def relay(
    conn: Connection, most: int, *, published: int | None = None, lease: tuple[str, str] | None = None
) -> Turn:
    """One turn of the relay, one statement: notes what is published, moves at most `most` of the oldest rows of the outbox that are no
    commands, and answers what is to be published next, in order (of a backlog at most `most`).

    `lease` is its name and who holds it, looked at in the same transaction; two movers at once still give each position once.
    """
    name, holder = lease or (None, None)
    for _ in range(MOST_LOOKS):
        row = await conn.fetchrow(sql["relay"], name, holder, published, most)
        if row["fresh"] or not row["leads"]:
            break
    else:
        raise Unavailable("the counter of events moved at each look, or its row is missing: is a restore going on?")
    return Turn(
        leads=row["leads"],
        moved=row["moved"],
        due=row["due"],
        more=row["due"] >= most,
        epoch=row["epoch"],
        last=row["last"],
        public=[_event(one) for one in _PUBLIC.decode(row["public"] or "[]")],
    )


async def bounds(conn: Connection) -> Bounds:
    """Where replay may begin and ends."""
    row = await conn.fetchrow(sql["bounds"])
    return Bounds(epoch=row["epoch"], last=row["last"], first=row["first"])


async def after(conn: Connection, epoch: int, position: int, most: int) -> list[Any]:
    """Events of an epoch after a position, oldest first, with the columns of `listed`."""
    text = f"SELECT * FROM ({sql['listed']}) AS rows WHERE epoch = $1 AND position > $2 ORDER BY position LIMIT $3"
    return list(await conn.fetch(text, epoch, position, most))


async def listen(conn: Connection, wake: Callable[[], None]) -> None:
    """Calls `wake` whenever events were added; the connection must not be inside a transaction. Raises `Unavailable`."""
    with reach():
        await conn.add_listener(CHANNEL, lambda *_: wake())


def _event(one: _Public) -> Event:
    row = OutboxRow(
        event_id=one.id,
        type=one.type,
        key=one.key,
        body=bytes(one.body),
        exchange=one.exchange,
        headers=one.headers,
        host_id=one.host,
        session_id=one.session,
        deployment_id=one.deployment,
        sequence=one.sequence,
        public=one.public,
    )
    return Event(epoch=one.epoch, position=one.position, at=one.at, row=row)
