"""What people read: lists and single rows of every noun, as records with a column for each field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


async def one(conn: Connection, noun: str, column: str, key: int, *arguments: Any) -> Any | None:
    """The row of a noun ("hosts", "deployments", "sessions", "games", "configs", "dead_letters"), None when there is none."""
    number = f"${len(arguments) + 1}"
    return await conn.fetchrow(f"SELECT * FROM ({sql[noun]}) AS rows WHERE rows.{column} = {number}", *arguments, key)


async def rows(conn: Connection, name: str, *arguments: Any) -> list[Any]:
    """The rows of a statement of this module."""
    return list(await conn.fetch(sql[name], *arguments))


async def row(conn: Connection, name: str, *arguments: Any) -> Any | None:
    """The first row of a statement of this module."""
    return await conn.fetchrow(sql[name], *arguments)


async def now(conn: Connection) -> datetime:
    """The database's time."""
    moment: datetime = await conn.fetchval(sql["now"])
    return moment
