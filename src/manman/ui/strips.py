"""The strip of a deployment's last hour: state by height and pattern, drawn by the server as SVG with a text alternative.

What happened comes from events; what lies before the first of them is told by its `previous_status`, else by the state now.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup, escape

from manman.client import types
from manman.ui import looks, times, words

WINDOW: Final = timedelta(hours=1)
WIDTH: Final = 340
HEIGHT: Final = 24
NOT_RUN: Final = "stopped"
# state → (top, height, class); the flag of a crash is drawn at its moment, not as a stretch.
SHAPES: Final = {
    "pending": (19, 4, "low"),
    "starting": (19, 4, "low"),
    "running": (17, 6, "full"),
    "reachable": (17, 6, "full"),
    "stopping": (22, 1.2, "hair"),
    "stopped": (22, 1.2, "hair"),
    "crashed": (22, 1.2, "hair"),
    "gave_up": (22, 1.2, "flag"),
    "install_failed": (22, 1.2, "flag"),
    "sleeping": (17.5, 5, "hollow"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A state from a moment to the next."""

    state: str
    start: datetime
    end: datetime


def marks(events: Iterable[types.Event]) -> dict[int, list[types.Event]]:
    """Events that change what a strip shows, by deployment, oldest first."""
    found: dict[int, list[types.Event]] = {}
    for event in events:
        if event.deployment_id is not None and event.at is not None and _state(event) is not None:
            found.setdefault(event.deployment_id, []).append(event)
    for many in found.values():
        many.sort(key=_order)
    return found


def _order(event: types.Event) -> tuple[datetime, int]:
    """By time, and of the same moment by position in the stream."""
    position = event.cursor.rpartition("-")[2]
    return event.at or datetime.min, int(position) if position.isdecimal() else 0


def stretches(one: types.Deployment, events: list[types.Event], now: datetime) -> list[Stretch]:
    """The hour before `now` without holes, oldest first."""
    start = now - WINDOW
    inside = [(event.at, _state(event) or NOT_RUN) for event in events if event.at and start < event.at <= now]
    state = _before(one, events, start)
    cuts = [(start, state), *inside]
    if not inside:
        cuts = [(start, state), *_from_session(one, start, now)]
    cuts += _silence(one, cuts[-1], start)
    ends = [at for at, _ in cuts[1:]] + [now]
    return [Stretch(state=word, start=at, end=end) for (at, word), end in zip(cuts, ends, strict=True)]


def _state(event: types.Event) -> str | None:
    noun, _, word = event.type.removeprefix("manman.").partition(".")
    if noun == "session":
        return word if word in words.SESSION or word in ("unreachable", "reachable") else None
    return "gave_up" if noun == "deployment" and word == "gave_up" and event.body.get("reason") == "limit" else None


def _before(one: types.Deployment, events: list[types.Event], start: datetime) -> str:
    """The state as the hour began."""
    if events:
        said = events[0].body.get("previous_status")
        if events[0].type.endswith(".unreachable"):
            return "running"
        # What waited before the hour's first event waited briefly: it is not drawn as an hour of waiting.
        return said if isinstance(said, str) and said in SHAPES and said != "pending" else NOT_RUN
    run = one.session
    if run is not None and run.started_at is not None and run.started_at <= start:
        return "running" if run.status in looks.LIVE else looks.deployment(one).look.key
    return NOT_RUN


def _from_session(one: types.Deployment, start: datetime, now: datetime) -> list[tuple[datetime, str]]:
    """Where events are wanting, what the latest session itself tells."""
    run, cuts = one.session, list[tuple[datetime, str]]()
    if run is None:
        return cuts
    if run.started_at is not None and start < run.started_at <= now:
        cuts.append((run.started_at, "running"))
    if run.ended_at is not None and start < run.ended_at <= now:
        cuts.append((run.ended_at, run.status))
    return cuts


def _silence(one: types.Deployment, last: tuple[datetime, str], start: datetime) -> list[tuple[datetime, str]]:
    since = one.session.unreachable_since if one.session is not None else None
    if since is None or last[1] == "unreachable":
        return []
    return [(max(since, last[0], start), "unreachable")]


def draw(one: types.Deployment, events: list[types.Event], now: datetime) -> Markup:
    """The strip as an `svg` element, one unit high as its row is, as wide as its cell."""
    start, parts = now - WINDOW, list[str]()
    for quarter in (1, 2, 3):
        parts.append(f'<rect class="line" x="{WIDTH * quarter / 4:.0f}" y="0" width="1" height="23"/>')
    found = stretches(one, events, now)
    for number, stretch in enumerate(found):
        left, right = _x(stretch.start, start), _x(stretch.end, start)
        parts.append(_bar(stretch.state, left, max(right - left, 1.5)))
        if stretch.state == "crashed" and number:
            parts.append(_flag(left))
    label = escape(f"Last hour of {one.name}: {told(found)}")
    return Markup(
        f'<svg class="strip" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        + "".join(parts)
        + "</svg>"
    )


def told(found: list[Stretch]) -> str:
    """The states in words: 'stopped, starting 02:51:03, running 02:51:20'."""
    said = list[str]()
    for number, stretch in enumerate(found):
        word = stretch.state.replace("_", " ")
        said.append(word if number == 0 else f"{word} {times.clock(stretch.start.astimezone())}")
    return ", ".join(said)


def _x(at: datetime, start: datetime) -> float:
    return round(WIDTH * ((at - start) / WINDOW), 1)


def _flag(x: float) -> str:
    return f'<path class="flag" d="M{x - 3.5:g} 1h7l-2.6 4.5V23h-1.8V5.5z"/>'


def _bar(state: str, left: float, width: float) -> str:
    if state == "unreachable":
        lines = "".join(f"M{left + step:.1f} 23l5-6" for step in _steps(width))
        return f'<path class="hatch" d="{lines}"/>'
    top, height, kind = SHAPES.get(state, SHAPES[NOT_RUN])
    return f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:.1f}" height="{height:g}"/>'


def _steps(width: float) -> list[float]:
    return [step * 6.0 for step in range(max(1, int(width / 6)))]


def axis(now: datetime) -> list[str]:
    """Five labels under which strips lie: four clock times a quarter apart, and 'now'."""
    local = now.astimezone()
    return [(local - WINDOW * (4 - quarter) / 4).strftime("%H:%M") for quarter in range(4)] + ["now"]
