"""Who a credential belongs to, and the credentials that are made and ended. Hashes only; every time is the database's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
Credential = Literal["login", "api_key", "host_key"]


async def find(conn: Connection, credential: Credential, digest: bytes) -> Any | None:
    """The row of a valid credential: who, role, permissions, `now`; None for one that is unknown, over or revoked.

    Its last use is noted at most once a minute.
    """
    row = await conn.fetchrow(sql[credential], digest)
    if row is not None and row["worn"]:
        await conn.execute(sql[f"touch_{credential}"], row["id"])
    return row


async def use_link(conn: Connection, digest: bytes) -> int | None:
    """Uses a one-time link up and tells whose it is; None for one that is unknown, used or over."""
    user: int | None = await conn.fetchval(sql["use_link"], digest)
    return user


async def add_login(
    conn: Connection,
    user_id: int,
    kind: Literal["login", "link"],
    digest: bytes,
    *,
    lasts: timedelta,
    idle: timedelta | None = None,
    address: str | None = None,
) -> Any:
    """A new login or one-time link; the row has `id` and `expires_at`."""
    return await conn.fetchrow(sql["add_login"], user_id, kind, digest, lasts, idle, address)


async def end_login(conn: Connection, login: int) -> None:
    """Ends a login; harmless when it is over."""
    await conn.execute(sql["end_login"], login)


async def user(conn: Connection, user_id: int) -> Any | None:
    """Kind, name and role of a user that is not disabled."""
    return await conn.fetchrow(sql["user"], user_id)


async def ensure_user(conn: Connection, kind: Literal["person", "service"], name: str, role: str) -> int:
    """The user of this name, made if there is none; an existing one keeps its role."""
    made: int = await conn.fetchval(sql["ensure_user"], kind, name, role)
    return made


async def replace_key(conn: Connection, user_id: int, name: str, digest: bytes, *, lasts: timedelta | None) -> int:
    """A new API key under a name of its user; earlier ones of that name are revoked."""
    await conn.execute(sql["revoke_keys"], user_id, name)
    made: int = await conn.fetchval(sql["add_key"], user_id, name, digest, None, lasts)
    return made


async def permissions_of(conn: Connection, role: str) -> frozenset[str]:
    """What a role holds; nothing for one that is unknown."""
    return frozenset(await conn.fetchval(sql["permissions_of"], role) or ())
