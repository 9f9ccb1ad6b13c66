"""The frames that carry messages, read and written without an object for each of them. Pure: bytes in, values out.

A delivery is three frames in a row: method, header, body. What is unusual about one (a body over several frames, rare properties)
is left to pika's decoder, which reads everything else too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from struct import Struct
from typing import Any

from pika import data, spec
from pika.exceptions import InvalidFrameError, ShortStringTooLong

from manman.events.bus import NO_HEADERS, Delivery, Outgoing
from manman.events.envelope import Header

METHOD, HEADER, BODY, HEARTBEAT = spec.FRAME_METHOD, spec.FRAME_HEADER, spec.FRAME_BODY, spec.FRAME_HEARTBEAT
KINDS = frozenset((METHOD, HEADER, BODY, HEARTBEAT))
END = spec.FRAME_END
OVERHEAD = 8  # a frame's type, channel, length and end
COUNT_HEADER = "x-delivery-count"
REMEMBERED = 20_000

DELIVER, ACK, NACK = (one.INDEX.to_bytes(4, "big") for one in (spec.Basic.Deliver, spec.Basic.Ack, spec.Basic.Nack))

FRAME = Struct(">BHI")  # type, channel, length
_start = Struct(">BHII")  # a method frame's, with the method
_delivered = Struct(">QBB")  # tag, redelivered, length of the exchange's name
_header = Struct(">BHIIQH")  # a header frame's, with class and weight, size of the body, flags
_long = Struct(">I")
_double = Struct(">d")
_settling = Struct(">BHI4sQBB")  # a whole ack
_confirm = Struct(">QB")

BASIC = spec.BasicProperties.INDEX << 16  # class and weight, which is zero
_CONTENT_TYPE, _HEADERS = spec.BasicProperties.FLAG_CONTENT_TYPE, spec.BasicProperties.FLAG_HEADERS
_DELIVERY_MODE, _MESSAGE_ID = spec.BasicProperties.FLAG_DELIVERY_MODE, spec.BasicProperties.FLAG_MESSAGE_ID
_USER_ID = spec.BasicProperties.FLAG_USER_ID
_MODE_SHIFT = 12  # the delivery mode is one octet
_RARE = 0xFFFF & ~(_CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID | _USER_ID)
_TEXT = ord("S")
_DOUBLE = ord("d")
_TIME = ord("T")
_NESTED = b"FA"  # tables and lists
DEEPEST = 16  # of tables in tables; the broker's own are three deep

Properties = tuple[Mapping[str, Header], int, str | None, str | None]
"""Headers, attempts, message id, user id."""

# What comes again and again is decoded once: names of headers, exchange and key, users.
_names: dict[bytes, str] = {}
_routes: dict[bytes, tuple[str, str]] = {}
_users: dict[bytes, str] = {}


class Incomplete(Exception):
    """The rest has not arrived yet."""


def delivery(buffer: bytes, at: int, end: int, most: int, held_since: float) -> tuple[Delivery | None, int]:
    """The message whose `Basic.Deliver` begins at `at` (its frame's last octet is at `end`), and where the next frame begins.

    None instead of the message when its frames are not three in a row, none longer than `most`: they are then read one by one.
    Raises `Incomplete`, and `InvalidFrameError` for what cannot be a message.
    """
    size = len(buffer)
    head = end + 1
    if head + _header.size > size:
        raise Incomplete
    kind, channel, length, basic, body_size, flags = _header.unpack_from(buffer, head)
    head_end = head + 7 + length
    body_at = head_end + OVERHEAD if body_size else head_end + 1
    if (kind, basic) != (HEADER, BASIC) or buffer[at + 1 : at + 3] != buffer[head + 1 : head + 3] or length > most:
        return None, at
    if body_at > size:
        raise Incomplete
    after = head_end + 1
    if body_size:
        if body_size > most or FRAME.unpack_from(buffer, after) != (BODY, channel, body_size):
            return None, at
        after = body_at + body_size + 1
        if after > size:
            raise Incomplete
    if buffer[head_end] != END or buffer[after - 1] != END:
        raise InvalidFrameError("a frame does not end where it says")
    return _message(buffer, at, end, head, flags, buffer[body_at : after - 1], held_since), after


def _message(buffer: bytes, at: int, end: int, head: int, flags: int, body: bytes, held_since: float) -> Delivery:
    at += 12 + buffer[at + 11]  # the consumer's tag says nothing: a channel has one consumer
    tag, redelivered, n = _delivered.unpack_from(buffer, at)
    route = buffer[at + 9 : end]
    exchange, key = _routes.get(route) or _route(route, n)
    head_end = head + 7 + _long.unpack_from(buffer, head + 3)[0]
    headers, attempts, message_id, user_id = properties(buffer, head + 19, head_end, flags)
    return Delivery(
        tag=tag,
        exchange=exchange,
        key=key,
        body=body,
        headers=headers,
        attempts=attempts,
        redelivered=redelivered != 0,
        message_id=message_id,
        user_id=user_id,
        held_since=held_since,
    )


def _route(raw: bytes, n: int) -> tuple[str, str]:
    """Exchange and key, each a short text."""
    if len(raw) < n + 2 or len(raw) != n + 2 + raw[n + 1]:
        raise InvalidFrameError("a delivery's exchange and key do not fill its frame")
    if len(_routes) > REMEMBERED:
        _routes.clear()
    found = _routes[raw] = (_loose(raw[1 : n + 1]), _loose(raw[n + 2 :]))
    return found


def properties(buffer: bytes, at: int, end: int, flags: int) -> Properties:
    """What follows from `at`, where the flags stand, to `end`."""
    if flags & _RARE:
        return _rare(buffer[at:end])
    start, at = at, at + 2
    headers: Mapping[str, Header] = NO_HEADERS
    attempts, message_id, user_id = 0, None, None
    if flags & _CONTENT_TYPE:
        at += 1 + buffer[at]
    if flags & _HEADERS:
        table_end = at + 4 + _long.unpack_from(buffer, at)[0]
        try:
            headers, attempts = table(buffer, at + 4, min(table_end, end))
        except UnicodeDecodeError:
            return _rare(buffer[start:end])
        at = table_end
    at += flags >> _MODE_SHIFT & 1
    if flags & _MESSAGE_ID:
        before, at = at + 1, at + 1 + buffer[at]
        message_id = _loose(buffer[before:at])
    if flags & _USER_ID:
        before, at = at + 1, at + 1 + buffer[at]
        raw = buffer[before:at]
        user_id = _users.get(raw) or _remember(_users, raw)
    if at != end:
        raise InvalidFrameError("a message's properties do not fill their frame")
    return headers, attempts, message_id, user_id


def table(buffer: bytes, at: int, end: int) -> tuple[dict[str, Header], int]:
    """A table's simple values by name, from `at` to `end`, and how often the message was delivered before.

    The broker's own (`x-…`) and nested ones are left out, times become RFC 3339. Raises `UnicodeDecodeError`.
    """
    found: dict[str, Header] = {}
    attempts = 0
    while at < end:
        value_at = at + 1 + buffer[at]
        name = _names.get(buffer[at + 1 : value_at])
        if name is not None and buffer[value_at] == _TEXT:
            at = value_at + 5 + _long.unpack_from(buffer, value_at + 1)[0]
            found[name] = buffer[value_at + 5 : at].decode()
            continue
        name = buffer[at + 1 : value_at].decode()
        value, at = _value(buffer, value_at)
        attempts = _attempts(name, value, attempts)
        _keep(found, name, value)
    if at != end:
        raise InvalidFrameError("a table's values do not fill it")
    return found, attempts


def plain(raw: Mapping[Any, Any]) -> tuple[Mapping[str, Header], int]:
    """The same of a table as pika reads it; what is no text is a name of nothing."""
    found: dict[str, Header] = {}
    attempts = 0
    for name, value in raw.items():
        if isinstance(name, str):
            attempts = _attempts(name, value, attempts)
            _keep(found, name, value)
    return found or NO_HEADERS, attempts


def of_pika(told: spec.BasicProperties) -> Properties:
    """Properties as pika reads them."""
    headers, attempts = plain(told.headers or {})
    return headers, attempts, _loose(told.message_id), _loose(told.user_id)


def _rare(encoded: bytes) -> Properties:
    return of_pika(spec.BasicProperties().decode(encoded))


def _attempts(name: str, value: object, before: int) -> int:
    return value if name == COUNT_HEADER and isinstance(value, int) else before


def _keep(found: dict[str, Header], name: str, value: object) -> None:
    if name.startswith("x-"):
        return
    if isinstance(value, datetime):
        found[name] = value.isoformat()
    elif value is None or isinstance(value, str | int | float | bool):
        found[name] = value
        _remember(_names, name.encode())


class _Tables:
    """How pika reads a table's values, but for what the broker carries and pika trips over: such a message would end each connection
    that gets it, and come again for ever. A time that no calendar has is nothing, and so is what is nested too deep."""

    def __init__(self) -> None:
        self._read: Callable[[bytes, int], tuple[Any, int]] = data.decode_value
        self._depth = 0

    def __call__(self, encoded: bytes, offset: int) -> tuple[Any, int]:
        kind = encoded[offset]
        if kind == _TIME:
            try:
                return self._read(encoded, offset)
            except (ValueError, OverflowError, OSError):
                return None, offset + 9
        if kind not in _NESTED:
            return self._read(encoded, offset)
        if self._depth == DEEPEST:
            return None, offset + 5 + _long.unpack_from(encoded, offset + 1)[0]
        self._depth += 1
        try:
            return self._read(encoded, offset)
        finally:
            self._depth -= 1


data.decode_value = _Tables()  # pika's own reading of tables calls it too


def _value(buffer: bytes, at: int) -> tuple[Any, int]:
    # pika cuts fractions off.
    if buffer[at] == _DOUBLE:
        return _double.unpack_from(buffer, at + 1)[0], at + 9
    value: tuple[Any, int] = data.decode_value(buffer, at)
    return value


def _remember(known: dict[bytes, str], raw: bytes) -> str:
    if len(known) > REMEMBERED:
        known.clear()
    found = known[raw] = raw.decode(errors="replace")
    return found


def _loose(raw: Any) -> Any:
    """Text of a short string; what is not UTF-8 in it shows as such instead of ending the connection."""
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw


def confirm(buffer: bytes, at: int, end: int) -> tuple[int, bool]:
    """Tag and `multiple` of the `Basic.Ack` or `Basic.Nack` whose frame goes from `at` to `end`."""
    if end - at != 20:
        raise InvalidFrameError("an ack or a nack does not fill its frame")
    tag, bits = _confirm.unpack_from(buffer, at + 11)
    return tag, bits & 1 == 1


# ---- writing ---------------------------------------------------------------------------------------------------------


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """`Basic.Ack`."""
    return _settling.pack(METHOD, channel, 13, ACK, tag, multiple, END)


class Writer:
    """Messages of one channel as bytes. `most`: the largest part of a body that a frame holds."""

    def __init__(self, channel: int, user_id: str, most: int) -> None:
        self._channel = channel
        self._most = most
        self._user = _short(user_id)
        self._methods: dict[tuple[str, str, bool], bytes] = {}

    def message(self, out: list[bytes], message: Outgoing, mark: str | None) -> int:
        """Appends the frames of a message to `out`; about how many bytes they are. `mark` becomes its correlation id.

        Raises `ShortStringTooLong` and pika's other exceptions for what AMQP has no form for.
        """
        key = message.exchange, message.key, message.mandatory
        method = self._methods.get(key) or self._method(*key)
        told = self._properties(message, mark)
        body = message.body
        header = _header.pack(HEADER, self._channel, 12 + len(told), BASIC, len(body), 0)[:-2]
        if not body:
            out += (method, header, told, _END)
        elif len(body) <= self._most:
            out += (method, header, told, _END, FRAME.pack(BODY, self._channel, len(body)), body, _END)
        else:
            out += (method, header, told, _END, *self._parts(body))
        return len(method) + len(header) + len(told) + len(body)

    def _parts(self, body: bytes) -> Iterator[bytes]:
        for at in range(0, len(body), self._most):
            part = body[at : at + self._most]
            yield from (FRAME.pack(BODY, self._channel, len(part)), part, _END)

    def _method(self, exchange: str, key: str, mandatory: bool) -> bytes:
        if len(self._methods) > REMEMBERED:
            self._methods.clear()
        told = b"\0\0" + _short(exchange) + _short(key) + bytes([mandatory])
        made = _start.pack(METHOD, self._channel, 4 + len(told), spec.Basic.Publish.INDEX) + told + _END
        self._methods[exchange, key, mandatory] = made
        return made

    def _properties(self, message: Outgoing, mark: str | None) -> bytes:
        """Flags and properties, in the order of their bits."""
        flags = _CONTENT_TYPE | _DELIVERY_MODE | _USER_ID
        told = [b"", _JSON]
        if message.headers:
            flags |= _HEADERS
            told.append(_table(message.headers))
        told.append(_TRANSIENT if message.perishable else _PERSISTENT)
        if mark is not None:
            flags |= spec.BasicProperties.FLAG_CORRELATION_ID
            told.append(_short(mark))
        if message.ttl is not None:
            flags |= spec.BasicProperties.FLAG_EXPIRATION
            told.append(_short(str(max(0, int(message.ttl.total_seconds() * 1000)))))
        if message.message_id is not None:
            flags |= _MESSAGE_ID
            told.append(_short(message.message_id))
        told.append(self._user)
        told[0] = flags.to_bytes(2, "big")
        return b"".join(told)


def _table(headers: Mapping[str, Header]) -> bytes:
    told: list[bytes] = []
    for name, value in headers.items():
        if type(value) is str:
            raw = value.encode()
            told += (_texts.get(name) or _text(name), _long.pack(len(raw)), raw)
        elif type(value) is float:
            told += (_short(name), b"d", _double.pack(value))
        else:
            told.append(_short(name))
            data.encode_value(told, value)
    whole = b"".join(told)
    return _long.pack(len(whole)) + whole


def _text(name: str) -> bytes:
    """What stands before the length of a text of that name."""
    if len(_texts) > REMEMBERED:
        _texts.clear()
    made = _texts[name] = _short(name) + b"S"
    return made


def _short(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 255:
        raise ShortStringTooLong(raw)
    return bytes([len(raw)]) + raw


_END = bytes([END])
_JSON = _short("application/json")
_TRANSIENT, _PERSISTENT = bytes([1]), bytes([2])
_texts: dict[str, bytes] = {}
