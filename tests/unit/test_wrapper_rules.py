"""The wrapper's rules without a process: lines, verdicts, messages, launches."""

import json
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manman.wrapper import pipe, verdict
from manman.wrapper.answers import answer
from manman.wrapper.launch_file import BadLaunch, parse
from manman.wrapper.lines import Lines, plain, typed
from manman.wrapper.readiness import Watch
from manman.wrapper.spool import GOES_ON, LONGEST_LINE

WORDS = {
    "exited",
    "signalled",
    "out_of_memory",
    "killed",
    "start_timeout",
    "unhealthy",
}
DEADLY = [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE]


def seen(**facts: object) -> verdict.Circumstances:
    usual: dict[str, object] = {
        "ready": True,
        "why": None,
        "killed": False,
        "kill_detail": "killed after 30 s of grace",
        "out_of_memory": False,
        "expected": frozenset({0}),
        "timeout": 600.0,
    }
    return verdict.Circumstances(**(usual | facts))  # type: ignore[arg-type]


def exited(code: int) -> int:
    return code << 8


@given(
    status=st.one_of(st.integers(0, 255).map(exited), st.integers(1, 31)),
    ready=st.booleans(),
    why=st.sampled_from([None, "command", "signal", "folder", "unhealthy", "start_timeout"]),
    killed=st.booleans(),
    out_of_memory=st.booleans(),
)
def test_every_end_has_one_verdict_in_known_words(
    status: int, ready: bool, why: str | None, killed: bool, out_of_memory: bool
) -> None:
    if os.WIFSTOPPED(status):
        return
    said = verdict.judge(status, seen(ready=ready, why=why, killed=killed, out_of_memory=out_of_memory))
    assert said["outcome"] in ("stopped", "crashed")
    assert said["reason"] in WORDS
    assert "\n" not in said["detail"]
    if said["signal"] is None:
        assert 0 <= said["exit_code"] <= 255
    else:
        assert said["exit_code"] == 128 + said["signal"]
    unwell = out_of_memory or said["signal"] in DEADLY
    if why in ("command", "signal", "folder"):
        assert said["outcome"] == ("crashed" if unwell else "stopped"), "asked for: stopped, whatever its code"
    if why is None and said["outcome"] == "stopped":
        assert ready
        assert said["exit_code"] == 0


@pytest.mark.parametrize("number", DEADLY)
def test_an_unclean_death_is_a_crash_also_when_the_end_was_asked_for(number: int) -> None:
    assert verdict.judge(number, seen(why="command"))["outcome"] == "crashed"


def test_killed_is_said_only_of_our_own_sigkill() -> None:
    assert verdict.judge(9, seen(why="command", killed=True))["reason"] == "killed"
    assert verdict.judge(9, seen(why="command", killed=False))["reason"] == "signalled"
    assert verdict.judge(exited(0), seen(why="command", killed=True))["reason"] == "exited"


chunks = st.lists(st.binary(max_size=400), max_size=30)


@given(chunks=chunks)
def test_lines_are_the_same_however_the_bytes_arrive(chunks: list[bytes]) -> None:
    piecewise, whole = Lines(), Lines()
    found = [line for chunk in chunks for line in piecewise.feed(chunk)] + piecewise.flush(ended=True)
    assert found == whole.feed(b"".join(chunks)) + whole.flush(ended=True)
    assert all(b"\n" not in text for _, text in found)


@given(length=st.integers(0, 4 * LONGEST_LINE))
def test_a_long_line_is_cut_into_pieces_that_make_it_up_again(length: int) -> None:
    cutter = Lines()
    found = cutter.feed(b"x" * length) + cutter.feed(b"\n")
    assert sum(len(text) for _, text in found) == length
    assert all(len(text) <= LONGEST_LINE for _, text in found)
    assert [flags for flags, _ in found] == [GOES_ON] * (len(found) - 1) + [0]


def test_a_carriage_return_at_the_end_is_no_part_of_the_line() -> None:
    assert Lines().feed(b"one\r\ntwo\n") == [(0, b"one"), (0, b"two")]


@given(st.text(max_size=3000))
def test_what_is_typed_is_one_line_without_control_characters(text: str) -> None:
    line = typed(text)
    if line is None:
        assert len(text.encode(errors="replace")) > pipe.LONGEST_INPUT
    else:
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert len(line) <= pipe.LONGEST_INPUT + 1
        assert not any(byte < 0x20 or byte == 0x7F for byte in line[:-1])


def test_colours_titles_and_cursor_moves_are_no_part_of_a_plain_line() -> None:
    assert plain("\x1b[1;32mDone\x1b[0m (3s)\x1b]0;title\x07!\x1b[K") == "Done (3s)!"


def test_a_readiness_line_is_recognised_over_its_pieces() -> None:
    launch = parse(a_launch(readiness={"kind": "line", "pattern": "^world loaded$"}))
    watch = Watch(launch.readiness)
    assert not watch.by_lines([(0, b"world"), (GOES_ON, b"world ")])
    assert watch.by_lines([(0, b"loaded")])


def a_launch(**fields: object) -> bytes:
    return json.dumps({"session": "s", "argv": ["x"], "cwd": "/"} | fields).encode()


def test_a_launch_states_its_defaults() -> None:
    launch = parse(a_launch())
    assert launch.terminal is True
    assert launch.readiness[:1] == ("none",)
    assert launch.stop == (None, signal.SIGTERM, 30.0)
    assert launch.expected == {0}
    assert (launch.uid, launch.gid, launch.memory, launch.env) == (None, None, None, {})


def test_a_stop_by_command_alone_sends_no_signal_and_names_are_understood_with_and_without_sig() -> None:
    assert parse(a_launch(stop={"command": "stop"})).stop == ("stop", None, 30.0)
    assert parse(a_launch(stop={"command": "stop", "signal": "INT", "grace": 5})).stop == ("stop", signal.SIGINT, 5.0)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"terminal": "yes"}, "terminal must be true or false, not 'yes'"),
        ({"uid": -1}, "uid must not be negative: -1"),
        ({"uid": True}, "uid must be a whole number, not True"),
        ({"env": {"A=B": "c"}}, "env.A=B must be a text under a name without '='"),
        ({"env": {"A": 5}}, "env.A must be a text"),
        ({"session": None}, "session must be a text, not None"),
        ({"readiness": {"kind": "port", "port": 70000}}, "readiness.port must be 1 to 65535, not 70000"),
        ({"readiness": {"kind": "prayer"}}, "kind must be one of none, line, port, query, not 'prayer'"),
        ({"stop": {"grace": -1}}, "grace must be seconds, not -1"),
        ({"expected_exit_codes": [256]}, "expected_exit_codes must be numbers from 0 to 255, not 256"),
    ],
)
def test_a_launch_that_makes_no_sense_is_refused_by_field_and_value(fields: dict[str, object], told: str) -> None:
    with pytest.raises(BadLaunch) as refused:
        parse(a_launch(**fields))
    assert told in str(refused.value)


values = st.sampled_from([None, True, -1, 3.5, 10**30, "x", "\0", "SIGKILL", [], [1], ["a", 5], {}, {"a": 1}]) | (
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.sampled_from([5, "line", "port"]),
            "signal": st.sampled_from([[], "KILL", 9]),
            "grace": st.floats(),
            "nofile": st.sampled_from([True, [1, 2, 3], [1, 2], -5]),
            "pattern": st.sampled_from(["(", "ok", 7]),
        },
    )
)
FIELDS = [
    "version",
    "session",
    "argv",
    "cwd",
    "env",
    "uid",
    "terminal",
    "readiness",
    "stop",
    "rlimits",
    "expected_exit_codes",
]


@given(st.dictionaries(st.sampled_from(FIELDS), values))
@settings(max_examples=100)
def test_any_json_is_a_launch_or_a_refusal_never_an_accident(fields: dict[str, object]) -> None:
    try:
        parse(a_launch(**fields))
    except BadLaunch as error:
        assert str(error)


messages = st.lists(st.dictionaries(st.text(max_size=9), st.text() | st.integers() | st.none(), max_size=4), max_size=9)


@given(said=messages, size=st.integers(1, 50))
def test_messages_survive_any_cutting_of_the_stream(said: list[pipe.Said], size: int) -> None:
    stream = b"".join(pipe.encode(message) for message in said)
    decoder = pipe.Decoder()
    found = [each for at in range(0, len(stream), size) for each in decoder.feed(stream[at : at + size])]
    assert found == said


def test_a_message_without_an_end_is_not_collected_for_ever() -> None:
    decoder = pipe.Decoder()
    with pytest.raises(pipe.Garbled, match="longer than"):
        for _ in range(100):
            decoder.feed(b"x" * 65536)


class Nobody:
    """A session that says what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def status(self) -> pipe.Said:
        return {"state": "running"}

    def stop(self, why: str, grace: float | None) -> None:
        self.asked.append((why, grace))

    def kill(self) -> None:
        self.asked.append("kill")

    def type(self, each: str | None, line: bytes) -> str:
        self.asked.append((each, line))
        return "typed"

    def was_answered(self) -> bool:
        return False

    def acknowledged(self) -> None:
        self.asked.append("ack")


@given(st.dictionaries(st.sampled_from(["do", "line", "id", "grace", "why"]), values))
@settings(max_examples=100)
def test_any_command_is_answered(said: pipe.Said) -> None:
    reply = answer(Nobody(), said)
    assert reply["ok"] or reply["code"] == "invalid_argument"


def test_a_stop_passes_its_grace_on() -> None:
    session = Nobody()
    assert answer(session, {"do": "stop", "grace": 2.5}) == {"ok": True}
    assert answer(session, {"do": "stop"}) == {"ok": True}
    assert session.asked == [("command", 2.5), ("command", None)]
