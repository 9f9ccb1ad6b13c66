"""Rows of sessions, written in bulk: the fold's results by kind, each kind one statement.

Every function takes the rows as they are decided; those that moved and those whose progress or players changed alike. Times are
written once: a later status never moves the time of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from manman.domain.ids import SessionId
from manman.domain.sessions import Moved, Restart, Session, Status
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
START_DEADLINE = timedelta(seconds=120)

_STEPS = (Status.STARTING, Status.STOPPING)
_COMMON = ("status", "desired", "number", "at", "detail", "progress", "players", "progressed_at")


async def insert(
    conn: Connection, rows: Sequence[Session], moved: Iterable[Moved] = (), *, deadline: timedelta = START_DEADLINE
) -> list[SessionId]:
    """New rows under ids of leases; what a row leaves open comes from its deployment.

    Rivals must have ended before: a second live session of a deployment raises `asyncpg.UniqueViolationError`.
    """
    if not rows:
        return []
    times, plans = _times(moved), _plans(moved)
    names = (
        "id host_id deployment_id status desired run begun_version previous_session_id cause reason detail exit_code"
    )
    columns = _columns(rows, (*names.split(), "signal", "progress", "created_at", "at", "progressed_at"))
    later = _columns(rows, ("config", "config_revision", "deployment_version", "launch", "players"))
    found = await conn.fetch(
        sql["insert"],
        deadline,
        *columns,
        _of(times, rows, Status.STARTING),
        [row.started_at for row in rows],
        _of(times, rows, Status.STOPPING),
        [row.ended_at for row in rows],
        *later,
        [plans.get(row.id) for row in rows],
        [row.number for row in rows],
    )
    return [SessionId(row["id"]) for row in found]


async def update_status(
    conn: Connection, rows: Sequence[Session], moved: Iterable[Moved] = (), *, deadline: timedelta = START_DEADLINE
) -> list[SessionId]:
    """Rows that neither started nor ended; a pending one that made progress gets its start deadline anew."""
    if not rows:
        return []
    times = _times(moved)
    found = await conn.fetch(
        sql["update_status"],
        deadline,
        *_columns(rows, ("id", *_COMMON)),
        _of(times, rows, Status.STARTING),
        _of(times, rows, Status.STOPPING),
    )
    return [SessionId(row["id"]) for row in found]


async def update_session_start(
    conn: Connection, rows: Sequence[Session], moved: Iterable[Moved] = ()
) -> list[SessionId]:
    """Rows that came to run (and may be stopping already): `started_at` is set once."""
    if not rows:
        return []
    times = _times(moved)
    found = await conn.fetch(
        sql["update_session_start"],
        *_columns(rows, ("id", *_COMMON)),
        _of(times, rows, Status.STARTING),
        _of(times, rows, Status.STOPPING),
        [row.started_at for row in rows],
    )
    return [SessionId(row["id"]) for row in found]


async def update_session_end(conn: Connection, rows: Sequence[Session], moved: Iterable[Moved] = ()) -> list[SessionId]:
    """Rows that are over: `ended_at`, exit code, signal, reason and detail, once."""
    if not rows:
        return []
    times, plans = _times(moved), _plans(moved)
    found = await conn.fetch(
        sql["update_session_end"],
        *_columns(rows, ("id", *_COMMON)),
        _of(times, rows, Status.STARTING),
        _of(times, rows, Status.STOPPING),
        *_columns(rows, ("started_at", "ended_at", "exit_code", "signal", "reason")),
        [plans.get(row.id) for row in rows],
    )
    return [SessionId(row["id"]) for row in found]


def _columns(rows: Sequence[Session], names: Sequence[str]) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


def _times(moved: Iterable[Moved]) -> Mapping[tuple[SessionId, Status], datetime]:
    """When each session began to start and to stop: the only times that a row does not hold by itself."""
    return {(step.after.id, step.to): step.after.at for step in moved if step.to in _STEPS}


def _plans(moved: Iterable[Moved]) -> Mapping[SessionId, Any]:
    """What its host has planned after a crash, as JSON."""
    return {step.after.id: _plan(step.said.restart) for step in moved if step.said.restart is not None}


def _plan(restart: Restart) -> Any:
    return msgspec.to_builtins({"attempt": restart.attempt, "of": restart.of, "at": restart.at})


def _of(
    times: Mapping[tuple[SessionId, Status], datetime], rows: Sequence[Session], status: Status
) -> list[datetime | None]:
    return [times.get((row.id, status)) for row in rows]
