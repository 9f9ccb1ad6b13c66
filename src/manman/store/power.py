"""What power commands read, beside the rows that they lock (`batches`) and write (`save`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manman.domain.ids import SessionId
from manman.events.outbox import OutboxRow
from manman.store import outbox
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


async def deployment_of(conn: Connection, session: int) -> int | None:
    """Whose session it is."""
    found: int | None = await conn.fetchval(sql["deployment_of"], session)
    return found


async def standing(conn: Connection, host: int) -> Any:
    """How a host is, read after the locks: `online`, `draining`, `unheard`, `epoch`, `now`."""
    return await conn.fetchrow(sql["standing"], host)


async def next_session(conn: Connection) -> SessionId:
    """An id for a session that the control plane begins; one that is not used is lost."""
    return SessionId(await conn.fetchval(sql["next_session"]))


async def tell(conn: Connection, rows: Sequence[OutboxRow]) -> None:
    """Puts rows into the outbox, in order."""
    await outbox.insert(conn, rows)
