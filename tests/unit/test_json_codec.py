"""JSON ⇄ messages: every key, null for what is unset, strict input that tells all faults at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manman.api import json
from manman.api.examples import example
from manman.api.json.text import duration_of, duration_text, time_of, time_text
from manman.v1 import events_pb2, games_pb2, hosts_pb2, logs_pb2, sessions_pb2, types


def test_a_reply_has_every_key_and_null_for_what_is_unset() -> None:
    plain = json.plain(sessions_pb2.Session(session_id=7, status=sessions_pb2.SESSION_STATUS_RUNNING, exit_code=0))
    assert plain.keys() == {f.name for f in sessions_pb2.Session.DESCRIPTOR.fields}
    assert (plain["session_id"], plain["status"], plain["exit_code"], plain["signal"]) == (7, "running", 0, None)
    assert plain["desired"] is None and plain["started_at"] is None and plain["labels"] == {}


def test_of_a_oneof_only_the_member_that_is_set_is_told() -> None:
    said = events_pb2.WatchEventsResponse(bye=events_pb2.Bye(reason="shutting_down"))
    assert json.plain(said) == {"bye": {"reason": "shutting_down"}}


def test_what_is_written_can_be_read_by_the_client() -> None:
    message = sessions_pb2.Session(session_id=7, status=sessions_pb2.SESSION_STATUS_CRASHED, signal=9)
    message.started_at.FromDatetime(datetime(2026, 11, 3, 3, 7, 20, 500, UTC))
    message.endpoints.add(name="game", port=27015)
    session = msgspec.json.decode(json.write(message), type=types.Session)
    assert session.status == "crashed" and session.signal == 9 and session.exit_code is None
    assert session.started_at == datetime(2026, 11, 3, 3, 7, 20, 500, UTC)
    assert session.endpoints[0].port == 27015


@pytest.mark.parametrize(
    ("value", "pointer", "detail"),
    [
        ({"nonsense": 1}, "/nonsense", "no field"),
        ({"game_id": "7x"}, "/game_id", "whole number"),
        ({"game_id": 1.5}, "/game_id", "whole number"),
        ({"game_id": True}, "/game_id", "whole number"),
        ({"game_id": 2**63}, "/game_id", "64 bits"),
        ({"name": 7}, "/name", "text"),
        ({"name": "a\0b"}, "/name", "NUL"),
        ({"spec": []}, "/spec", "object"),
        ({"spec": {"command": "run"}}, "/spec/command", "list"),
        ({"spec": {"env": {"A/B": 1}}}, "/spec/env/A~1B", "text"),
        ({"spec": {"parameters": [{"type": "whole"}]}}, "/spec/parameters/0/type", "one of string, int"),
        ({"spec": {"stop": {"grace": 90}}}, "/spec/stop/grace", "duration"),
        ({"spec": {"withhold_tail": "yes"}}, "/spec/withhold_tail", "true or false"),
    ],
)
def test_what_does_not_fit_is_told_by_pointer(value: Any, pointer: str, detail: str) -> None:
    [fault] = json.read(value, games_pb2.GameConfig())
    assert fault.pointer == pointer and detail in fault.detail


def test_all_faults_are_told_at_once() -> None:
    faults = json.read({"a": 1, "b": 2, "name": 3, "spec": {"command": [1, "x", 2]}}, games_pb2.GameConfig())
    assert [f.pointer for f in faults] == ["/a", "/b", "/name", "/spec/command/0", "/spec/command/2"]


def test_null_means_unset_and_output_only_is_ignored() -> None:
    config = games_pb2.GameConfig()
    assert json.read({"name": None, "revision": "whatever", "config_id": 9, "game_id": "12"}, config) == []
    assert config == games_pb2.GameConfig(game_id=12)


def test_values_of_parameters_keep_their_kind() -> None:
    parameter = games_pb2.Parameter()
    for value in (20, 1.5, "x", True, None, [1, {"a": None}], {"deep": [True]}):
        assert json.read({"default": value}, parameter) == []
        assert json.plain(parameter)["default"] == value
        parameter.Clear()


def test_a_merge_patch_names_what_it_changes() -> None:
    patch = {"name": "x", "spec": {"stop": {"grace": "1s"}, "env": {"A": None, "B.c": "1"}, "command": []}, "etag": "4"}
    paths = json.masked_paths(patch, games_pb2.GameConfig.DESCRIPTOR)
    assert paths == ["name", "spec.stop.grace", "spec.env.A", "spec.env.B.c", "spec.command"]


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))
def test_times_survive(moment: datetime) -> None:
    assert time_of(time_text(moment)) == moment


@given(st.timedeltas(min_value=timedelta(days=-9000), max_value=timedelta(days=9000)))
def test_durations_survive(span: timedelta) -> None:
    assert duration_of(duration_text(span)) == span


@pytest.mark.parametrize("text", ["2026-11-03", "2026-11-03T03:07:20", "now", "", "2026-13-03T03:07:20Z", None, 7])
def test_a_time_needs_its_zone(text: Any) -> None:
    with pytest.raises(json.CodecFault):
        time_of(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_input_makes_it_stumble(value: Any) -> None:
    json.read(value, games_pb2.GameConfig())
    json.read({"spec": value, "name": value}, games_pb2.GameConfig())


@pytest.mark.parametrize("message", [sessions_pb2.Session, hosts_pb2.Host, games_pb2.GameConfig, logs_pb2.LogBatch])
def test_examples_fit_their_messages(message: Any) -> None:
    assert json.fill(message(), example(message.DESCRIPTOR)) != message()
