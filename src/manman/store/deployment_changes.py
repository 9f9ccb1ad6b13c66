"""Deployments and their ports, as people change them. Ports are given out under their host's lock; the constraint is the proof.

Whoever moves one here notes it in its history and tells it, in the transaction that moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from manman.domain.deployments import Deployment, Install
from manman.domain.ids import Chance
from manman.domain.ports import Held
from manman.events import announce
from manman.store import outbox
from manman.store.batches import deployment_of
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What people may change of a deployment, as it is stored."""

    name: str
    labels: Mapping[str, str]
    parameters: Mapping[str, Any]
    overrides: Mapping[str, Any]
    config_revision: int
    restart: Mapping[str, Any] | None
    start_on_boot: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for a change, in which trace, when by the database's clock; and the chance that its event's id is made of."""

    cause: str
    trace_id: str
    now: datetime
    chance: Chance


async def lock_host(conn: Connection, host: int) -> Any | None:
    """A host's row, locked: nobody else gives out its ports meanwhile."""
    return await conn.fetchrow(sql["lock_host"], host)


async def add(conn: Connection, host: int, config: int, kept: Kept, asked: Asked) -> int | None:
    """A new deployment, installing; None when the name is taken."""
    row = await conn.fetchrow(
        sql["add"],
        kept.name,
        host,
        config,
        kept.config_revision,
        dict(kept.overrides),
        dict(kept.parameters),
        dict(kept.labels),
        kept.restart,
        kept.start_on_boot,
    )
    if row is None:
        return None
    made = deployment_of(row)
    await _note(conn, None, made, asked)
    return made.id


async def named(conn: Connection, name: str) -> int | None:
    """The deployment of this name."""
    found: int | None = await conn.fetchval(sql["named"], name)
    return found


async def holder(conn: Connection, host: int, port: Held) -> Any | None:
    """Who holds a port on overlapping addresses: `deployment`, `deployment_name`, `name`, `address`, `mask`."""
    return await conn.fetchrow(sql["holder"], host, port.protocol, port.port, port.address)


async def free_port(
    conn: Connection, host: int, protocols: Sequence[str], first: int, last: int, address: str, but: Sequence[int]
) -> int | None:
    """The first number of a range that nobody holds under any of the protocols; None when there is none."""
    found: int | None = await conn.fetchval(sql["free"], host, list(protocols), first, last, address, list(but))
    return found


async def hold(conn: Connection, deployment: int, host: int, ports: Sequence[Held]) -> None:
    """Holds ports for a deployment until its removal."""
    for port in ports:
        await conn.execute(sql["hold"], deployment, port.name, host, port.address, port.port, port.protocol)


async def release(conn: Connection, deployment: int, names: Sequence[str]) -> None:
    """Gives ports back by name."""
    await conn.execute(sql["release"], deployment, list(names))


async def ports_of(conn: Connection, deployment: int) -> list[Any]:
    """The ports of a deployment: `name`, `protocol`, `address`, `mask`, `port`."""
    return list(await conn.fetch(sql["ports"], deployment))


async def placed(conn: Connection, deployment: int) -> Any | None:
    """A deployment with its spec: what a launch is rendered from."""
    return await conn.fetchrow(sql["placed"], deployment)


async def session_parameters(conn: Connection, session: int, deployment: int) -> Mapping[str, Any]:
    """The parameters that a session was started with; empty for none."""
    return await conn.fetchval(sql["session_parameters"], session, deployment) or {}


async def change(conn: Connection, deployment: int, kept: Kept) -> int | None:
    """Changes a locked deployment; its new version, None when the name is another one's."""
    made: int | None = await conn.fetchval(
        sql["set"],
        deployment,
        kept.name,
        dict(kept.labels),
        dict(kept.parameters),
        dict(kept.overrides),
        kept.config_revision,
        kept.restart,
        kept.start_on_boot,
    )
    return made


async def set_status(conn: Connection, before: Deployment, status: Install, asked: Asked) -> int:
    """Moves a locked deployment to `installing` or `removing`; its new version."""
    row = await conn.fetchrow(sql["set_status"], before.id, status.value)
    after = replace(
        before, status=status, progress=None, detail="", number=row["history_number"], version=row["version"]
    )
    await _note(conn, before.status, after, asked)
    return after.version


async def _note(conn: Connection, previous: Install | None, after: Deployment, asked: Asked) -> None:
    was = None if previous is None else previous.value
    values = (after.id, after.number, was, after.status.value, asked.cause, asked.trace_id or None)
    await conn.execute(sql["add_history"], *values)
    await _tell(conn, previous, after, after.status.value, asked)


async def _tell(conn: Connection, previous: Install | None, after: Deployment, word: str, asked: Asked) -> None:
    await outbox.insert(conn, [announce.deployment_moved(after, word, previous, asked.now, asked.chance)])


async def record_launch(conn: Connection, digest: str, row: Any, parameters: Mapping[str, Any], files: Any) -> None:
    """Notes what a launch was rendered from, once per digest; `row` is `placed`'s. Secrets are by reference only."""
    await conn.execute(
        sql["record_launch"],
        digest,
        row["id"],
        row["version"],
        row["config"],
        row["config_revision"],
        dict(parameters),
        files,
    )


async def remove_by_force(conn: Connection, before: Deployment, version: int, asked: Asked) -> None:
    """Removes a locked deployment, with its history, though its host has not seen it stop; the host is told so until it has."""
    await conn.execute(sql["revoke"], before.host_id, before.id, version)
    await conn.execute(sql["delete"], before.id)
    await _tell(conn, before.status, replace(before, removed=True, number=before.number + 1), "removed", asked)


async def set_parameters(conn: Connection, deployment: int, parameters: Mapping[str, Any]) -> None:
    """Completes a deployment that was just added; its version stays."""
    await conn.execute(sql["set_parameters"], deployment, dict(parameters))
