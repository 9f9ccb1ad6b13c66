"""The wish: what power commands write. Each function is a statement of the caller's transaction, in the order of locks:
deployment, then session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

from manman.events.outbox import OutboxRow
from manman.store import outbox
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


async def lock_deployment(conn: Connection, deployment: int) -> Any | None:
    """The row of a deployment, locked; None when there is none."""
    return await conn.fetchrow(sql["lock_deployment"], deployment)


async def deployment_of(conn: Connection, session: int) -> int | None:
    """Whose session it is."""
    found: int | None = await conn.fetchval(sql["deployment_of"], session)
    return found


async def standing(conn: Connection, host: int, deployment: int) -> Any:
    """How host and deployment are, read after the lock: `online`, `draining`, `live` (session id), `last_run`, `epoch`, `now`."""
    return await conn.fetchrow(sql["standing"], host, deployment)


async def set_wish(
    conn: Connection, deployment: int, desired: Literal["running", "stopped"], version: int, fresh: int
) -> None:
    """Writes the wish; a host that gave up is asked anew."""
    await conn.execute(sql["set_wish"], deployment, desired, version, fresh)


async def lock_session(conn: Connection, session: int) -> Any | None:
    """The row of a session, locked, after its deployment."""
    return await conn.fetchrow(sql["lock_session"], session)


async def want_stopped(conn: Connection, session: int) -> None:
    """Tells a live session to stop."""
    await conn.execute(sql["want_stopped"], session)


async def add_session(
    conn: Connection, deployment: Any, *, run: int, version: int, cause: str, deadline: timedelta, trace_id: str
) -> int | None:
    """A pending session of a locked deployment, with its history; None when another one is live."""
    session = await conn.fetchval(sql["next_session"])
    made = await conn.fetchval(
        sql["add_session"],
        session,
        deployment["host"],
        deployment["id"],
        run,
        version,
        cause,
        deadline,
        deployment["config"],
        deployment["config_revision"],
        deployment["version"],
        deployment["labels"],
        deployment["last_session"],
    )
    if made is None:
        return None
    await conn.execute(sql["add_history"], session, cause, trace_id or None)
    await conn.execute(sql["took"], deployment["id"], run, session)
    return int(made)


async def names(conn: Connection, deployment: int) -> Any:
    """What the nouns of a deployment are called, with its ports."""
    return await conn.fetchrow(sql["names"], deployment)


async def tell(conn: Connection, rows: Sequence[OutboxRow]) -> None:
    """Puts rows into the outbox, in order."""
    await outbox.insert(conn, rows)
