"""Sessions: Start, Stop, Restart, Kill, SendInput, Get, List, ListHistory."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from manman.api import json, pages, power, shapes
from manman.api.callers import Caller
from manman.api.pages import List
from manman.api.refusals import invalid, not_found
from manman.api.usecases import Done, use_case
from manman.domain.ids import SessionId
from manman.domain.sessions import Session, Status
from manman.errors import RefusedError
from manman.events.outbox import command
from manman.store import deployment_changes, listed
from manman.store import power as wishes
from manman.store.pool import Connection
from manman.v1 import sessions_pb2 as pb

SESSIONS = List(
    noun=pb.Session.DESCRIPTOR, id="session_id", order="created_at", descending=True, query=listed.sql["sessions"]
)
INPUT_LASTS = timedelta(seconds=10)
MOST_LINE_BYTES = 4095


def session_of(row: Mapping[str, Any]) -> pb.Session:
    """A row of `listed.sessions` as its message."""
    return json.fill(pb.Session(), {**row, "endpoints": shapes.endpoints_of(row)})


async def load(conn: Connection, session: int, caller: Caller) -> pb.Session:
    """One session; raises `not_found`."""
    row = await listed.one(conn, "sessions", "session_id", session, shapes.silence(caller))
    if row is None:
        raise not_found("session", session)
    return session_of(row)


@use_case("Sessions.GetSession")
async def get_session(request: pb.GetSessionRequest, caller: Caller, conn: Connection) -> pb.Session:
    session = await load(conn, request.session_id, caller)
    tail = await listed.row(conn, "crash_tail", request.session_id)
    if tail is not None:
        session.tail.extend(tail["tail"])
    return session


@use_case("Sessions.ListSessions")
async def list_sessions(request: pb.ListSessionsRequest, caller: Caller, conn: Connection) -> pb.ListSessionsResponse:
    watch_from = await shapes.watch_from(conn)
    found, token = await SESSIONS.page(conn, request, caller.now, shapes.silence(caller))
    return pb.ListSessionsResponse(
        sessions=[session_of(row) for row in found.rows],
        next_page_token=token,
        total=found.total,
        watch_from=watch_from,
    )


@use_case("Sessions.ListSessionHistory")
async def list_session_history(
    request: pb.ListSessionHistoryRequest, caller: Caller, conn: Connection
) -> pb.ListSessionHistoryResponse:
    if await wishes.deployment_of(conn, request.session_id) is None:
        raise not_found("session", request.session_id)
    rows, token = await pages.numbered(conn, request, "session_history", request.session_id)
    return pb.ListSessionHistoryResponse(transitions=shapes.transitions(rows), next_page_token=token)


@use_case("Sessions.StartSession")
async def start_session(request: pb.StartSessionRequest, caller: Caller, conn: Connection) -> pb.Session:
    wanted = await power.locked(conn, request.deployment_id)
    session = await power.begin(wanted, caller, conn, fresh=False)
    return await load(conn, session, caller)


async def _locked(conn: Connection, session: int) -> tuple[power.Wanted, Session]:
    deployment = await wishes.deployment_of(conn, session)
    if deployment is None:
        raise not_found("session", session)
    wanted = await power.locked(conn, deployment, session)
    row = wanted.sessions.get(SessionId(session))
    if row is None:
        raise not_found("session", session)
    return wanted, row


async def _end(session: int, caller: Caller, conn: Connection, **how: Any) -> Done:
    """Stop and Kill: always a success. On a session that is neither live nor the latest nothing is done."""
    wanted, row = await _locked(conn, session)
    if row.id == wanted.deployment.last_session or not row.is_final:
        await power.stop(wanted, caller, conn, **how)
    is_going = not row.is_final and row.status is not Status.STOPPING
    return Done(await load(conn, session, caller), 202 if is_going else 200)


@use_case("Sessions.StopSession")
async def stop_session(request: pb.StopSessionRequest, caller: Caller, conn: Connection) -> Done:
    grace = request.grace.ToTimedelta() if request.HasField("grace") else None
    if grace is not None and not timedelta(0) <= grace <= timedelta(hours=1):
        raise invalid("/grace", "must be between 0s and 3600s")
    return await _end(request.session_id, caller, conn, verb="stop", grace=grace)


@use_case("Sessions.KillSession")
async def kill_session(request: pb.KillSessionRequest, caller: Caller, conn: Connection) -> Done:
    return await _end(request.session_id, caller, conn, verb="kill")


@use_case("Sessions.RestartSession")
async def restart_session(request: pb.RestartSessionRequest, caller: Caller, conn: Connection) -> pb.Session:
    wanted, row = await _locked(conn, request.session_id)
    if row.is_final and wanted.live is not None:
        # Asked twice, or on an old page: it must not end the session that followed.
        detail = f"session {row.id} is {row.status}, and session {wanted.live.id} followed it"
        raise RefusedError("session_over", detail, hint="restart that one", session_id=wanted.live.id)
    session = await power.restart(wanted, caller, conn)
    return await load(conn, session, caller)


@use_case("Sessions.SendInput")
async def send_input(request: pb.SendInputRequest, caller: Caller, conn: Connection) -> pb.SendInputResponse:
    line = cleaned(request.line)
    wanted, row = await _locked(conn, request.session_id)
    if row.is_final:
        raise RefusedError("session_over", f"session {row.id} is {row.status}", hint="start it again")
    if row.status is not Status.RUNNING:
        raise RefusedError("session_not_running", f"session {row.id} is {row.status}, not running")
    if not wanted.host["online"]:
        raise RefusedError("host_offline", f"host {wanted.host['name']} is offline", host_id=wanted.host["host"])
    placed = await deployment_changes.placed(conn, wanted.id)
    if placed is not None and (placed["spec"].get("console") or {}).get("kind") == "none":
        raise RefusedError("config_invalid", f"the game of deployment {placed['name']} has no console")
    told = command(
        row.host_id,
        "input",
        now=caller.now,
        chance=caller.office.chance,
        ttl=INPUT_LASTS,
        session_id=row.id,
        deployment_id=wanted.id,
        line=line,
    )
    await wishes.tell(conn, [told])
    return pb.SendInputResponse(command_id=told.event_id)


def cleaned(line: str) -> str:
    """One line of input: its end and control characters taken away; raises `invalid_argument` for two lines or too long a one."""
    text = line.rstrip("\r\n")
    if "\n" in text or "\r" in text:
        raise invalid("/line", "must be one line")
    text = "".join(c for c in text if c == "\t" or unicodedata.category(c) != "Cc")
    if len(text.encode()) > MOST_LINE_BYTES:
        raise invalid("/line", f"must be at most {MOST_LINE_BYTES:,} bytes")
    return text
