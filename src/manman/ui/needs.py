"""What needs somebody, worst first: down and will not come back, host silent, deaf, refused messages, crashed and back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from manman.client import types
from manman.ui import looks, times, words
from manman.ui.frame import Frame
from manman.ui.words import Look

MOST_CRASHES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A next step: a link, or a form that is sent."""

    word: str
    href: str
    post: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that needs somebody. `since` ticks as 'for 4 min' while it lasts, or 'ago' once it is over."""

    key: str
    look: Look
    what: str
    why: str
    href: str
    since: datetime | None = None
    over: bool = False
    acts: list[Act] = field(default_factory=list)
    cli: str = ""


def worst_first(
    around: Frame, deployments: list[types.Deployment], hosts: list[types.Host], crashes: list[types.Session]
) -> list[Need]:
    """All that needs somebody; empty is 'all well'."""
    down = [need for one in deployments if (need := _down(around, one)) is not None]
    silent = [_silent(host, around) for host in hosts if host.status == "stale"]
    return [*down, *silent, *_control_plane(around), *_back(deployments, crashes)]


def _down(around: Frame, one: types.Deployment) -> Need | None:
    """A deployment that is not up and will not come by itself."""
    shown, ended = looks.deployment(one), one.session.ended_at if one.session else None
    where, key = f"{one.game} on {one.host}.", f"down-{one.deployment_id}"
    href = f"/deployments/{one.deployment_id}"
    match shown.look.key:
        case "gave_up":
            why = f"{where} {_last_reason(one)}"
            what = f"{one.name} is down: gave up restarting"
            acts = [*_start(around, one), Act(word="Explain", href=f"/sessions/{one.session_id}")]
        case "install_failed":
            what, why = f"{one.name} could not be installed", f"{where} {_sentence(one.detail)}"
            acts = [Act(word="Open", href=href)]
        case "crashed" if one.gave_up:
            what, why = f"{one.name} crashed and stays down", f"{where} {words.GAVE_UP.get(one.gave_up, '')}"
            acts = [*_start(around, one), Act(word="Explain", href=f"/sessions/{one.session_id}")]
        case "crashed" if one.desired == "running":
            what, why = (
                f"{one.name} {_end(one)[0]}",
                f"{where} Its host starts it again by itself, after a growing pause.",
            )
            acts = [Act(word="Explain", href=f"/sessions/{one.session_id}")]
        case "crashed" if one.session is not None and one.session.reason == "start_timeout":
            what, why = f"{one.name} did not come up in time", f"{where} Its start was taken back, so it stays down."
            acts = [*_start(around, one), Act(word="Explain", href=f"/sessions/{one.session_id}")]
        case _:
            return None
    return Need(key=key, look=shown.look, what=what, why=why.strip(), href=href, since=ended, acts=acts)


def _start(around: Frame, one: types.Deployment) -> list[Act]:
    if not around.may("sessions.power"):
        return []
    return [Act(word="Start", href=f"/deployments/{one.deployment_id}/start", post=True)]


def _end(one: types.Deployment) -> tuple[str, str]:
    return words.reason(one.session.reason if one.session else "")


def _last_reason(one: types.Deployment) -> str:
    said = words.reason(one.session.reason)[1] if one.session and one.session.reason else ""
    return f"Last end: {said}. {words.GAVE_UP['limit']}" if said else words.GAVE_UP["limit"]


def _silent(host: types.Host, around: Frame) -> Need:
    heard = (
        f"Last heard {times.moment(host.last_seen.astimezone(), around.now.astimezone())}. " if host.last_seen else ""
    )
    if host.live_sessions == 1:
        games = "Its game most likely still runs; nothing is started elsewhere."
    elif host.live_sessions:
        games = f"Its {host.live_sessions} games most likely still run; nothing is started elsewhere."
    else:
        games = "No game runs there."
    return Need(
        key=f"silent-{host.host_id}",
        look=words.HOST["stale"],
        what=f"Host {host.name} is silent",
        why=heard + games,
        href=f"/hosts/{host.host_id}",
        since=host.last_seen,
        acts=[Act(word="Open host", href=f"/hosts/{host.host_id}")],
    )


def _control_plane(around: Frame) -> list[Need]:
    found, seen = list[Need](), around.installation
    if seen.deaf_since is not None:
        found.append(
            Need(
                key="deaf",
                look=words.DEAF,
                what="The control plane hears no host",
                why="Games run on; what is shown is from before. Look at the broker and the processor first.",
                href="/events",
                since=seen.deaf_since,
            )
        )
    if seen.open_dead_letters:
        found.append(
            Need(
                key="dead-letters",
                look=words.DEAD_LETTER,
                what=f"{times.plural(seen.open_dead_letters, 'message was', 'messages were')} refused",
                why="Each is kept with its reason, and can be replayed or dropped.",
                href="/events",
                cli="manman events dead list",
            )
        )
    return found


def _back(deployments: list[types.Deployment], crashes: list[types.Session]) -> list[Need]:
    """Deployments that crashed within a day and run again, the latest crash of each, newest first."""
    by_id = {one.deployment_id: one for one in deployments}
    found: dict[int, Need] = {}
    counts: dict[int, int] = {}
    for crash in crashes:
        counts[crash.deployment_id] = counts.get(crash.deployment_id, 0) + 1
    for crash in crashes:
        one = by_id.get(crash.deployment_id)
        if one is None or crash.deployment_id in found or not _is_up(one):
            continue
        found[crash.deployment_id] = _crashed(one, crash, counts[crash.deployment_id])
    return list(found.values())[:MOST_CRASHES]


def _is_up(one: types.Deployment) -> bool:
    return one.session is not None and one.session.status in looks.LIVE


def _crashed(one: types.Deployment, crash: types.Session, often: int) -> Need:
    how = words.reason(crash.reason)[0]
    coming = one.session is not None and one.session.status in ("pending", "starting")
    again = f" {often} crashes in 24 h." if often > 1 else ""
    players = f", {times.plural(crash.players, 'player')}" if crash.players else ""
    plan = f" Restart {_of(crash.restart)}." if crash.restart else ""
    return Need(
        key=f"crash-{one.deployment_id}",
        look=words.SESSION["crashed"],
        what=f"{one.name} {how} and {'is on its way back' if coming else 'is back'}",
        why=f"{one.game} on {one.host}{players}.{again}{plan}",
        href=f"/sessions/{crash.session_id}",
        since=crash.ended_at,
        over=True,
        acts=[Act(word="Explain", href=f"/sessions/{crash.session_id}")],
    )


def _of(plan: types.RestartPlan) -> str:
    return f"{plan.attempt} of {plan.of}" if plan.of else str(plan.attempt)


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else text + "."
