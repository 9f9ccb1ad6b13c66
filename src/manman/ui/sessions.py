"""Sessions: the list, and one past run opened on its deployment's page, with the crash card where it crashed."""

import asyncio
import signal as signals
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from manman.client import types
from manman.ui import deployments, looks, times, words
from manman.ui.frame import Frame, frame, page
from manman.ui.lists import asked

SUGGESTED = (
    "live = true",
    "status = crashed AND created_at > -24h",
    "status = (running, starting)",
    "reason = out_of_memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A crash explained: what happened as a sentence, its evidence, what came after and what was different when it ran well."""

    session: types.Session
    headline: str
    evidence: str
    often: str
    next_session: types.Session | None
    last_good: types.Session | None
    changes: list[tuple[str, str, bool]]


async def session_list(request: Request) -> Response:
    """`GET /sessions`: newest first."""
    around = await frame(request)
    reply, wanted = await asked(
        request, around.client.list_sessions, types.ListSessionsResponse(), order_by="created_at desc"
    )
    return page(
        around,
        "sessions.html",
        here="sessions",
        title="Sessions",
        crumbs=[("Sessions", "")],
        scope="*",
        runs=[(run, looks.session(run)) for run in reply.sessions],
        reply=reply,
        wanted=wanted,
        suggested=SUGGESTED,
    )


async def session(request: Request) -> Response:
    """`GET /sessions/{id}`: its deployment's page with this run opened."""
    around = await frame(request)
    one = await around.client.get_session(request.path_params["id"])
    deployment = await around.client.get_deployment(one.deployment_id)
    seen = await deployments.look(around, deployment, one.session_id)
    crash = await _explain(around, seen) if one.status == "crashed" else None
    tab = "now" if deployment.session_id == one.session_id and one.status != "crashed" else "run"
    return deployments.now_page(
        around, seen, tab=tab, template="run.html" if tab == "run" else "now.html", explained=crash
    )


async def _explain(around: Frame, seen: deployments.Now) -> Crash | None:
    run = seen.session
    if run is None:
        return None
    after, good = await asyncio.gather(
        around.client.list_sessions(
            filter=f"deployment_id = {run.deployment_id} AND previous_session_id = {run.session_id}", page_size=1
        ),
        around.client.list_sessions(
            filter=f"deployment_id = {run.deployment_id} AND status = stopped AND session_id < {run.session_id}",
            order_by="ended_at desc",
            page_size=1,
        ),
    )
    last_good = good.sessions[0] if good.sessions else None
    return Crash(
        session=run,
        headline=f"{run.deployment} {words.reason(run.reason)[0]}",
        evidence=evidence(run),
        often="The first crash in 7 days" if seen.crashes_of_week < 2 else f"{seen.crashes_of_week} crashes in 7 days",
        next_session=after.sessions[0] if after.sessions else None,
        last_good=last_good,
        changes=changes(run, last_good),
    )


def evidence(run: types.Session) -> str:
    """What is known of an end, as sentences: signal, exit code, how long it ran, what the host said."""
    said = list[str]()
    if run.signal is not None:
        said.append(f"The system ended it with {_signal(run.signal)}.")
    elif run.exit_code is not None:
        said.append(f"It ended by itself with exit code {run.exit_code}.")
    if run.started_at and run.ended_at:
        said.append(f"It had run for {times.span(run.ended_at - run.started_at)}.")
    elif run.ended_at:
        said.append("It never came up.")
    if run.detail:
        detail = run.detail[0].upper() + run.detail[1:]
        said.append(detail if detail.endswith(".") else f"{detail}.")
    return " ".join(said)


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signals.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def changes(run: types.Session, good: types.Session | None) -> list[tuple[str, str, bool]]:
    """(what, value then and now in words, whether it changed) since the run that ended in order."""
    if good is None:
        return []
    pairs = [
        ("Config", f"{good.config} r{good.config_revision}", f"{run.config} r{run.config_revision}"),
        ("Host", good.host, run.host),
        ("Begun by", words.cause(good.cause) or "–", words.cause(run.cause) or "–"),
    ]
    return [(what, f"{then} → {now}" if then != now else f"{now}, the same", then != now) for what, then, now in pairs]
