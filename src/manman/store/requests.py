"""What the call path writes beside the change itself: the idempotency row, and the audit row."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was answered to the same key before: `same` tells whether the request was the same."""

    same: bool
    status: int
    reply: bytes


async def digest(conn: Connection, request: bytes) -> bytes:
    """An HMAC of a request under the installation's own key: requests may hold secrets, and short ones could be guessed."""
    return hmac.digest(await conn.fetchval(sql["request_key"]), request, hashlib.sha256)


async def begin(conn: Connection, caller: str, key: str, method: str, request: bytes) -> Earlier | None:
    """Claims a key for a request inside of its transaction; a twin waits here for the first one's end.

    None: it is ours. Else what was answered before. `request` is a `digest`.
    """
    if await conn.fetchval(sql["begin"], caller, key, method, request):
        return None
    row = await conn.fetchrow(sql["earlier"], caller, key)
    same = row["method"] == method and hmac.compare_digest(row["request"], request)
    return Earlier(same, row["status"] or 0, row["reply"] or b"")


async def finish(conn: Connection, caller: str, key: str, status: int, reply: bytes) -> None:
    """Keeps the answer of a request, without secrets, for its twins."""
    await conn.execute(sql["finish"], caller, key, status, reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """Who did what to which row, from where. `changes` has no secret in it."""

    caller: str
    credential: str
    address: str
    method: str
    noun: str
    noun_id: str | None
    deployment: int | None
    changes: Mapping[str, Any]
    trace_id: str


async def audit(conn: Connection, row: Audited) -> None:
    """Appends an audit row; its month's partition is made when it is the first."""
    await conn.execute(sql["audit_month"])
    await conn.execute(
        sql["audit"],
        row.caller,
        row.credential,
        row.address or None,
        row.method,
        row.noun,
        row.noun_id,
        row.deployment,
        dict(row.changes),
        row.trace_id or None,
    )
