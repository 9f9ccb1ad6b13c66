"""Leases of session ids: the numbers under which a host may begin sessions by itself, whatever else is down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manman.domain import ranges
from manman.domain.ids import HostId, SessionId
from manman.domain.ranges import Ranges
from manman.store.pool import Connection
from manman.store.sql import Part, load, rows

sql = load(__name__)


async def grant(conn: Connection, host: HostId, size: int = 50) -> Ranges:
    """Tops a host's lease up to `size` (at least 50, and 4 for each of its deployments); returns the whole set.

    Ids are never given twice. A host that does not exist has none.
    """
    return of_multirange(await conn.fetchval(sql["grant"], host, size) or ())


async def use(conn: Connection, host: HostId, session: SessionId) -> bool:
    """Takes an id out of a lease; False when it is not in it (any more)."""
    return await conn.fetchval(sql["use"], host, session) is not None


def write(leases: Mapping[HostId, Ranges]) -> Part:
    """Writes the sets that are left, as decided over locked rows."""
    return Part(sql["set"], (rows([{"host": host, "ids": to_multirange(ids)} for host, ids in leases.items()]),))


async def skip_to(conn: Connection, number: int) -> None:
    """Never gives an id up to `number` again; what is beyond it already stays."""
    await conn.execute(sql["skip_to"], number)


def to_multirange(numbers: Ranges) -> str:
    """Inclusive ranges as PostgreSQL writes a multirange; the driver has no arrays of them."""
    return "{" + ",".join(f"[{first},{last}]" for first, last in numbers) + "}"


def of_multirange(found: Any) -> Ranges:
    """A multirange of the driver as inclusive ranges."""
    return ranges.merged([(part.lower, part.upper - 1) for part in found])
