"""Topic matching as AMQP 0-9-1 says it, and the keys of the product."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manman.domain.ids import HostId, SessionId
from manman.errors import Malformed
from manman.events import topics
from manman.events.topics import matches


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("status.session.running", "status.session.running", True),
        ("status.session.running", "status.session.crashed", False),
        ("status.session.*", "status.session.running", True),
        ("status.session.*", "status.session.running.7", False),
        ("status.session.*", "status.session", False),
        ("*", "status", True),
        ("*", "status.session", False),
        ("*.*", "status.session", True),
        ("status.#", "status", True),
        ("status.#", "status.session", True),
        ("status.#", "status.session.running.7", True),
        ("status.#", "health.heartbeat", False),
        ("#", "anything.at.all", True),
        ("#", "", True),
        ("", "", True),
        ("", "a", False),
        ("*", "", False),
        ("#.running", "running", True),
        ("#.running", "status.session.running", True),
        ("#.running", "status.session.running.7", False),
        ("manman.*.stale", "manman.host.stale", True),
        ("manman.*.stale", "manman.stale", False),
        ("*.session.#", "status.session", True),
        ("*.session.#", "logs.session.4.7", True),
        ("#.session.*", "status.session.running", True),
        ("#.session.*", "session.running", True),
        ("#.session.*", "session", False),
        ("#.#", "", True),
        ("#.*", "a", True),
        ("#.*", "", False),
        ("a.#.b.#.c", "a.b.c", True),
        ("a.#.b.#.c", "a.x.b.y.z.c", True),
        ("a.#.b.#.c", "a.c.b", False),
        ("a..b", "a..b", True),
        ("a.*.b", "a..b", True),
        ("a.b*", "a.bc", False),
        ("a.#b", "a.x.b", False),
    ],
)
def test_a_pattern_matches_word_by_word_and_hash_also_no_word(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


words = st.lists(st.sampled_from(["a", "b", "status"]), min_size=1, max_size=6)


@given(words)
def test_every_key_matches_itself_and_hash(key: list[str]) -> None:
    text = ".".join(key)
    assert matches(text, text)
    assert matches("#", text)
    assert matches(".".join("*" * len(key)), text)


@given(words, words)
def test_hash_between_two_keys_spans_whatever_lies_between(left: list[str], right: list[str]) -> None:
    pattern = ".".join([*left, "#", *right])
    assert matches(pattern, ".".join(left + right))
    assert matches(pattern, ".".join([*left, "x", "y", *right]))


def test_a_key_is_taken_apart() -> None:
    key = topics.parse("status.session.running.7")
    assert (key.area, key.noun, key.word, key.host_id) == ("status", "session", "running", 7)
    assert key.type == "manman.status.session.running"


def test_the_host_word_may_be_missing_from_what_a_plain_publisher_sends() -> None:
    assert topics.parse("status.session.running").host_id is None
    assert topics.parse("health.heartbeat").host_id is None
    assert topics.parse("health.pulse").noun == "pulse"


@pytest.mark.parametrize(
    "built",
    [
        topics.status("session", "crashed", HostId(3)),
        topics.status("host", "online"),
        topics.status("deployment", "gave_up", HostId(3)),
        topics.status("command", "refused", HostId(3)),
        topics.heartbeat(HostId(3)),
        topics.pulse(),
        topics.command(HostId(3), "start"),
        topics.logs(SessionId(9), HostId(3)),
        "manman.session.crashed",
    ],
)
def test_every_key_that_is_built_is_understood(built: str) -> None:
    assert topics.parse(built).text == built


@pytest.mark.parametrize(
    "key",
    [
        "",
        "status",
        "status.session",
        "status.session.flying",
        "status.session.running.7.8",
        "status.session.running.seven",
        "status.session.running.0",
        "status.session.running.-1",
        "status.session.running.99999999999999999999",
        "status.session.running.٣",
        "status.weather.sunny",
        "health.nothing",
        "command.host.3.dance",
        "command.host.start",
        "logs.session.9",
        "nonsense",
    ],
)
def test_a_key_that_no_message_has_is_refused_by_name(key: str) -> None:
    with pytest.raises(Malformed) as refused:
        topics.parse(key)
    assert refused.value.field == "key"
