"""What pika writes is read, what is written pika reads, however the bytes are cut; garbage ends the connection."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from harness.wire import Wire, message, method, read
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import spec
from pika.exceptions import AMQPError, InvalidFrameError, ShortStringTooLong

from manman.events.bus import NO_HEADERS, Delivery, Outgoing
from manman.events.rabbit import frames

MOST = 40  # a body's part, so that small bodies are several frames
FRAME_MAX = 4096  # the least that there is
HEARTBEAT = b"\x08\0\0\0\0\0\0\xce"
short = st.text(max_size=60).filter(lambda text: len(text.encode()) <= 255)
whole = st.integers(-(2**63), 2**63 - 1)
simple = st.none() | st.booleans() | whole | st.text(max_size=20)
times = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))
nested = st.lists(simple, max_size=2) | st.dictionaries(short, simple, max_size=2) | st.binary(max_size=9)
names = short | st.sampled_from(["cloudEvents:id", "host", "x-death", "x-first-death-queue"])
tables = st.dictionaries(names, simple | times | nested | st.just(Decimal("1.25")), max_size=6)
texts = st.dictionaries(names, st.text(max_size=20), max_size=6)
bodies = st.binary(max_size=3 * MOST) | st.just(b"")
octet = st.integers(0, 255)


@st.composite
def properties(draw: st.DrawFn) -> spec.BasicProperties:
    """Those that are usual, or any."""
    usual = {
        "content_type": st.just("application/json"),
        "headers": texts | tables,
        "delivery_mode": st.sampled_from((1, 2)),
        "message_id": short,
        "user_id": short,
    }
    rare = {name: short for name in ("content_encoding", "correlation_id", "reply_to", "expiration", "type", "app_id")}
    more = rare | {"priority": octet, "timestamp": st.integers(0, 2**40), "cluster_id": short}
    wanted = draw(st.just({}) | st.fixed_dictionaries({}, optional=more))
    return spec.BasicProperties(**draw(st.fixed_dictionaries({}, optional=usual)), **wanted)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[spec.Basic.Deliver, spec.BasicProperties, bytes]:
    """A message as a broker says it."""
    said = spec.Basic.Deliver(
        consumer_tag="m",
        delivery_tag=draw(st.integers(1, 2**63)),
        redelivered=draw(st.booleans()),
        exchange=draw(short),
        routing_key=draw(short),
    )
    return said, draw(properties()), draw(bodies)


def understood(said: spec.Basic.Deliver, told: spec.BasicProperties, body: bytes) -> Delivery:
    """What it must come to."""
    kept = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in (told.headers or {}).items()
        if not name.startswith("x-") and (value is None or isinstance(value, bool | int | str | datetime))
    }
    return Delivery(
        tag=said.delivery_tag,
        exchange=said.exchange,
        key=said.routing_key,
        body=body,
        headers=kept or NO_HEADERS,
        redelivered=bool(said.redelivered),
        message_id=told.message_id,
        user_id=told.user_id,
    )


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The same in pieces."""
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(at)]


def listening(wire: Wire, number: int) -> list[Delivery]:
    """A channel's messages, whichever way they go."""
    got: list[Delivery] = []
    channel = wire.open(number)
    channel.take = got.append

    def slowly(_: Any, said: Any, told: Any, body: bytes) -> None:
        headers, attempts, message_id, user_id = frames.of_pika(told)
        got.append(
            Delivery(
                tag=said.delivery_tag,
                exchange=said.exchange,
                key=said.routing_key,
                body=body,
                headers=headers,
                attempts=attempts,
                redelivered=bool(said.redelivered),
                message_id=message_id,
                user_id=user_id,
            )
        )

    channel.basic_consume("queue", slowly, consumer_tag="m")
    wire.hear(method(number, spec.Basic.ConsumeOk("m")))
    return got


def same(found: Delivery, expected: Delivery) -> bool:
    """Equal, headers too, though one may be another kind of mapping."""
    return all(
        dict(getattr(found, name)) == dict(getattr(expected, name)) if name == "headers" else
        getattr(found, name) == getattr(expected, name)
        for name in Delivery.__struct_fields__
    )  # fmt: skip


@settings(deadline=None)
@given(sent=st.lists(deliveries(), max_size=4), places=st.lists(st.integers(0, 5000), max_size=8))
def test_what_pika_writes_is_read_however_it_is_cut(sent: list[Any], places: list[int]) -> None:
    wire = Wire()
    got = listening(wire, 1)
    data = b"".join(part for one in sent for part in message(1, *one, most=MOST))
    before = wire.bytes_received
    for piece in cut(data, places):
        wire.hear(piece)
    assert len(got) == len(sent)
    assert all(same(found, understood(*one)) for found, one in zip(got, sent, strict=True))
    assert (wire.bytes_received - before, wire.waiting) == (len(data), 0)


@settings(deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(1, 3), deliveries()), max_size=6),
    places=st.lists(st.integers(0, 5000), max_size=8),
    chance=st.randoms(use_true_random=False),
)
def test_frames_of_channels_and_heartbeats_come_in_between(sent: list[Any], places: list[int], chance: Any) -> None:
    wire = Wire()
    got = {number: listening(wire, number) for number in (1, 2, 3)}
    lines = [[part for n, one in sent if n == number for part in message(n, *one, most=MOST)] for number in got]
    lines.append([HEARTBEAT] * 3)
    mixed = []
    while any(lines):
        line = chance.choice([line for line in lines if line])
        mixed.append(line.pop(0))
    frames_before = wire.frames_received
    for piece in cut(b"".join(mixed), places):
        wire.hear(piece)
    for number, found in got.items():
        wanted = [understood(*one) for n, one in sent if n == number]
        assert len(found) == len(wanted)
        assert all(same(a, b) for a, b in zip(found, wanted, strict=True))
    assert wire.frames_received - frames_before == len(mixed)


@settings(deadline=None)
@given(garbage=st.binary(min_size=1, max_size=40))
def test_garbage_is_refused_or_waits_for_no_more_than_a_message(garbage: bytes) -> None:
    wire = Wire(frame_max=FRAME_MAX)
    listening(wire, 1)
    try:
        for _ in range(4):
            wire.hear(garbage * (FRAME_MAX // len(garbage) + 1))
    except (AMQPError, LookupError, struct.error, ValueError, TypeError, AttributeError, AssertionError):
        return  # the transport then ends the connection
    assert wire.waiting < 3 * (FRAME_MAX + frames.OVERHEAD)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request", b"\x01\0\1\xff\xff\xff\xff....", b"\x05" + b"\0" * 20])
def test_what_is_no_frame_is_said_at_once(data: bytes) -> None:
    wire = Wire()
    with pytest.raises(InvalidFrameError, match="no AMQP frame"):
        wire.hear(data)


@settings(deadline=None)
@given(sent=deliveries(), place=st.integers(0, 10_000), other=octet)
def test_a_damaged_message_is_refused_or_read_as_one_and_never_waited_for_for_ever(
    sent: Any, place: int, other: int
) -> None:
    wire = Wire(frame_max=FRAME_MAX)
    got = listening(wire, 1)
    data = bytearray(b"".join(message(1, *sent, most=MOST)))
    data[place % len(data)] = other
    try:
        wire.hear(bytes(data))
        for _ in range(4):
            wire.hear(HEARTBEAT * (FRAME_MAX // len(HEARTBEAT)))
    except (AMQPError, LookupError, struct.error, ValueError, TypeError, AttributeError, AssertionError):
        return
    assert len(got) <= 1 and wire.waiting < 3 * (FRAME_MAX + frames.OVERHEAD)


def test_text_that_is_none_takes_away_its_header_and_not_the_connection() -> None:
    wire = Wire()
    got = listening(wire, 1)
    told = spec.BasicProperties(headers={"good": "1", "bad": "????"}, message_id="????")
    data = b"".join(message(1, spec.Basic.Deliver("m", 1, False, "e", "k????"), told, b"x", most=MOST))
    wire.hear(data.replace(b"????", b"\xff\xfe\xfd\xfc"))
    [found] = got
    assert dict(found.headers) == {"good": "1"}
    assert found.key.startswith("k\N{REPLACEMENT CHARACTER}") and found.message_id is not None


@pytest.mark.parametrize(("count", "attempts"), [(3, 3), ("many", 0)])
def test_attempts_are_the_broker_s_count(count: object, attempts: int) -> None:
    wire = Wire()
    got = listening(wire, 1)
    told = spec.BasicProperties(headers={"a": "1", "x-delivery-count": count})
    wire.hear(b"".join(message(1, spec.Basic.Deliver("m", 1, True, "e", "k"), told, b"x", most=MOST)))
    assert (got[0].attempts, dict(got[0].headers)) == (attempts, {"a": "1"})


# ---- writing ---------------------------------------------------------------------------------------------------------

spans = st.none() | st.timedeltas(timedelta(0), timedelta(days=1))
headers: st.SearchStrategy[Mapping[str, Any]] = st.dictionaries(names, simple, max_size=6)


@settings(deadline=None)
@given(
    sent=st.lists(
        st.builds(
            Outgoing,
            exchange=short,
            key=short,
            body=bodies,
            headers=headers,
            message_id=st.none() | short,
            ttl=spans,
            mandatory=st.booleans(),
            perishable=st.booleans(),
        ),
        max_size=4,
    ),
    user=short,
)
def test_pika_reads_what_is_written(sent: list[Outgoing], user: str) -> None:
    writer, out = frames.Writer(7, user, MOST), []
    for n, one in enumerate(sent):
        writer.message(out, one, str(n) if one.mandatory else None)
    found = read(b"".join(out))
    for n, one in enumerate(sent):
        said, head = found.pop(0), found.pop(0)
        parts = [found.pop(0).fragment for _ in range(-(-len(one.body) // MOST))]
        assert said.channel_number == head.channel_number == 7
        assert (said.method.exchange, said.method.routing_key) == (one.exchange, one.key)
        assert (said.method.mandatory, said.method.immediate) == (one.mandatory, False)
        assert (b"".join(parts), head.body_size) == (one.body, len(one.body))
        told: spec.BasicProperties = head.properties
        assert (told.content_type, told.user_id) == ("application/json", user)
        assert told.delivery_mode == (1 if one.perishable else 2)
        assert (told.message_id, told.headers or {}) == (one.message_id, dict(one.headers))
        assert told.expiration == (None if one.ttl is None else str(int(one.ttl.total_seconds() * 1000)))
        assert told.correlation_id == (str(n) if one.mandatory else None)
        assert told.priority is told.timestamp is told.type is told.app_id is None
    assert not found


@settings(deadline=None)
@given(value=st.floats(allow_nan=False))
def test_a_fraction_arrives_whole(value: float) -> None:
    writer, out = frames.Writer(1, "guest", MOST), []
    writer.message(out, Outgoing(exchange="e", key="k", body=b"x", headers={"f": value}), None)
    wire = Wire()
    got = listening(wire, 1)
    wire.hear(method(1, spec.Basic.Deliver("m", 1, False, "e", "k")) + b"".join(out[1:]))
    assert got[0].headers == {"f": value}


def test_a_key_that_is_too_long_is_refused_before_anything_is_written() -> None:
    out: list[bytes] = []
    with pytest.raises(ShortStringTooLong):
        frames.Writer(1, "guest", MOST).message(out, Outgoing(exchange="e", key="k" * 256, body=b""), None)
    assert out == []


@settings(deadline=None)
@given(tag=st.integers(1, 2**63), multiple=st.booleans())
def test_pika_reads_an_ack(tag: int, multiple: bool) -> None:
    [found] = read(frames.ack(3, tag, multiple=multiple))
    assert isinstance(found.method, spec.Basic.Ack)
    assert (found.channel_number, found.method.delivery_tag, found.method.multiple) == (3, tag, multiple)
