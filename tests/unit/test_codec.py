"""Bytes to frozen messages and back; what is malformed names its field."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.errors import Malformed
from manman.events import codec, contracts, envelope, topics
from manman.events.codec import Message, decode, encode

AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
JOURNAL = envelope.journal_source(HostId(7), "k3J")


def body(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


def headers(**changes: str | int | None) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "specversion": "1.0",
        "id": "0190-a",
        "source": JOURNAL,
        "type": "manman.status.session.running",
        "time": "2026-01-31T12:00:00Z",
        "sequence": "12",
    }
    return {f"cloudEvents:{name}": value for name, value in (whole | changes).items() if value is not None}


def refusal(key: str, payload: bytes, head: dict[str, Any] | None = None, user: str | None = None) -> Malformed:
    with pytest.raises(Malformed) as refused:
        decode(key, head or {}, payload, user)
    return refused.value


def test_a_plain_body_without_headers_is_understood() -> None:
    message = decode("status.session.running", {}, body(session_id=4))
    assert message.attributes is None
    assert message.host_id is None
    assert message.body == contracts.SessionStatus(session_id=SessionId(4), status="running")


def test_keys_that_nobody_knows_are_borne() -> None:
    assert decode("health.heartbeat", {}, body(host_id=7, mood="good", nested={"a": [1]})).host_id == 7


def test_the_attributes_come_from_the_headers() -> None:
    message = decode("status.session.running.7", headers(traceparent="00-ab-cd-01"), body(session_id=4))
    assert message.attributes == envelope.Attributes(
        id="0190-a",
        source=JOURNAL,
        type="manman.status.session.running",
        time=AT,
        sequence=12,
        traceparent="00-ab-cd-01",
        host_id=HostId(7),
        journal_id="k3J",
    )


def test_old_names_are_understood_wherever_they_stand() -> None:
    message = decode("status.session.crashed", {}, body(session_id=4, sgc_id=9, server_id=7))
    assert (message.host_id, message.body.deployment_id) == (7, 9)  # type: ignore[union-attr]
    report = decode(
        "status.host.report", {}, body(server_id=7, sessions=[{"session_id": 1, "sgc_id": 2, "status": "running"}])
    )
    assert report.body.sessions[0].deployment_id == 2  # type: ignore[union-attr]


def test_both_names_with_different_values_contradict() -> None:
    assert refusal("health.heartbeat", body(host_id=7, server_id=8)).field == "server_id"


def test_a_missing_status_is_the_key_s_word() -> None:
    assert decode("status.host.offline", {}, body(host_id=7)).body.status == "offline"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("key", "payload", "field"),
    [
        ("status.session.running", b"{", "body"),
        ("status.session.running", b"\xff\xfe", "body"),
        ("status.session.running", b"", "body"),
        ("status.session.running", b"[]", "body"),
        ("status.session.running", b"{}", "session_id"),
        ("status.session.running", body(session_id="4"), "session_id"),
        ("status.session.running", body(session_id=0), "session_id"),
        ("status.session.running", body(session_id=2**63), "session_id"),
        ("status.session.running", body(session_id=True), "session_id"),
        ("status.session.running", body(session_id=4, status="crashed"), "status"),
        ("status.session.running", body(session_id=4, status="flying"), "status"),
        ("status.session.crashed", body(session_id=4, exit_code=2**40), "exit_code"),
        ("status.session.crashed", body(session_id=4, detail="a\0b"), "detail"),
        ("status.session.crashed", body(session_id=4, tail=["ok", "a\0b"]), "tail[1]"),
        ("status.session.crashed", body(session_id=4, tail=["x"] * 51), "tail"),
        ("status.session.crashed", body(session_id=4, restart={"of": 5}), "restart.attempt"),
        ("status.host.online", b"{}", "host_id"),
        ("status.host.report", body(host_id=7, sessions=[{"session_id": 1, "deployment_id": 2}]), "sessions[0].status"),
        ("status.host.online.7", body(host_id=8), "host_id"),
        ("health.heartbeat", body(boot=1), "host_id"),
        ("health.heartbeat.7", body(host_id=8), "host_id"),
        ("health.heartbeat", body(host_id=7, beat=-1), "beat"),
        ("command.host.7.start", body(command_id="c", session_id=1), "deployment_id"),
        ("command.host.7.input", body(command_id="c", session_id=1, line="x" * 4096), "line"),
        ("command.host.7.report", b"{}", "command_id"),
        ("logs.session.4.7", body(session_id=5, lines=[]), "session_id"),
        ("logs.session.4.7", body(lines=[{"n": 1}]), "lines[0].text"),
        ("status.session.running.7.8", body(session_id=4), "key"),
    ],
)
def test_what_is_malformed_names_its_field(key: str, payload: bytes, field: str) -> None:
    assert refusal(key, payload).field == field


def test_a_nul_in_an_escaped_backslash_is_no_nul() -> None:
    message = decode("status.session.crashed", {}, rb'{"session_id":4,"detail":"C:\\u0000x"}')
    assert message.body.detail == "C:\\u0000x"  # type: ignore[union-attr]


def test_a_body_that_is_too_large_is_refused_unread() -> None:
    assert refusal("status.session.running", b" " * (codec.MOST_BODY_BYTES + 1)).field == "body"


def test_deep_nesting_is_malformed_and_no_crash() -> None:
    assert refusal("health.heartbeat", b'{"host_id":7,"memory":' + b"[" * 100_000).field in ("body", "memory")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"specversion": "0.3"}, "headers.specversion"),
        ({"specversion": None}, "headers.specversion"),
        ({"id": None}, "headers.id"),
        ({"id": ""}, "headers.id"),
        ({"source": None}, "headers.source"),
        ({"type": 5}, "headers.type"),
        ({"time": "yesterday"}, "headers.time"),
        ({"time": "2026-01-31T12:00:00"}, "headers.time"),
        ({"sequence": "twelve"}, "headers.sequence"),
        ({"sequence": "0"}, "headers.sequence"),
        ({"sequence": "9" * 5000}, "headers.sequence"),
        ({"sequence": "0" * 19 + "1" + "9" * 19}, "headers.sequence"),
        ({"source": envelope.journal_source(HostId(8), "k")}, "headers.source"),
    ],
)
def test_headers_that_are_half_there_or_wrong_are_named(changes: dict[str, Any], field: str) -> None:
    assert refusal("status.session.running.7", body(session_id=4), headers(**changes)).field == field


def test_the_first_of_a_journal_says_what_was_the_last_before_it() -> None:
    event = envelope.attributes(id="i", source=JOURNAL, type="t", time=AT, sequence=1, after=("k2I-_", 17))
    assert envelope.to_headers(event)["cloudEvents:after"] == "k2I-_/17"
    assert envelope.from_headers(envelope.to_headers(event)) == event
    strange = envelope.to_headers(event) | {"cloudEvents:subject": None}
    assert envelope.from_headers(strange) == event


@pytest.mark.parametrize("said", ["k", "k/0", "k k/3", "k/" + "9" * 19, "k/3\n", 3, None, "2026-01-31"])
def test_a_hint_that_is_of_another_kind_is_none(said: str | int | None) -> None:
    for more in ({}, {"subject": None}):
        attributes = decode(
            "status.session.running.7", headers(**more) | {"cloudEvents:after": said}, body(session_id=4)
        ).attributes
        assert attributes is not None and (attributes.after, attributes.sequence) == (None, 12)


def test_a_sequence_may_be_a_number_too() -> None:
    attributes = decode("status.session.running.7", headers(sequence=12), body(session_id=4)).attributes
    assert attributes is not None and attributes.sequence == 12


def test_a_source_whose_host_no_database_holds_is_no_journal() -> None:
    source = envelope.journal_source(HostId(10**19 - 1), "j1")
    said = decode("status.session.running", headers(source=source), body(session_id=4))
    assert said.host_id is None
    assert said.attributes is not None and said.attributes.journal_id is None


def test_a_host_s_broker_user_speaks_for_itself_only() -> None:
    own = decode("status.session.running.7", {}, body(session_id=4), "/dev.host.7")
    assert own.host_id == 7
    assert refusal("status.session.running.8", body(session_id=4), user="/dev.host.7").field == "user_id"
    assert refusal("status.session.running", body(session_id=4), user="/dev.host.7").field == "user_id"
    assert decode("status.session.running", {}, body(session_id=4), "control").user_id == "control"


def test_a_pulse_needs_nothing() -> None:
    assert decode("health.pulse", {}, b"").body == contracts.Pulse()
    assert decode("health.pulse", {}, b"{}").body == contracts.Pulse()


def test_a_replay_names_the_row_that_it_closes() -> None:
    assert decode("status.session.running", {"dead-letter": "31"}, body(session_id=4)).dead_letter == 31
    assert refusal("status.session.running", body(session_id=4), {"dead-letter": "x"}).field == "headers.dead-letter"


EVERY = [
    (
        "status.host.online.7",
        contracts.HostOnline(host_id=HostId(7), status="online", boot=3, lease=[(1, 50), (60, 60)]),
    ),
    ("status.host.offline.7", contracts.HostOffline(host_id=HostId(7), status="offline", boot=3)),
    (
        "status.host.report.7",
        contracts.HostReport(
            host_id=HostId(7),
            status="report",
            boot=3,
            sessions=[
                contracts.SessionSaid(session_id=SessionId(4), deployment_id=DeploymentId(9), status="running", run=2)
            ],
            deployments=[contracts.DeploymentSaid(deployment_id=DeploymentId(9), desired="running", desired_version=5)],
            lease=[(5, 50)],
        ),
    ),
    (
        "status.session.crashed.7",
        contracts.SessionStatus(
            session_id=SessionId(4),
            status="crashed",
            signal=9,
            reason="signalled",
            tail=["a", "ä"],
            restart=contracts.Restart(attempt=1, of=5, at=AT),
        ),
    ),
    ("status.command.refused.7", contracts.CommandRefused(command_id="c", reason="superseded", desired_version=5)),
    (
        "status.deployment.ready.7",
        contracts.DeploymentStatus(deployment_id=DeploymentId(9), status="ready", progress=1.0),
    ),
    (
        "status.deployment.seen.7",
        contracts.DeploymentSeen(deployment_id=DeploymentId(9), status="seen", desired_version=5),
    ),
    (
        "health.heartbeat.7",
        contracts.Heartbeat(host_id=HostId(7), boot=3, beat=8, live=contracts.Live(count=1, xor=4), cpu=0.5),
    ),
    ("health.pulse", contracts.Pulse()),
    ("command.host.7.tail", contracts.Command(command_id="c", session_id=SessionId(4), from_=1, limit=1000)),
    ("logs.session.4.7", contracts.LogLines(lines=[contracts.LogLine(n=1, text="up", at=AT, stream="out")])),
    ("manman.host.stale", contracts.HostEvent(host_id=HostId(7), host="alpha", status="stale", at=AT, last_seen=AT)),
    (
        "manman.session.running",
        contracts.SessionEvent(
            session_id=SessionId(4),
            deployment_id=DeploymentId(9),
            host_id=HostId(7),
            status="running",
            at=AT,
            endpoints=[contracts.Endpoint(name="game", protocol="udp", address="10.0.0.1", port=8303)],
        ),
    ),
]


@pytest.mark.parametrize(("key", "said"), EVERY, ids=[key for key, _ in EVERY])
def test_every_message_survives_bytes_and_back(key: str, said: Any) -> None:
    attributes = envelope.attributes(id="i", source=JOURNAL, type=topics.parse(key).type, time=AT, sequence=4)
    sent = Message(key=topics.parse(key), body=said, attributes=attributes, host_id=HostId(7))
    assert decode(*encode(sent)) == sent


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from([key for key, _ in EVERY]))
def test_no_bytes_can_do_more_than_be_refused(payload: bytes, key: str) -> None:
    try:
        decode(key, {}, payload)
    except Malformed as refused:
        assert refused.field


simple = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["", "a", "\0", "running"])
)
json_values = simple | st.lists(simple, max_size=2) | st.dictionaries(st.sampled_from(["n", "text"]), simple)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([key for key, _ in EVERY]),
    st.dictionaries(
        st.sampled_from(["host_id", "session_id", "status", "lines", "tail", "boot", "sgc_id"]), json_values
    ),
)
def test_no_json_can_do_more_than_be_refused(key: str, fields: dict[str, Any]) -> None:
    try:
        decode(key, {}, body(**fields))
    except Malformed as refused:
        assert refused.field
