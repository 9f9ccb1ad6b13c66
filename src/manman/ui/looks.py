"""How a deployment, session or host is shown right now: its look, and what stands behind the word (a share, an age, a clock)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from manman.client import types
from manman.ui import times, words
from manman.ui.words import Look

LIVE: Final = frozenset({"pending", "starting", "running", "stopping"})

# Worst first: what needs somebody, then what moves, then what runs, then what rests.
ORDER: Final = (
    "gave_up",
    "install_failed",
    "crashed",
    "unreachable",
    "installing",
    "pending",
    "starting",
    "stopping",
    "running",
    "sleeping",
    "removing",
    "suspended",
    "stopped",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A look with its moment: `share` is '40 %' or empty, `since` ticks as an age, `at` is said as a clock time."""

    look: Look
    share: str = ""
    since: datetime | None = None
    at: datetime | None = None

    @property
    def short(self) -> "Shown":
        """As tables say it: an age only where it matters."""
        return self if self.look.key == "unreachable" else replace(self, since=None, at=None)


def deployment(one: types.Deployment) -> Shown:
    """What a deployment is: its live session first, else what keeps it from running, else how its last session ended."""
    run = one.session
    if run is not None and run.status in LIVE:
        return _live(run)
    progress = times.share(one.progress) if one.progress is not None else ""
    ended = run.ended_at if run is not None else None
    if one.status in ("installing", "install_failed", "removing"):
        return Shown(look=words.DEPLOYMENT[one.status], share=progress if one.status == "installing" else "")
    if one.suspended:
        return Shown(look=words.DEPLOYMENT["suspended"])
    if one.gave_up == "limit":
        return Shown(look=words.DEPLOYMENT["gave_up"], at=ended)
    if run is None:
        return Shown(look=words.SESSION["stopped"])
    return Shown(look=session_word(run.status), at=ended)


def session_word(status: str | None) -> Look:
    """The look of a session status, known or not."""
    return words.SESSION.get(status or "") or words.unknown(status or "")


def _live(run: types.SessionSummary) -> Shown:
    if run.unreachable_since is not None:
        return Shown(look=words.UNREACHABLE, since=run.unreachable_since)
    share = times.share(run.progress) if run.progress is not None and run.status == "starting" else ""
    return Shown(look=session_word(run.status), share=share, since=run.started_at if run.status == "running" else None)


def session(one: types.Session) -> Shown:
    """What a session is, live or over."""
    if one.live and one.unreachable_since is not None:
        return Shown(look=words.UNREACHABLE, since=one.unreachable_since)
    look = session_word(one.status)
    match one.status:
        case "running":
            return Shown(look=look, since=one.started_at)
        case "stopping":
            return Shown(look=look, since=one.stopping_at)
        case "starting":
            return Shown(look=look, share=times.share(one.progress) if one.progress is not None else "")
        case "stopped" | "crashed":
            return Shown(look=look, at=one.ended_at)
        case _:
            return Shown(look=look)


def host(one: types.Host) -> Shown:
    """What a host is; draining shows only while it is heard, since silence matters more."""
    if one.status == "online" and one.draining:
        left = f", {one.live_sessions} left" if one.live_sessions else ""
        return Shown(look=replace(words.HOST["draining"], word=f"Draining{left}"))
    look = words.HOST.get(one.status or "") or words.unknown(one.status or "")
    return Shown(look=look, since=one.last_seen if one.status == "stale" else None)


def worst_first(many: list[types.Deployment]) -> list[types.Deployment]:
    """Deployments as the overview lists them: by how much they need somebody, then by name."""
    rank = {key: number for number, key in enumerate(ORDER)}
    return sorted(many, key=lambda one: (rank.get(deployment(one).look.key, len(rank)), one.name.lower()))


def counted(many: list[types.Deployment]) -> list[tuple[Look, int]]:
    """How many deployments are in each state that occurs, worst first."""
    looks: dict[str, Look] = {}
    counts: dict[str, int] = {}
    for one in many:
        look = deployment(one).look
        looks[look.key] = look
        counts[look.key] = counts.get(look.key, 0) + 1
    return [(looks[key], counts[key]) for key in ORDER if key in counts]


def players(many: list[types.Deployment]) -> tuple[int, int] | None:
    """(players heard, players last heard on hosts that are silent), or None where nobody counts players."""
    known = [one.session for one in many if one.session is not None and one.session.status in LIVE]
    counted_runs = [run for run in known if run.players is not None]
    if not counted_runs:
        return None
    heard = sum(run.players or 0 for run in counted_runs if run.unreachable_since is None)
    unheard = sum(run.players or 0 for run in counted_runs if run.unreachable_since is not None)
    return heard, unheard


def transition(word: str, table: Mapping[str, Look]) -> Look | None:
    """The look of one end of a transition; None for the empty word before the first."""
    return (table.get(word) or words.unknown(word)) if word else None
