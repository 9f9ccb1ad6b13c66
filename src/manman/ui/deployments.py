"""Deployments: the list, and the page that a deployment and its sessions share. 'Now' is its live or last session."""

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from manman.client import types
from manman.ui import looks, overview, stories, strips, words
from manman.ui.frame import Frame, frame, page
from manman.ui.lists import asked

SUGGESTED = ("status = installing", "desired = running", 'name : "x"', "created_at > -24h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """Everything that the page of a deployment shows of one session."""

    one: types.Deployment
    session: types.Session | None
    history: list[types.Transition]
    crash: types.Session | None
    crashes_of_week: int


async def deployment_list(request: Request) -> Response:
    """`GET /deployments`: all of them, those that need somebody first within the page; `state` narrows to one state."""
    around = await frame(request)
    reply, wanted = await asked(
        request, around.client.list_deployments, types.ListDeploymentsResponse(), order_by="name"
    )
    events = (await overview.recent_events(around.client)).events
    state = request.query_params.get("state", "")
    many = [one for one in reply.deployments if not state or looks.deployment(one).look.key == state]
    return page(
        around,
        "deployments.html",
        here="deployments",
        title="Deployments",
        crumbs=[("Deployments", "")],
        scope="*",
        rows=overview.rows(many, events, around.now),
        reply=reply,
        wanted=wanted,
        state=state,
        states=looks.counted(reply.deployments),
        axis=strips.axis(around.now),
        suggested=SUGGESTED,
    )


async def deployment(request: Request) -> Response:
    """`GET /deployments/{id}`: Now."""
    around = await frame(request)
    one = await around.client.get_deployment(request.path_params["id"])
    return now_page(around, await look(around, one, one.session_id), tab="now")


async def deployment_sessions(request: Request) -> Response:
    """`GET /deployments/{id}/sessions`: its runs, newest first."""
    around = await frame(request)
    one = await around.client.get_deployment(request.path_params["id"])
    reply, wanted = await asked(
        request,
        lambda **given: around.client.list_sessions(**given | {"filter": _of(one, given.get("filter"))}),
        types.ListSessionsResponse(),
        order_by="created_at desc",
    )
    seen = await look(around, one, one.session_id)
    runs = [(run, looks.session(run)) for run in reply.sessions]
    return now_page(
        around, seen, tab="sessions", template="deployment_sessions.html", runs=runs, reply=reply, wanted=wanted
    )


def _of(one: types.Deployment, more: str | None) -> str:
    return f"deployment_id = {one.deployment_id}" + (f" AND {more}" if more else "")


async def look(around: Frame, one: types.Deployment, session_id: int | None) -> Now:
    """A deployment with one of its sessions, that one's history, and its crashes of late."""
    crashed = f"deployment_id = {one.deployment_id} AND status = crashed AND ended_at > -7d"
    client = around.client
    if session_id is None:
        return Now(one=one, session=None, history=[], crash=None, crashes_of_week=0)
    session, history, crashes = await asyncio.gather(
        client.get_session(session_id),
        client.list_session_history(session_id, page_size=200),
        client.list_sessions(filter=crashed, order_by="ended_at desc", page_size=100),
    )
    found = crashes.sessions
    recent = found[0] if found and found[0].ended_at and (around.now - found[0].ended_at).days < 1 else None
    return Now(
        one=one,
        session=session,
        history=history.transitions,
        crash=recent,
        crashes_of_week=max(crashes.total, len(found)),
    )


def now_page(
    around: Frame, seen: Now, *, tab: str, template: str = "now.html", status: int = 200, **more: object
) -> Response:
    """The page of a deployment: title, state, join address and power, with one tab open."""
    one = seen.one
    crumbs = [("Deployments", "/deployments"), (one.name, "" if tab == "now" else f"/deployments/{one.deployment_id}")]
    if tab == "run" and seen.session is not None:
        crumbs.append((f"Session {seen.session.session_id}", ""))
    join = stories.endpoint(one)
    return page(
        around,
        template,
        status=status,
        here="deployments",
        title=one.name,
        scope=f"deployment:{one.deployment_id} host:{one.host_id}",
        **(
            {
                "seen": seen,
                "one": one,
                "session": seen.session,
                "shown": _title_state(seen),
                "tab": tab,
                "crumbs": crumbs,
                "join": join,
                "address": stories.address(join) if join else "",
                "how": stories.how_to_join(one),
                "steps": stories.steps(seen.history, words.SESSION, _ending(seen.session)),
                "live": one.session is not None and one.session.status in looks.LIVE,
                "may_power": around.may("sessions.power"),
                "may_type": around.may("sessions.console"),
                "may_read": around.may("logs.view"),
            }
            | more
        ),
    )


def _ending(run: types.Session | None) -> str:
    if run is None or not run.reason:
        return ""
    said = words.reason(run.reason)[1]
    code = f", exit code {run.exit_code}" if run.exit_code is not None else ""
    return said + code + (f", signal {run.signal}" if run.signal is not None else "")


def _title_state(seen: Now) -> looks.Shown:
    """The deployment's state; a live session's own page of times says more than the summary."""
    shown, run = looks.deployment(seen.one), seen.session
    if run is not None and run.live and seen.one.session_id == run.session_id:
        return looks.session(run)
    return shown
