"""Events: numbered rows, the only cursor for replay and streams. Positions are commit-ordered and gap-free within an epoch.

The relay's leader moves rows out of the outbox (`move`), publishes from here in order (`unpublished`) and advances. Readers are
woken by NOTIFY (`listen`), know where replay may begin (`bounds`) and follow by position (`after`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from manman.events.outbox import OutboxRow
from manman.store.outbox import row_of
from manman.store.pool import Connection, Row
from manman.store.sql import load

sql = load(__name__)

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


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The epoch, the last position that was given, and the first that is still kept (None: none is)."""

    epoch: int
    last: int
    first: int | None


async def move(conn: Connection, limit: int) -> int:
    """Moves the oldest rows of the outbox that are no commands, in order; returns how many. Needs a transaction.

    The caller holds the relay's lease and has looked at it in this transaction; two at once would still give each position once.
    """
    last = await conn.fetchval(sql["lock_counter"])
    row = await conn.fetchrow(sql["move"], last, limit)
    return 0 if row is None else int(row["moved"])


async def unpublished(conn: Connection, limit: int) -> list[Event]:
    """What follows the last published position, in order, rows without an exchange included."""
    return [_event(row) for row in await conn.fetch(sql["unpublished"], limit)]


async def advance(conn: Connection, position: int) -> int:
    """Everything up to `position` is published; never goes back. Returns where the cursor is."""
    value: int = await conn.fetchval(sql["advance"], position)
    return value


async def bounds(conn: Connection) -> Bounds:
    """Where replay may begin and ends."""
    row = await conn.fetchrow(sql["bounds"])
    return Bounds(epoch=row["epoch"], last=row["last"], first=row["first"])


async def after(conn: Connection, epoch: int, position: int, most: int) -> list[Any]:
    """Events of an epoch after a position, oldest first, with the columns of `listed`."""
    text = f"SELECT * FROM ({sql['listed']}) AS rows WHERE epoch = $1 AND position > $2 ORDER BY position LIMIT $3"
    return list(await conn.fetch(text, epoch, position, most))


async def listen(conn: Connection, wake: Callable[[], None]) -> None:
    """Calls `wake` whenever events were added; the connection must not be inside a transaction."""
    await conn.add_listener(CHANNEL, lambda *_: wake())


def _event(row: Row) -> Event:
    return Event(epoch=row["epoch"], position=row["position"], at=row["at"], row=row_of(row))
