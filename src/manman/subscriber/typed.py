"""The events as types: what a handler matches on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from manman.errors import Malformed
from manman.events import codec, contracts, envelope
from manman.events.bus import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Anything that was announced. `id` is the same when it comes twice; `sequence` rises within its session or host.

    `attempts` counts how often it was delivered before and not acknowledged: whoever held it died, or lost its connection.
    """

    id: str | None
    type: str
    sequence: int | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvent(Event):
    """A host came or went; `host` says which, when, and what is known of it."""

    host: contracts.HostEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOnline(HostEvent):
    """A host is here; `host.silent_for` seconds when it had been away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOffline(HostEvent):
    """A host said goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStale(HostEvent):
    """A host fell silent without a goodbye; `host.last_seen`, `host.threshold`, `host.mass`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent(Event):
    """Something happened to a session; `session` has its ids, names, labels, endpoints and what led here."""

    session: contracts.SessionEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRunning(SessionEvent):
    """Players can join at `session.endpoints`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStopped(SessionEvent):
    """It ended as somebody wished, or by itself with an expected exit code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCrashed(SessionEvent):
    """It ended and nobody asked for it: `session.reason`, `.exit_code`, `.signal`, `.tail`, and `.restart` if one follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUnreachable(SessionEvent):
    """Its host left; whether the game goes on is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReachable(SessionEvent):
    """Its host is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherEvent(Event):
    """A type that this version has no class for; `data` is its body."""

    data: Mapping[str, Any] = field(default_factory=dict)


class Refuse(Exception):
    """Raised by a handler: this event will never be taken; it goes to `<queue>.dead` with this reason, at once."""


_HOST: dict[str, type[HostEvent]] = {
    "manman.host.online": HostOnline,
    "manman.host.offline": HostOffline,
    "manman.host.stale": HostStale,
}
_SESSION: dict[str, type[SessionEvent]] = {
    "manman.session.running": SessionRunning,
    "manman.session.stopped": SessionStopped,
    "manman.session.crashed": SessionCrashed,
    "manman.session.unreachable": SessionUnreachable,
    "manman.session.reachable": SessionReachable,
    # The steps between are seen through the API only.
    "manman.session.pending": SessionEvent,
    "manman.session.starting": SessionEvent,
    "manman.session.stopping": SessionEvent,
}


def event_of(delivery: Delivery) -> Event:
    """The event in a delivery; raises `Malformed`, which names the field."""
    if delivery.key not in _HOST and delivery.key not in _SESSION:
        return _other(delivery)
    message = codec.decode(delivery.key, delivery.headers, delivery.body)
    attributes = message.attributes
    id = attributes.id if attributes else delivery.message_id
    sequence = attributes.sequence if attributes else None
    if isinstance(message.body, contracts.HostEvent):
        made: type[HostEvent] = _HOST[delivery.key]
        return made(id=id, type=delivery.key, sequence=sequence, attempts=delivery.attempts, host=message.body)
    if isinstance(message.body, contracts.SessionEvent):
        kind: type[SessionEvent] = _SESSION[delivery.key]
        sequence = message.body.number if sequence is None else sequence
        return kind(id=id, type=delivery.key, sequence=sequence, attempts=delivery.attempts, session=message.body)
    raise Malformed("body", f"is not what {delivery.key!r} carries")


def _other(delivery: Delivery) -> OtherEvent:
    attributes = envelope.from_headers(delivery.headers)
    try:
        data = msgspec.json.decode(delivery.body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Malformed("body", f"is not a JSON object ({error})") from None
    return OtherEvent(
        id=attributes.id if attributes else delivery.message_id,
        type=attributes.type if attributes else delivery.key,
        sequence=attributes.sequence if attributes else None,
        attempts=delivery.attempts,
        data=data,
    )
