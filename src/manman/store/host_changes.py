"""Hosts and join tokens, as people and joining machines change them. Credentials are hashes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine says of itself when it joins."""

    name: str
    labels: Mapping[str, str]
    addresses: Sequence[str]
    port_first: int
    port_last: int
    agent_version: str
    isolation: str
    capacity: Mapping[str, str]
    broker_hash: str


async def add(conn: Connection, machine: Machine) -> int | None:
    """A new host with what hangs on it; None when the name is taken."""
    made: int | None = await conn.fetchval(
        sql["add"],
        machine.name,
        dict(machine.labels),
        list(machine.addresses),
        machine.port_first,
        machine.port_last,
        machine.agent_version,
        machine.isolation,
        dict(machine.capacity),
        machine.broker_hash,
    )
    if made is not None:
        await conn.execute(sql["add_parts"], made)
    return made


async def lock(conn: Connection, host: int) -> Any | None:
    """A host's row (`name`, `version`, `broker_hash`), locked."""
    return await conn.fetchrow(sql["lock"], host)


async def rejoin(conn: Connection, host: int, machine: Machine) -> None:
    """An existing host joins anew: its facts and broker password change, what people set stays."""
    await conn.execute(
        sql["rejoin"], host, machine.agent_version, machine.isolation, dict(machine.capacity), machine.broker_hash
    )


async def add_key(conn: Connection, host: int, digest: bytes, token: int) -> None:
    """A host key, by its hash."""
    await conn.execute(sql["add_key"], host, digest, token)


async def key(conn: Connection, digest: bytes) -> Any | None:
    """Whose key it is, and with which token it came: `host`, `join_token`."""
    return await conn.fetchrow(sql["key"], digest)


async def change(
    conn: Connection,
    host: int,
    name: str,
    labels: Mapping[str, str],
    addresses: Sequence[str],
    port_range: tuple[int, int],
) -> int | None:
    """Changes a locked host; its version, None when the name is another one's."""
    made: int | None = await conn.fetchval(sql["set"], host, name, dict(labels), list(addresses), *port_range)
    return made


async def set_draining(conn: Connection, host: int, draining: bool) -> int:
    """Drains or undrains; the host's version."""
    version: int = await conn.fetchval(sql["set_draining"], host, draining)
    return version


async def use_of(conn: Connection, host: int) -> Any | None:
    """A deployment on the host: `id`, `name`."""
    return await conn.fetchrow(sql["use_of"], host)


async def delete(conn: Connection, host: int) -> None:
    """Removes a host without deployments."""
    await conn.execute(sql["delete"], host)


async def lock_token(conn: Connection, digest: bytes) -> Any | None:
    """A join token, locked: `id`, `uses`, `used`, `host`, `valid`."""
    return await conn.fetchrow(sql["lock_token"], digest)


async def count_token(conn: Connection, token: int) -> None:
    """Counts one use."""
    await conn.execute(sql["count_token"], token)


async def add_token(conn: Connection, digest: bytes, uses: int, host: int | None, by: str, lasts: timedelta) -> Any:
    """A new join token; its row."""
    return await conn.fetchrow(sql["add_token"], digest, uses, host, by, lasts)


async def revoke_token(conn: Connection, token: int) -> bool:
    """Makes a token useless; false when there is none."""
    return await conn.fetchval(sql["revoke_token"], token) is not None
