"""`save`: the only way that a batch's decisions become rows. Rows, histories, dead letters and the messages that others hear, a
statement for each table, in the caller's one transaction; an empty part costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from manman.domain.deployments import Deployment, DeploymentMoved
from manman.domain.hosts import Heard, HostMoved
from manman.domain.ids import HostId, SessionId
from manman.domain.ranges import Ranges, holes
from manman.domain.sessions import FINAL, Moved, Session, Status
from manman.events.outbox import OutboxRow
from manman.store import dead_letters, hosts, outbox, session_leases, sessions
from manman.store.events import Event
from manman.store.outbox import Leader
from manman.store.pool import Connection
from manman.store.sql import Part, load, rows, together

sql = load(__name__)
_CANONICAL = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


async def save(conn: Connection, changes: Changes, leader: Leader | None = None) -> list[Event]:
    """Write it all; what a `leader` says may be numbered at once, and is returned then. Rivals end before newcomers begin: one live
    session for each deployment is a constraint.

    What every batch writes (inbox, sessions, histories, messages) travels as one statement, as two where sessions end and begin.
    """
    await _save_hosts(conn, changes)
    await _save_deployments(conn, changes)
    await _save_letters(conn, changes)
    known = [*_inbox(changes), *_known_deployments(changes), *_known_sessions(changes)]
    fresh = [sessions.insert(changes.inserted, changes.moved, deadline=changes.deadline)] if changes.inserted else []
    if changes.inserted and changes.updated:
        await together(conn, known)
        known = []
    return await outbox.insert(conn, changes.messages, beside=[*known, *fresh, *_histories(changes)], leader=leader)


async def _save_hosts(conn: Connection, changes: Changes) -> None:
    await hosts.update_status_and_last_seen(conn, changes.hosts)
    await hosts.add_history(conn, changes.hosts_moved)
    await hosts.set_agent_versions(conn, changes.agent_versions)


def _inbox(changes: Changes) -> Iterator[Part]:
    if changes.journals:
        values = [
            {
                "host": host,
                "journal": journal,
                "seen": session_leases.to_multirange(seen),
                "whole": not seen or not holes(seen, seen[-1][1]),
            }
            for (host, journal), seen in changes.journals.items()
        ]
        yield Part(sql["update_journals"], (rows(values),))
    if changes.leases:
        yield session_leases.write(changes.leases)


def _known_deployments(changes: Changes) -> Iterator[Part]:
    kept = [d for d in changes.deployments if not d.removed]
    if kept:
        yield Part(sql["update_deployments"], (rows(kept),))


async def _save_deployments(conn: Connection, changes: Changes) -> None:
    """What seldom happens to one: its install moved, or it is gone."""
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


def _known_sessions(changes: Changes) -> Iterator[Part]:
    ended = [s for s in changes.updated if s.status in FINAL]
    # One batch may bring it to run and on to stopping: what it came to in between counts too.
    began = {m.after.id for m in changes.moved if m.to is Status.RUNNING}
    running = [s for s in changes.updated if s.status not in FINAL and s.id in began]
    others = [s for s in changes.updated if s.status not in FINAL and s.id not in began]
    if ended:
        yield sessions.update_session_end(ended, changes.moved)
    if others:
        yield sessions.update_status(others, changes.moved, deadline=changes.deadline)
    if running:
        yield sessions.update_session_start(running, changes.moved)


def _histories(changes: Changes) -> Iterator[Part]:
    if changes.moved:
        yield Part(sql["insert_session_history"], (rows([_history(m) for m in changes.moved]),))
    crashed = [m for m in changes.moved if m.to is Status.CRASHED]
    if crashed:
        values = [{"session": m.after.id, "tail": m.said.tail or ()} for m in crashed]
        yield Part(sql["insert_crash_reports"], (rows(values),))


def _history(moved: Moved) -> dict[str, Any]:
    said, before = moved.said, moved.before
    return {
        "session": moved.after.id,
        "number": moved.after.number,
        "from_status": None if before is None else before.status,
        "to_status": moved.after.status,
        "at": moved.after.at,
        "cause": said.cause,
        "event_id": _uuid(said.event_id),
        "trace_id": said.trace_id,
    }


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


def _uuid(text: str | None) -> str | None:
    """An event id as the histories keep it; a plain publisher's own kind of id is not kept."""
    if text is None or _CANONICAL.fullmatch(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return None
