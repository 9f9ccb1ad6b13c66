"""The installation: which epoch it is. A restored database starts a new one.

Versions are epoch · 2³² + number and positions are read within an epoch, so what is new beats all that was before the restore, and no
id is given twice. What the rows say of a host is of before, until it reports. A restore is noticed by another cluster or timeline at
a service's start, and by a host that has seen a version above a row's.
"""

from __future__ import annotations

from manman.observability import get_logger
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
log = get_logger(__name__)


async def notice_cluster(conn: Connection) -> bool:
    """Compare the cluster with the one that was; whether a new epoch began. Needs a transaction.

    Where the database does not tell (a managed one may not), a restore is noticed by what hosts have seen.
    """
    if not await conn.fetchval(sql["may_ask"]):
        return False
    now = await conn.fetchrow(sql["cluster"])
    known = await conn.fetchrow(sql["lock"])
    same = (known["system_identifier"], known["timeline_id"]) == (now["system_identifier"], now["timeline_id"])
    if same:
        return False
    await conn.execute(sql["remember"], now["system_identifier"], now["timeline_id"])
    if known["system_identifier"] is None:
        return False
    return await begin_epoch(conn, known["epoch"] + 1, "another cluster or timeline")


async def begin_epoch(conn: Connection, epoch: int, why: str) -> bool:
    """Begin this epoch unless it, or a later one, has begun; whether it did. Needs a transaction."""
    if await conn.fetchval(sql["raise_epoch"], epoch) is None:
        return False
    await conn.execute(sql["carry_events"], epoch)
    await conn.execute(sql["raise_identity"])
    await conn.execute(sql["raise_sessions"])
    log.warning("epoch_began", epoch=epoch, why=why)
    return True


async def next_epoch(conn: Connection, why: str) -> int:
    """Begin the next epoch, as somebody says that the database was restored; its number. Needs a transaction."""
    known = await conn.fetchrow(sql["lock"])
    epoch = int(known["epoch"]) + 1
    await begin_epoch(conn, epoch, why)
    return epoch
