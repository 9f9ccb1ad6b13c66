"""Dead letters, as operators deal with them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


async def lock(conn: Connection, letter: int) -> Any | None:
    """A dead letter, locked."""
    return await conn.fetchrow(sql["lock"], letter)


async def note_replay(conn: Connection, letter: int, replay: UUID) -> None:
    """Notes that it was sent again; whoever applies it closes the row."""
    await conn.execute(sql["replay"], letter, replay)


async def drop(conn: Connection, letter: int) -> bool:
    """Removes a dead letter; false when there is none."""
    return await conn.fetchval(sql["drop"], letter) is not None
