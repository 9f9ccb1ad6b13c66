"""Attempts at suspects: a redelivered message is noted before it is tried, and the note erased with the commit that applies it."""

from __future__ import annotations

from collections.abc import Sequence

from manman.store.pool import Connection
from manman.store.sql import load, storable

sql = load(__name__)


async def note(conn: Connection, message: str, key: str, host: int | None) -> int:
    """Notes an attempt, in a transaction of its own; returns how many there were with this one. `message` is what the
    suspect is called: a text that can be stored."""
    count: int = await conn.fetchval(sql["note"], message, storable(key), host)
    return count


async def take_back(conn: Connection, messages: Sequence[str]) -> None:
    """One attempt at each was none: it ended by no fault of theirs."""
    await conn.execute(sql["take_back"], list(messages))


async def erase(conn: Connection, messages: Sequence[str]) -> None:
    """Forgets the notes, in the transaction that settles these messages."""
    if messages:
        await conn.execute(sql["erase"], list(messages))
