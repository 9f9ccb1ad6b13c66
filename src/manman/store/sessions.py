"""Rows of sessions, written in bulk: the fold's results by kind, each kind one statement.

Every function takes the rows as they are decided; those that moved and those whose progress or players changed alike. Times are
written once: a later status never moves the time of an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from manman.domain.ids import SessionId
from manman.domain.sessions import Moved, Restart, Session, Status
from manman.store.sql import Part, load
from manman.store.sql import rows as as_json

sql = load(__name__)
START_DEADLINE = timedelta(seconds=120)

_STEPS = (Status.STARTING, Status.STOPPING)
_MOVING = ("detail", "progress", "players", "progressed_at")
_ENDING = ("started_at", "ended_at", "exit_code", "signal", "reason")
_BEGUN = ("cause", "created_at", "config", "config_revision", "deployment_version", "launch")


def insert(rows: Sequence[Session], moved: Iterable[Moved] = (), *, deadline: timedelta = START_DEADLINE) -> Part:
    """New rows under ids of leases; what a row leaves open comes from its deployment. Returns ids.

    Rivals must have ended before: a second live session of a deployment raises `asyncpg.UniqueViolationError`.
    """
    times, plans = _times(moved), _plans(moved)
    values = [
        {
            **_moves(row, times),
            **_end(row, plans),
            **_said(row, _BEGUN),
            "host": row.host_id,
            "deployment": row.deployment_id,
            "run": row.run,
            "begun_version": row.begun_version,
            "previous": row.previous_session_id,
        }
        for row in rows
    ]
    return Part(sql["insert"], (as_json(values), deadline))


def update_status(
    rows: Sequence[Session], moved: Iterable[Moved] = (), *, deadline: timedelta = START_DEADLINE
) -> Part:
    """Rows that neither started nor ended; a pending one that made progress gets its start deadline anew. Returns ids."""
    times = _times(moved)
    return Part(sql["update_status"], (as_json([_moves(row, times) for row in rows]), deadline))


def update_session_start(rows: Sequence[Session], moved: Iterable[Moved] = ()) -> Part:
    """Rows that came to run (and may be stopping already): `started_at` is set once. Returns ids."""
    times = _times(moved)
    return Part(
        sql["update_session_start"],
        (as_json([{**_moves(row, times), "started_at": row.started_at} for row in rows]),),
    )


def update_session_end(rows: Sequence[Session], moved: Iterable[Moved] = ()) -> Part:
    """Rows that are over: `ended_at`, exit code, signal, reason and detail, once. Returns ids."""
    times, plans = _times(moved), _plans(moved)
    return Part(sql["update_session_end"], (as_json([{**_moves(row, times), **_end(row, plans)} for row in rows]),))


def _moves(row: Session, times: Mapping[tuple[SessionId, Status], datetime]) -> dict[str, Any]:
    """What any status may change."""
    moves = {
        "id": row.id,
        "status": row.status,
        "desired": row.desired,
        "number": row.number,
        "at": row.at,
        **_said(row, _MOVING),
    }
    for status in _STEPS:
        if at := times.get((row.id, status)):
            moves[f"{status.value}_at"] = at
    return moves


def _end(row: Session, plans: Mapping[SessionId, Restart]) -> dict[str, Any]:
    """What only an end says."""
    return {**_said(row, _ENDING), "restart": plans.get(row.id)}


def _said(row: Session, names: Sequence[str]) -> dict[str, Any]:
    """What of it is there: what is left out reads as none, and costs nothing to read."""
    return {name: value for name in names if (value := getattr(row, name)) is not None}


def _times(moved: Iterable[Moved]) -> Mapping[tuple[SessionId, Status], datetime]:
    """When each session began to start and to stop: the only times that a row does not hold by itself."""
    return {(step.after.id, step.to): step.after.at for step in moved if step.to in _STEPS}


def _plans(moved: Iterable[Moved]) -> Mapping[SessionId, Restart]:
    """What its host has planned after a crash."""
    return {step.after.id: step.said.restart for step in moved if step.said.restart is not None}
