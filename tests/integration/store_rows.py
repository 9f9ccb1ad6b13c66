"""Rows for tests of the store: a host with deployments and sessions, as the product writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Moved, Said, Session, Status
from manman.events.outbox import OutboxRow
from manman.store.pool import Connection, Pool, connect
from manman.store.settings import DatabaseSettings

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_numbers = count(1)


async def a_pool(url: str, most: int = 5) -> Pool:
    return await connect(DatabaseSettings(database_url=url, db_pool_min=1, db_pool_max=most))


async def a_host(conn: Connection, name: str | None = None) -> HostId:
    return HostId(
        await conn.fetchval(
            "INSERT INTO hosts (name, created_at, updated_at) VALUES ($1, clock(), clock()) RETURNING id",
            name or f"host-{next(_numbers)}",
        )
    )


async def a_config(conn: Connection) -> int:
    game = await conn.fetchval(
        "INSERT INTO games (name, created_at, updated_at) VALUES ($1, clock(), clock()) RETURNING id",
        f"game-{next(_numbers)}",
    )
    config: int = await conn.fetchval(
        "INSERT INTO game_configs (game, name, created_at, updated_at) VALUES ($1, 'c', clock(), clock()) RETURNING id",
        game,
    )
    await conn.execute(
        "INSERT INTO config_revisions (config, revision, spec, created_at) VALUES ($1, 1, '{}', clock())", config
    )
    return config


async def a_deployment(conn: Connection, host: HostId, config: int | None = None) -> DeploymentId:
    return DeploymentId(
        await conn.fetchval(
            "INSERT INTO deployments (name, host, config, config_revision, status, created_at, updated_at)"
            " VALUES ($1, $2, $3, 1, 'ready', clock(), clock()) RETURNING id",
            f"deployment-{next(_numbers)}",
            host,
            config or await a_config(conn),
        )
    )


def a_session(id: int, deployment: DeploymentId, host: HostId, **changes: Any) -> Session:
    given: dict[str, Any] = {
        "status": Status.PENDING,
        "desired": Desired.RUNNING,
        "run": 1,
        "number": 1,
        "at": AT,
        "created_at": AT,
    }
    return Session(id=SessionId(id), deployment_id=deployment, host_id=host, **(given | changes))


def a_step(before: Session | None, after: Session, **said: Any) -> Moved:
    return Moved(before=before, after=after, said=Said(status=after.status, at=after.at, cause="host", **said))


def a_row(number: int, **changes: Any) -> OutboxRow:
    given: dict[str, Any] = {
        "event_id": str(UUID(int=number)),
        "type": "manman.session.running",
        "key": "manman.session.running",
        "body": b'{"number":%d}' % number,
        "exchange": "external",
        "public": True,
    }
    return OutboxRow(**(given | changes))
