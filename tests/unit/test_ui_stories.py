"""What pages say: strips, what needs somebody, events in words, how to join."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from manman.client import types
from manman.ui import console, live, looks, sessions, stories, strips, words

NOW = datetime(2026, 11, 24, 3, 19, 42, tzinfo=UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def a_deployment(**fields: object) -> types.Deployment:
    run = fields.pop("run", None)
    summary = types.SessionSummary(**run) if isinstance(run, dict) else None
    return types.Deployment(
        **{
            "deployment_id": 1,
            "name": "Odin",
            "game": "Valheim",
            "host": "cellar",
            "status": "ready",
            "session": summary,
        }
        | fields
    )


def an_event(kind: str, at: datetime, **body: object) -> types.Event:
    return types.Event(
        type=f"manman.{kind}", at=at, deployment_id=1, session_id=7, host_id=3, cursor="1-5", body=dict(body)
    )


def states(one: types.Deployment, *events: types.Event) -> list[tuple[str, float]]:
    """(state, minutes it lasted) of each stretch."""
    found = strips.stretches(one, strips.marks(events).get(1, []), NOW)
    assert found[0].start == NOW - strips.WINDOW and found[-1].end == NOW
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
    return [(one.state, (one.end - one.start).total_seconds() / 60) for one in found]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"run": {"status": "running"}}, "running"),
        ({"run": {"status": "running", "unreachable_since": NOW}}, "unreachable"),
        ({"run": {"status": "running"}, "suspended": True}, "running"),
        ({"run": {"status": "crashed"}}, "crashed"),
        ({"run": {"status": "crashed"}, "gave_up": "limit"}, "gave_up"),
        ({"run": {"status": "stopped"}, "gave_up": "ended"}, "stopped"),
        ({"run": {"status": "pending"}, "gave_up": "limit"}, "pending"),
        ({"status": "installing"}, "installing"),
        ({"status": "install_failed", "run": {"status": "stopped"}}, "install_failed"),
        ({"suspended": True}, "suspended"),
        ({}, "stopped"),
        ({"run": {"status": "half_asleep"}}, "half_asleep"),
    ],
)
def test_a_deployment_shows_what_matters_most(fields: dict[str, object], key: str) -> None:
    assert looks.deployment(a_deployment(**fields)).look.key == key


def test_a_silent_hosts_session_is_never_shown_as_plainly_running() -> None:
    run = types.Session(status="running", live=True, started_at=ago(60), unreachable_since=ago(4))
    assert looks.session(run).look is words.UNREACHABLE


def test_players_behind_a_silence_never_enter_the_sum() -> None:
    heard = a_deployment(run={"status": "running", "players": 7})
    unheard = a_deployment(run={"status": "running", "players": 12, "unreachable_since": NOW})
    assert looks.players([heard, unheard, a_deployment()]) == (7, 12)
    assert looks.players([a_deployment(run={"status": "running"})]) is None


def test_a_quiet_hour_is_one_stretch() -> None:
    assert states(a_deployment(run={"status": "running", "started_at": ago(600)})) == [("running", 60)]
    assert states(a_deployment()) == [("stopped", 60)]


def test_a_crash_and_its_return_are_cut_where_they_happened() -> None:
    found = states(
        a_deployment(run={"status": "running", "started_at": ago(10)}),
        an_event("session.running", ago(10), previous_status="starting"),
        an_event("session.crashed", ago(12), previous_status="running"),
        an_event("session.pending", ago(11.5)),
    )
    assert found == [("running", 48), ("crashed", 0.5), ("pending", 1.5), ("running", 10)]


def test_silence_is_hatched_from_its_beginning() -> None:
    one = a_deployment(run={"status": "running", "started_at": ago(600), "unreachable_since": ago(4)})
    assert states(one) == [("running", 56), ("unreachable", 4)]
    assert 'class="hatch"' in strips.draw(one, [], NOW)


def test_a_strip_says_in_words_what_it_shows_and_escapes_names() -> None:
    drawn = strips.draw(a_deployment(name='<b>"Odin"', run={"status": "running", "started_at": ago(600)}), [], NOW)
    assert "Last hour of &lt;b&gt;&#34;Odin&#34;: running" in drawn and "<b>" not in drawn


def test_events_are_told_with_their_cause() -> None:
    line = stories.event_line(
        an_event("session.crashed", ago(1), deployment="Odin", reason="out_of_memory", players=7, cause="host")
    )
    assert (line.subject, line.look.word, line.href) == ("Odin", "Crashed", "/sessions/7")
    assert line.text == "out of memory, 7 players"
    assert stories.event_line(an_event("host.stale", ago(1), host="rack-2")).text == "not heard for too long"
    assert stories.event_line(an_event("world.ended", ago(1))).look.word == "Ended"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("192.168.1.10", "LAN; from outside forward 8303/udp"),
        ("203.0.113.7", "LAN; from outside forward 8303/udp"),
        ("8.8.8.8", "From anywhere; 8303/udp must be open"),
        ("127.0.0.1", "This machine only; give the host an address of its network to invite others (8303/udp)"),
        ("games.example.org", "From anywhere that knows this name; 8303/udp"),
    ],
)
def test_how_to_join_says_who_can(address: str, said: str) -> None:
    one = a_deployment(endpoints=[types.Endpoint(name="game", protocol="udp", address=address, port=8303)])
    assert stories.how_to_join(one) == said


def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert stories.address(types.Endpoint(address="fd00::1", port=8303)) == "[fd00::1]:8303"


def test_evidence_names_signal_time_and_what_the_host_said() -> None:
    run = types.Session(signal=9, started_at=ago(75), ended_at=ago(1), detail="It asked for more than its 4.0 GiB")
    assert sessions.evidence(run) == (
        "The system ended it with signal 9 (SIGKILL). It had run for 1 h 14 min. It asked for more than its 4.0 GiB."
    )
    assert sessions.evidence(types.Session(exit_code=7, ended_at=NOW)) == (
        "It ended by itself with exit code 7. It never came up."
    )
    assert sessions.evidence(types.Session(signal=999)) == "The system ended it with signal 999."


def test_changes_are_told_against_the_session_that_ran_well() -> None:
    good = types.Session(config="paper", config_revision=13, host="cellar", cause="user kim")
    bad = types.Session(config="paper", config_revision=14, host="cellar", cause="user kim")
    assert sessions.changes(bad, good) == [
        ("Config", "paper r13 → paper r14", True),
        ("Host", "cellar, the same", False),
        ("Begun by", "by kim, the same", False),
    ]
    assert sessions.changes(bad, None) == []


def test_the_stream_passes_on_what_changed_and_where_to_resume() -> None:
    said = live.passed_on(types.WatchEventsResponse(event=an_event("session.running", NOW)))
    assert said is not None and said.id == "1-5"
    assert said.data["scope"] == ["host:3", "deployment:1", "session:7"]
    reset = live.passed_on(types.WatchEventsResponse(reset=types.Reset(cursor="2-1", reason="epoch")))
    assert reset is not None and (reset.name, reset.id) == ("reset", "2-1")
    assert b"id: 1-5\nevent: event\ndata: {" in said.encode()


def test_a_line_of_the_console_is_number_clock_stream_and_pieces() -> None:
    row = console.row(types.LogLine(n=8, at=NOW, stream="err", text="\x1b[31mno\x1b[0m"))
    assert row[0] == 8 and row[2:] == ["err", [("r", "no")]]
