"""Leases of leaders and replicas: 4 s by the database's clock, renewed each second.

A holder looks at its lease again in every transaction it makes (`is_mine`): one that was frozen has lost it by that clock, and what
it does then changes nothing. Take and renew on a connection of its own, outside of any transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)

LASTS = timedelta(seconds=4)
RENEW_EVERY = timedelta(seconds=1)
Kind = Literal["leader", "replica"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A live replica; `facts` is what it said about itself."""

    holder: str
    facts: Mapping[str, Any]
    since: datetime


async def take(
    conn: Connection,
    name: str,
    holder: str,
    kind: Kind = "leader",
    *,
    lasts: timedelta = LASTS,
    facts: Mapping[str, Any] | None = None,
) -> int | None:
    """Takes or renews a lease; the term (rising with each new holder), or None while it is somebody else's.

    Renewing never waits for the holder's own transactions; nobody takes over while one of them goes on.
    """
    term: int | None = await conn.fetchval(sql["take"], name, kind, holder, lasts, dict(facts or {}))
    return term


renew = take
"""Taking what one holds is renewing it."""


async def is_mine(conn: Connection, name: str, holder: str) -> bool:
    """Whether the lease still holds, by the database's clock; until the end of this transaction nobody takes it over."""
    mine: bool = await conn.fetchval(sql["is_mine"], name, holder)
    return mine


async def release(conn: Connection, name: str, holder: str) -> None:
    """Gives a lease up, so that the next one need not wait; harmless when it is not held."""
    await conn.execute(sql["release"], name, holder)


async def holder_of(conn: Connection, name: str) -> str | None:
    """Who holds a lease now."""
    found: str | None = await conn.fetchval(sql["holder"], name)
    return found


async def enter(
    conn: Connection, service: str, holder: str, *, lasts: timedelta = LASTS, facts: Mapping[str, Any] | None = None
) -> None:
    """Says that a replica of a service lives; to be repeated each second."""
    await take(conn, f"{service}/{holder}", holder, "replica", lasts=lasts, facts=facts)


async def leave(conn: Connection, service: str, holder: str) -> None:
    """A replica goes."""
    await release(conn, f"{service}/{holder}", holder)


async def replicas(conn: Connection, service: str) -> list[Replica]:
    """The live replicas of a service in a stable order; long dead ones are forgotten."""
    await conn.execute(sql["forget_replicas"])
    found = await conn.fetch(sql["replicas"], f"{service}/%")
    return [Replica(holder=row["holder"], facts=row["facts"], since=row["acquired_at"]) for row in found]
