"""Events: numbered rows, the only cursor for replay and streams. Positions are commit-ordered and gap-free within an epoch.

The relay's leader moves rows out of the outbox (`move`), publishes from here in order (`unpublished`) and advances. Whoever reads
is woken by NOTIFY on `CHANNEL` and follows by `event_reads`.
"""

from __future__ import annotations

from datetime import datetime

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


def _event(row: Row) -> Event:
    return Event(epoch=row["epoch"], position=row["position"], at=row["at"], row=row_of(row))
