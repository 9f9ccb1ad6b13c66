"""CloudEvents 1.0 in binary mode: the attributes of an event ⇄ AMQP headers named `cloudEvents:<attribute>`.

A message without any such header is still an event: it has no attributes, so no sequence, and the state machine
alone applies it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from manman.domain.ids import HostId
from manman.errors import Malformed

PREFIX = "cloudEvents:"
DEAD_LETTER = "dead-letter"
HOST = "host"
_NO_ATTRIBUTES = frozenset({HOST, DEAD_LETTER})
CONTENT_TYPE = "application/json"
LARGEST = 2**63 - 1
"""Numbers are below it: what the database cannot hold, in a range too, is refused at the edge."""
# The older spelling of the AMQP binding is understood too: brokers between us and a publisher rewrite the colon.
_PREFIXES = (PREFIX, "cloudEvents_")
_SPECVERSION, _ID, _SOURCE_NAME, _TYPE, _SUBJECT, _TIME, _SEQUENCE, _AFTER, _DATASCHEMA, _TRACEPARENT = (
    PREFIX + name
    for name in (
        "specversion", "id", "source", "type", "subject", "time", "sequence", "after", "dataschema", "traceparent",
    )
)  # fmt: skip
_SOURCE = re.compile(r"/hosts/([1-9][0-9]{0,18})/journals/([A-Za-z0-9_-]{1,64})")
_LAST = re.compile(r"([A-Za-z0-9_-]{1,64})/([0-9]{1,19})")

Header = str | int | float | bool | None
Headers = Mapping[str, Header]


class Attributes(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The attributes of one event. `sequence` counts from 1 within `source`; `time` is the sender's, no verdict uses
    it. `after`, which the first of a journal has: the host's journal before it, and the last number there.

    `host_id` and `journal_id` are read from a source of the form `/hosts/<id>/journals/<journal>`, else null.
    """

    id: str
    source: str
    type: str
    subject: str | None = None
    time: datetime | None = None
    sequence: int | None = None
    after: tuple[str, int] | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    host_id: HostId | None = None
    journal_id: str | None = None


def journal_source(host_id: HostId, journal_id: str) -> str:
    """The `source` of what one life of an agent says: numbers are never reused within it."""
    return f"/hosts/{host_id}/journals/{journal_id}"


@lru_cache(10_000)
def of_source(source: str) -> tuple[HostId | None, str | None]:
    """Host and journal of a source, or (None, None) when it is not a journal."""
    found = _SOURCE.fullmatch(source)
    return (HostId(int(found[1])), found[2]) if found and int(found[1]) < LARGEST else (None, None)


def attributes(*, id: str, source: str, type: str, **others: object) -> Attributes:
    """`Attributes` with host and journal filled from the source; `others` are the optional attributes by name."""
    host_id, journal_id = of_source(source)
    return msgspec.convert(
        {"id": id, "source": source, "type": type, "host_id": host_id, "journal_id": journal_id, **others}, Attributes
    )


def time_text(at: datetime) -> str:
    """A time as the headers carry it: RFC 3339 in UTC."""
    text: str = msgspec.to_builtins(at)
    return text


def to_headers(event: Attributes) -> dict[str, Header]:
    """The AMQP headers of an event; what is unset is left out, `time` is RFC 3339 in UTC, `sequence` decimal text."""
    named: dict[str, str | None] = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": None if event.time is None else time_text(event.time),
        "dataschema": event.dataschema,
        "sequence": None if event.sequence is None else str(event.sequence),
        "after": None if event.after is None else f"{event.after[0]}/{event.after[1]}",
        "traceparent": event.traceparent,
    }
    return {PREFIX + name: value for name, value in named.items() if value is not None}


def from_headers(headers: Headers) -> Attributes | None:
    """The attributes in the headers, None when there is not one; raises `Malformed('headers.<name>')` when they are
    half there."""
    if len(headers) < 3 and headers.keys() <= _NO_ATTRIBUTES:  # a heartbeat
        return None
    return _usual(headers) or _any(headers)


def _usual(headers: Headers) -> Attributes | None:
    """What agents send: every header text, under its own name. None for all else, which `_any` looks at one by one."""
    get: Any = headers.get
    id, source, kind = get(_ID), get(_SOURCE_NAME), get(_TYPE)
    try:
        told = "".join((id, source, kind, get(_SUBJECT, ""), get(_DATASCHEMA, ""), get(_TRACEPARENT, "")))
    except TypeError:
        return None
    if get(_SPECVERSION) != "1.0" or not (id and source and kind) or len(told) > 1000 or "\0" in told:
        return None
    host_id, journal_id = of_source(source)
    return Attributes(
        id=id,
        source=source,
        type=kind,
        subject=get(_SUBJECT),
        time=_time(get(_TIME)),
        sequence=_sequence(get(_SEQUENCE)),
        after=_after(get(_AFTER)),
        dataschema=get(_DATASCHEMA),
        traceparent=get(_TRACEPARENT),
        host_id=host_id,
        journal_id=journal_id,
    )


def _any(headers: Headers) -> Attributes | None:
    found = {name[12:]: value for name, value in headers.items() if name.startswith(_PREFIXES)}
    if not found:
        return None
    if found.get("specversion") != "1.0":
        raise Malformed("headers.specversion", f"must be '1.0', not {found.get('specversion')!r}")
    source = _text(found, "source")
    host_id, journal_id = of_source(source)
    return Attributes(
        id=_text(found, "id"),
        source=source,
        type=_text(found, "type"),
        subject=_optional(found, "subject"),
        time=_time(found.get("time")),
        sequence=_sequence(found.get("sequence")),
        after=_after(found.get("after")),
        dataschema=_optional(found, "dataschema"),
        traceparent=_optional(found, "traceparent"),
        host_id=host_id,
        journal_id=journal_id,
    )


def _text(found: Mapping[str, Header], name: str) -> str:
    value = _optional(found, name)
    if not value:
        raise Malformed(f"headers.{name}", "is required beside the other CloudEvents headers")
    return value


def _optional(found: Mapping[str, Header], name: str) -> str | None:
    value = found.get(name)
    if value is None or (type(value) is str and len(value) <= 1000 and "\0" not in value):
        return value
    if not isinstance(value, str) or len(value) > 1000 or "\0" in value:
        raise Malformed(f"headers.{name}", f"must be text of at most 1000 characters, not {value!r:.60}")
    return value


def _time(value: Header) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):  # the AMQP timestamp type
        return value
    try:
        at: datetime = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise Malformed("headers.time", f"must be an RFC 3339 time with its zone, not {value!r:.60}") from None
    if at.tzinfo is None:
        raise Malformed("headers.time", f"must name its zone, as in 2026-01-31T12:00:00Z, not {value!r:.60}")
    return at


def _sequence(value: Header) -> int | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value) if isinstance(value, int) else ""
    number = whole(text)
    if number is None:
        raise Malformed("headers.sequence", f"must be a whole number from 1, not {value!r:.60}")
    return number


def _after(value: Header) -> tuple[str, int] | None:
    """A journal and its last number, as in `3f2a/17`. Nothing for all else: it is a hint, and a publisher may mean something of its own."""
    found = _LAST.fullmatch(value) if isinstance(value, str) else None
    number = whole(found[2]) if found else None
    return None if found is None or number is None else (found[1], number)


def whole(text: str) -> int | None:
    """A whole number from 1 that the database can hold, None for every other text."""
    if not (text.isascii() and text.isdigit() and len(text) <= 40):
        return None
    return number if 0 < (number := int(text)) < LARGEST else None
