"""Events, transitions and joining, told in sentences."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from manman.client import types
from manman.ui import looks, words
from manman.ui.words import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """An event as a list shows it: '03:07:12 ⊗ **Odin** crashed out of memory'."""

    at: datetime | None
    look: Look
    subject: str
    href: str
    text: str
    event: types.Event


def event_line(event: types.Event) -> EventLine:
    """An event in words; one of an unknown type by the words of its type."""
    noun, _, word = event.type.removeprefix("manman.").partition(".")
    look, subject, href = _about(noun, word, event)
    return EventLine(at=event.at, look=look, subject=subject, href=href, text=_telling(noun, word, event), event=event)


def _about(noun: str, word: str, event: types.Event) -> tuple[Look, str, str]:
    body = event.body
    if noun == "host":
        name = _text(body, "host") or f"host {event.host_id}"
        return words.HOST.get(word) or words.unknown(word), name, f"/hosts/{event.host_id}"
    name = _text(body, "deployment") or f"deployment {event.deployment_id}"
    if noun == "deployment":
        return words.DEPLOYMENT.get(word) or words.unknown(word), name, f"/deployments/{event.deployment_id}"
    special = {"unreachable": words.UNREACHABLE, "reachable": words.REACHABLE}
    look = special.get(word) or words.SESSION.get(word) or words.unknown(word)
    return look, name, f"/sessions/{event.session_id}" if event.session_id else f"/deployments/{event.deployment_id}"


def _telling(noun: str, word: str, event: types.Event) -> str:
    body, rest = event.body, list[str]()
    if (said := _text(body, "reason")) and noun != "host":
        rest.append(
            words.reason(said)[1] if noun == "session" else words.GAVE_UP_SHORT.get(said, said.replace("_", " "))
        )
    if word == "stale":
        rest.append("not heard for too long")
    elif (said := _text(body, "cause")) not in ("", ITS_HOST):
        rest.append(words.cause(said))
    players = body.get("players")
    if isinstance(players, int | float) and players and word in ("crashed", "stopped"):
        rest.append(f"{int(players)} players")
    return ", ".join(dict.fromkeys(rest))


def _text(body: dict[str, object], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A transition of a history: its number, both ends, when, and why in words."""

    number: int
    before: Look | None
    after: Look
    at: datetime | None
    why: str
    who: str
    trace_id: str


def steps(history: list[types.Transition], table: dict[str, Look], ending: str = "") -> list[Step]:
    """A history, newest first. `table` has the looks of the noun's statuses; `ending` says more about a final one."""
    return [
        Step(
            number=one.number,
            before=looks.transition(one.from_, table),
            after=table.get(one.to) or words.unknown(one.to),
            at=one.at,
            why=_why(one) + (f": {ending}" if ending and one.to in FINAL else ""),
            who=_who(one),
            trace_id=one.trace_id,
        )
        for one in reversed(history)
    ]


PERSONS: Final = ("user ", "service ", "host ", "local ")
FINAL: Final = ("stopped", "crashed")
ITS_HOST: Final = "host"
SAID: Final = {
    "pending": "Waits for its host",
    "starting": "Its host began it",
    "running": "Ready for players",
    "stopping": "Told to stop",
    "stopped": "Ended in order",
    "crashed": "Ended unasked",
}


def _who(one: types.Transition) -> str:
    if one.cause == ITS_HOST:
        return "its host"
    return one.cause.removeprefix("user ") if one.cause.startswith(PERSONS) else ""


def _why(one: types.Transition) -> str:
    # Who told it stands at the end of the row already.
    because = "" if _who(one) else words.cause(one.cause)
    told = SAID.get(one.to, "")
    if not told:
        return because.capitalize() if because else ""
    return f"{told}, {because}" if because and because != "event" else told


def endpoint(one: types.Deployment | types.Session) -> types.Endpoint | None:
    """The endpoint that players join: the one called 'game', else the first."""
    named = [found for found in one.endpoints if found.name == "game"]
    return next(iter(named or one.endpoints), None)


def address(found: types.Endpoint) -> str:
    """'192.168.1.23:2456'; an IPv6 address in brackets."""
    host = f"[{found.address}]" if ":" in found.address else found.address
    return f"{host}:{found.port}"


def how_to_join(one: types.Deployment | types.Session) -> str:
    """Who can reach the address, and what to do so that others can."""
    found = endpoint(one)
    if found is None:
        return ""
    ports = ", ".join(dict.fromkeys(f"{each.port}/{each.protocol}" for each in one.endpoints))
    try:
        where = ipaddress.ip_address(found.address)
    except ValueError:
        return f"From anywhere that knows this name; {ports}"
    if where.is_loopback:
        return f"This machine only; give the host an address of its network to invite others ({ports})"
    return f"LAN; from outside forward {ports}" if where.is_private else f"From anywhere; {ports} must be open"
