"""Bytes ⇄ frozen messages, once, at the edge.

`decode` is tolerant where a plain publisher may be plain (no headers, unknown keys, `server_id` and `sgc_id`, a
missing `status`), and strict about everything else: what is malformed raises `Malformed`, which names the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from manman.domain.ids import HostId
from manman.errors import Malformed
from manman.events import contracts, envelope, topics
from manman.events.contracts import AnyBody
from manman.events.envelope import Attributes, Header
from manman.events.topics import Key

MOST_BODY_BYTES = 1024 * 1024


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message, understood. `host_id` is the sender's: from the key, the body or the source, which agree.

    `user_id` is the broker's word for the publisher. `dead_letter` is the row that a replay closes; whoever applies
    it believes it only from the control plane's own broker user.
    """

    key: Key
    body: AnyBody
    attributes: Attributes | None = None
    host_id: HostId | None = None
    user_id: str | None = None
    dead_letter: int | None = None


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of a message beside its body: the host that speaks, its number, and the row that it closes where it is a replay."""

    host_id: HostId | None = None
    attributes: Attributes | None = None
    dead_letter: int | None = None


_STATUS: dict[tuple[str, str], type[contracts.Body]] = {
    ("host", "online"): contracts.HostOnline,
    ("host", "offline"): contracts.HostOffline,
    ("host", "report"): contracts.HostReport,
    ("command", "refused"): contracts.CommandRefused,
    ("deployment", "seen"): contracts.DeploymentSeen,
}


def _struct_of(key: Key) -> type[contracts.Body]:
    match key.area, key.noun:
        case "status", "session":
            return contracts.SessionStatus
        case "status", noun:
            return _STATUS.get((noun, key.word), contracts.DeploymentStatus)
        case "health", "pulse":
            return contracts.Pulse
        case "health", _:
            return contracts.Heartbeat
        case "command", _:
            return contracts.Command
        case "logs", _:
            return contracts.LogLines
        case _, "host":
            return contracts.HostEvent
        case _:
            return contracts.SessionEvent


def _all_structs() -> list[type[contracts.Body]]:
    return [
        *_STATUS.values(),
        contracts.SessionStatus,
        contracts.DeploymentStatus,
        contracts.Pulse,
        contracts.Heartbeat,
        contracts.Command,
        contracts.LogLines,
        contracts.HostEvent,
        contracts.SessionEvent,
    ]


# A decoder each, made once: making one costs more than a thousand messages.
_DECODERS: dict[type[contracts.Body], msgspec.json.Decoder[Any]] = {
    one: msgspec.json.Decoder(one) for one in _all_structs()
}
_ENCODER = msgspec.json.Encoder()
_ALIASES = {"server_id": "host_id", "sgc_id": "deployment_id"}
_HOST_USER = re.compile(r"(?:.*\.)?host\.([1-9][0-9]{0,18})")


def decode(key: str, headers: Mapping[str, Header], body: bytes, user_id: str | None = None) -> Message:
    """The message in these bytes; raises `Malformed` whose `field` is `key`, `body`, a path in it, `headers.<name>`
    or `user_id`."""
    parsed, kind = _parsed(key)
    attributes = envelope.from_headers(headers) if headers else None
    struct = _with_status(parsed, _decode_body(parsed, kind, body))
    return Message(
        key=parsed,
        body=struct,
        attributes=attributes,
        host_id=_sender(parsed, struct, attributes, user_id),
        user_id=user_id,
        dead_letter=_dead_letter(headers),
    )


def envelope_of(key: str, headers: Mapping[str, Header], user_id: str | None = None) -> Envelope:
    """The envelope of a message that is malformed; never raises.

    Where its key's host word, its source and its broker user name different hosts, or its headers are half there, it may lie about
    whose journal it is: then it has no attributes, and its host is the one whose broker user sent it.
    """
    user_host, word = host_of_user(user_id), topics.host_word(key)
    vouched = Envelope(host_id=user_host, dead_letter=_or_none(_dead_letter, headers))
    try:
        attributes = envelope.from_headers(headers)
    except Malformed:
        return vouched
    source = attributes.host_id if attributes is not None else None
    if len({word, source} - {None}) > 1 or (user_host is not None and word != user_host):
        return vouched
    return msgspec.structs.replace(vouched, host_id=word if word is not None else source, attributes=attributes)


def encode(message: Message) -> tuple[str, dict[str, Header], bytes]:
    """Key, headers and body of a message: what `decode` turns back into an equal one."""
    headers = {} if message.attributes is None else envelope.to_headers(message.attributes)
    if message.key.area in ("status", "health", "logs") and message.host_id is not None:
        headers[envelope.HOST] = str(message.host_id)
    if message.dead_letter is not None:
        headers[envelope.DEAD_LETTER] = str(message.dead_letter)
    return message.key.text, headers, encode_body(message.body)


def encode_body(body: contracts.Body | Mapping[str, object]) -> bytes:
    """Flat JSON, UTF-8; times in RFC 3339 with `Z`."""
    return _ENCODER.encode(body)


@lru_cache(10_000)
def host_of_user(user_id: str | None) -> HostId | None:
    """The host whose broker user this is (`<vhost>.host.<id>`), None for the control plane's and for none."""
    found = _HOST_USER.fullmatch(user_id) if user_id else None
    return HostId(int(found[1])) if found else None


@lru_cache(10_000)
def _parsed(key: str) -> tuple[Key, Any]:
    """The key's parts, and what its bodies are."""
    parsed = topics.parse(key)
    return parsed, _struct_of(parsed)


def _decode_body(key: Key, struct: Any, body: bytes) -> AnyBody:
    if len(body) > MOST_BODY_BYTES:
        raise Malformed("body", f"is {len(body)} bytes; at most {MOST_BODY_BYTES} are taken")
    if not body and struct is contracts.Pulse:
        return contracts.Pulse()
    plain = b'"server_id"' in body or b'"sgc_id"' in body
    decoded: AnyBody
    try:
        if b"\\u0000" in body or plain:
            raw = _renamed(msgspec.json.decode(body))
            _refuse_nul(raw, "")
            decoded = msgspec.convert(raw, struct)
        else:
            decoded = _DECODERS[struct].decode(body)
    except msgspec.ValidationError as error:
        raise _malformed(error) from None
    except msgspec.DecodeError as error:
        raise Malformed("body", f"is not JSON ({error})") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise Malformed("body", f"is not readable JSON ({type(error).__name__})") from None
    if isinstance(decoded, contracts.Command):
        _check_command(key, decoded)
    return decoded


def _renamed(raw: Any) -> Any:
    """The same value with the old names replaced; both names with different values are a contradiction."""
    if isinstance(raw, list):
        return [_renamed(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    out = {name: _renamed(value) for name, value in raw.items() if name not in _ALIASES}
    for old, new in _ALIASES.items():
        if old in raw and out.setdefault(new, raw[old]) != raw[old]:
            raise Malformed(old, f"is {raw[old]!r:.40} while {new} is {out[new]!r:.40}")
    return out


def _refuse_nul(value: Any, path: str) -> None:
    # PostgreSQL stores no NUL, neither in text nor in jsonb: better said here than found by a failing transaction.
    if isinstance(value, str):
        if "\0" in value:
            raise Malformed(path or "body", "holds a NUL character")
    elif isinstance(value, list):
        for n, item in enumerate(value):
            _refuse_nul(item, f"{path}[{n}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_nul(name, path)
            _refuse_nul(item, f"{path}.{name}" if path else name)


_PATH = re.compile(r"(?P<said>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?", re.DOTALL)
_REQUIRED = re.compile(r"Object missing required field `(?P<name>[^`]+)`")


def _malformed(error: msgspec.ValidationError) -> Malformed:
    found = _PATH.fullmatch(str(error))
    said, path = (found["said"], found["path"] or "") if found else (str(error), "")
    missing = _REQUIRED.fullmatch(said)
    if missing:
        return Malformed(f"{path}.{missing['name']}".lstrip("."), "is required")
    return Malformed(path.lstrip(".") or "body", said[:1].lower() + said[1:])


def _check_command(key: Key, command: contracts.Command) -> None:
    for name in contracts.NEEDED[key.word]:  # type: ignore[index]
        if getattr(command, name) is None:
            raise Malformed(name, f"is required by the verb {key.word!r}")


def _with_status(key: Key, body: AnyBody) -> AnyBody:
    """The body with its `status` filled from the key's word; both and different is a contradiction."""
    if key.area != "status" or key.noun == "command":
        return body
    said = getattr(body, "status", None)
    if said is None:
        return msgspec.structs.replace(body, status=key.word)
    if said != key.word:
        raise Malformed("status", f"is {said!r} under the key word {key.word!r}")
    return body


def _sender(key: Key, body: AnyBody, attributes: Attributes | None, user_id: str | None) -> HostId | None:
    """The host that speaks; every place that names one must name the same."""
    in_body: HostId | None = getattr(body, "host_id", None)
    if key.area == "manman":
        return in_body
    if key.session_id is not None:
        said = getattr(body, "session_id", None)
        if said is not None and said != key.session_id:
            raise Malformed("session_id", f"is {said} under the key's {key.session_id}")
    host = key.host_id
    if in_body is not None and host is not None and in_body != host:
        raise Malformed("host_id", f"is {in_body} under the key's host word {host}")
    host = host if host is not None else in_body
    from_source = attributes.host_id if attributes else None
    if from_source is not None and host is not None and from_source != host:
        raise Malformed("headers.source", f"is host {from_source}'s while the message is host {host}'s")
    user_host = host_of_user(user_id)
    if user_host is not None and key.host_id != user_host:
        raise Malformed("user_id", f"{user_id!r} may speak for host {user_host} only, under its own host word")
    return host if host is not None else from_source


def _or_none(read: Callable[[Mapping[str, Header]], int | None], headers: Mapping[str, Header]) -> int | None:
    try:
        return read(headers)
    except Malformed:
        return None


def _dead_letter(headers: Mapping[str, Header]) -> int | None:
    value = headers.get(envelope.DEAD_LETTER) if headers else None
    if value is None:
        return None
    number = envelope.whole(str(value))
    if number is None:
        raise Malformed(f"headers.{envelope.DEAD_LETTER}", f"must be the number of a dead letter, not {value!r:.40}")
    return number
