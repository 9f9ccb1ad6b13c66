"""`save`: the only way that a batch's decisions become rows. Rows, histories, dead letters and the messages that others hear, a
statement for each table, in the caller's one transaction; an empty part costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from manman.domain.deployments import Deployment, DeploymentMoved
from manman.domain.hosts import Heard, HostMoved
from manman.domain.ids import HostId, SessionId
from manman.domain.ranges import Ranges, holes
from manman.domain.sessions import FINAL, Moved, Session, Status
from manman.events.outbox import OutboxRow
from manman.store import dead_letters, hosts, outbox, session_leases, sessions
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a batch decided, as rows after it. `inserted` are new sessions, `updated` known ones; `moved` their transitions in
    order. `closed` are replayed dead letters: None applied, else why they were refused anew. `deadline` moves the start deadline
    of sessions that progressed. `reported` are the sessions that a host's report named: strays that it no longer names go."""

    deadline: timedelta
    inserted: Sequence[Session] = ()
    updated: Sequence[Session] = ()
    moved: Sequence[Moved] = ()
    deployments: Sequence[Deployment] = ()
    deployments_moved: Sequence[DeploymentMoved] = ()
    hosts: Sequence[Heard] = ()
    hosts_moved: Sequence[HostMoved] = ()
    agent_versions: Mapping[HostId, str] = field(default_factory=dict)
    journals: Mapping[tuple[HostId, str], Ranges] = field(default_factory=dict)
    leases: Mapping[HostId, Ranges] = field(default_factory=dict)
    dead: Sequence[Any] = ()
    closed: Mapping[int, str | None] = field(default_factory=dict)
    strays: Sequence[Any] = ()
    reported: Mapping[HostId, frozenset[SessionId]] = field(default_factory=dict)
    messages: Sequence[OutboxRow] = ()


async def save(conn: Connection, changes: Changes) -> None:
    """Write it all. Rivals end before newcomers begin: one live session for each deployment is a constraint."""
    await _save_hosts(conn, changes)
    await _save_inbox(conn, changes)
    await _save_deployments(conn, changes)
    await _save_sessions(conn, changes)
    await _save_letters(conn, changes)
    await outbox.insert(conn, changes.messages)


async def _save_hosts(conn: Connection, changes: Changes) -> None:
    await hosts.update_status_and_last_seen(conn, changes.hosts)
    await hosts.add_history(conn, changes.hosts_moved)
    await hosts.set_agent_versions(conn, changes.agent_versions)


async def _save_inbox(conn: Connection, changes: Changes) -> None:
    if changes.journals:
        seen = list(changes.journals.values())
        await conn.execute(
            sql["update_journals"],
            [host for host, _ in changes.journals],
            [journal for _, journal in changes.journals],
            [session_leases.to_multirange(r) for r in seen],
            [not r or not holes(r, r[-1][1]) for r in seen],
        )
    await session_leases.write(conn, changes.leases)


async def _save_deployments(conn: Connection, changes: Changes) -> None:
    kept = [d for d in changes.deployments if not d.removed]
    if kept:
        await conn.execute(
            sql["update_deployments"],
            *_columns(
                kept,
                "id",
                "status",
                "desired",
                "desired_version",
                "fresh_version",
                "seen_version",
                "seen_deployment_version",
                "last_run",
                "last_session",
                "gave_up",
                "gave_up_version",
                "progress",
                "detail",
                "number",
            ),
        )
    moved = [m for m in changes.deployments_moved if not m.after.removed]
    if moved:
        await conn.execute(
            sql["insert_deployment_history"],
            [m.after.id for m in moved],
            [m.after.number for m in moved],
            [m.before.status.value for m in moved],
            [m.word for m in moved],
            [m.cause for m in moved],
            [_uuid(m.event_id) for m in moved],
            [m.trace_id for m in moved],
        )
    gone = [d.id for d in changes.deployments if d.removed]
    if gone:
        await conn.execute(sql["delete_deployments"], gone)


async def _save_sessions(conn: Connection, changes: Changes) -> None:
    ended = [s for s in changes.updated if s.status in FINAL]
    running = [s for s in changes.updated if s.status is Status.RUNNING]
    others = [s for s in changes.updated if s.status not in FINAL and s.status is not Status.RUNNING]
    if ended:
        await sessions.update_session_end(conn, ended, changes.moved)
    if others:
        await sessions.update_status(conn, others, changes.moved, deadline=changes.deadline)
    if running:
        await sessions.update_session_start(conn, running, changes.moved)
    if changes.inserted:
        await sessions.insert(conn, changes.inserted, changes.moved, deadline=changes.deadline)
    if changes.moved:
        await _save_history(conn, changes.moved)


async def _save_history(conn: Connection, moved: Sequence[Moved]) -> None:
    await conn.execute(
        sql["insert_session_history"],
        [m.after.id for m in moved],
        [m.after.number for m in moved],
        [None if m.from_ is None else m.from_.value for m in moved],
        [m.to.value for m in moved],
        [m.after.at for m in moved],
        [m.said.cause for m in moved],
        [_uuid(m.said.event_id) for m in moved],
        [m.said.trace_id for m in moved],
    )
    crashed = [m for m in moved if m.to is Status.CRASHED]
    if crashed:
        await conn.execute(
            sql["insert_crash_reports"],
            [m.after.id for m in crashed],
            # As texts: a list of lists would be taken for one array of two dimensions.
            [msgspec.json.encode(m.said.tail or ()).decode() for m in crashed],
        )


async def _save_letters(conn: Connection, changes: Changes) -> None:
    await dead_letters.insert(conn, changes.dead)
    await dead_letters.close(conn, changes.closed)
    if changes.strays:
        await conn.execute(
            sql["insert_strays"], *_columns(changes.strays, "host_id", "session_id", "deployment_id", "why")
        )
    for host, named in changes.reported.items():
        await conn.execute(sql["drop_strays"], host, sorted(named))


def _columns(rows: Sequence[Any], *names: str) -> list[list[Any]]:
    return [[_plain(getattr(row, name)) for row in rows] for name in names]


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, StrEnum) else value


def _uuid(text: str | None) -> UUID | None:
    """An event id as the histories keep it; a plain publisher's own kind of id is not kept."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
