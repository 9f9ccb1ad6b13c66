"""What decisions make others hear."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Moved, Restart, Said, Session, Status
from manman.events import codec, contracts, topics
from manman.events.announce import (
    HostNames,
    Names,
    SessionNames,
    announce,
    host_offline,
    host_online,
    host_stale,
    reachable,
    session_moved,
    unreachable,
)
from manman.events.outbox import OutboxRow, command, outgoing

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ENDPOINT = contracts.Endpoint(name="game", protocol="udp", address="10.0.0.1", port=8303, join_url="teeworlds:10.0.0.1")
NAMES = SessionNames(
    game="Teeworlds",
    config="dm",
    config_revision=3,
    deployment="dm-1",
    host="alpha",
    labels={"team": "blue"},
    endpoints=(ENDPOINT,),
)
HOST = HostNames(name="alpha", labels={"rack": "4"}, agent_version="0.1.0")


def chance(count: int) -> bytes:
    return b"\x07" * count


def a_session(status: Status = Status.RUNNING, **changes: Any) -> Session:
    session = Session(
        id=SessionId(4),
        deployment_id=DeploymentId(9),
        host_id=HostId(7),
        status=status,
        desired=Desired.RUNNING,
        run=2,
        number=5,
        at=NOW,
    )
    return msgspec.structs.replace(session, **changes)


def a_move(to: Status, **said: Any) -> Moved:
    before = a_session(Status.STARTING, number=4)
    return Moved(before=before, after=a_session(to), said=Said(status=to, at=NOW, cause="event e1", **said))


def understood(row: OutboxRow) -> codec.Message:
    """The row as a subscriber gets it."""
    sent = outgoing(row)
    return codec.decode(sent.key, sent.headers, sent.body)


def test_a_running_session_is_announced_with_everything_needed_to_act() -> None:
    row = session_moved(a_move(Status.RUNNING), NAMES, NOW, chance)
    assert (row.exchange, row.key, row.public) == ("external", "manman.session.running", True)
    assert (row.host_id, row.session_id, row.deployment_id, row.sequence) == (7, 4, 9, 5)
    body = understood(row).body
    assert isinstance(body, contracts.SessionEvent)
    assert (body.game, body.config, body.config_revision, body.deployment, body.host) == (
        "Teeworlds",
        "dm",
        3,
        "dm-1",
        "alpha",
    )
    assert body.endpoints == [ENDPOINT]
    assert (body.previous_status, body.cause, body.labels) == ("starting", "event e1", {"team": "blue"})


def test_the_envelope_carries_the_event_s_id_and_the_history_number() -> None:
    row = session_moved(a_move(Status.RUNNING, trace_id="00-ab-cd-01"), NAMES, NOW, chance)
    attributes = understood(row).attributes
    assert attributes is not None
    assert (attributes.id, attributes.sequence, attributes.type) == (row.event_id, 5, "manman.session.running")
    assert (attributes.traceparent, attributes.subject) == ("00-ab-cd-01", "sessions/4")
    assert outgoing(row).message_id == row.event_id


def test_a_crash_tells_its_last_lines_and_the_restart_that_follows() -> None:
    moved = a_move(Status.CRASHED, tail=("a", "b"), restart=Restart(attempt=1, of=5, at=NOW))
    body = understood(session_moved(moved, NAMES, NOW, chance)).body
    assert isinstance(body, contracts.SessionEvent)
    assert body.tail == ["a", "b"]
    assert body.restart == contracts.Restart(attempt=1, of=5, at=NOW)


def test_a_config_may_withhold_the_last_lines() -> None:
    row = session_moved(a_move(Status.CRASHED, tail=("secret",)), replace(NAMES, withhold_tail=True), NOW, chance)
    assert "secret" not in str(row.body)
    assert row.said.get("tail") is None


@pytest.mark.parametrize("status", [Status.PENDING, Status.STARTING, Status.STOPPING])
def test_a_step_between_is_watched_but_not_published(status: Status) -> None:
    row = session_moved(a_move(status), NAMES, NOW, chance)
    assert (row.exchange, row.public, row.type) == (None, False, f"manman.session.{status}")


def test_each_move_of_a_batch_is_announced_once_in_order() -> None:
    moves = [a_move(Status.STOPPING), a_move(Status.STOPPED)]
    rows = announce(moves, Names(sessions={SessionId(4): NAMES}), NOW, chance)
    assert [row.key for row in rows] == ["manman.session.stopping", "manman.session.stopped"]
    assert {row.said["game"] for row in rows} == {"Teeworlds"}


def test_a_noun_without_known_names_is_announced_all_the_same() -> None:
    [row] = announce([a_move(Status.RUNNING)], Names(), NOW, chance)
    assert (row.said["session_id"], row.said.get("game")) == (4, None)


def test_a_leaving_host_makes_its_live_sessions_unreachable_and_a_return_reachable() -> None:
    gone = understood(unreachable(a_session(), NAMES, NOW - timedelta(seconds=12), "stale", NOW, chance))
    assert isinstance(gone.body, contracts.SessionEvent)
    assert (gone.key.text, gone.body.previous_status) == ("manman.session.unreachable", "running")
    assert gone.body.last_seen == NOW - timedelta(seconds=12)
    back = reachable(a_session(), NAMES, "online", NOW, chance)
    assert (back.exchange, back.key) == ("external", "manman.session.reachable")


def test_a_stale_host_says_when_it_was_seen_and_how_long_silence_may_last() -> None:
    row = host_stale(HostId(7), HOST, NOW, chance, last_seen=NOW, threshold=timedelta(seconds=10), mass=True, number=3)
    body = understood(row).body
    assert isinstance(body, contracts.HostEvent)
    assert (body.status, body.host, body.threshold, body.mass, body.last_seen) == ("stale", "alpha", 10.0, True, NOW)
    assert (row.key, row.sequence) == ("manman.host.stale", 3)


def test_a_host_comes_and_goes_by_name() -> None:
    came = host_online(HostId(7), HOST, NOW, chance, silent_for=timedelta(minutes=4))
    assert (came.key, came.said["silent_for"], came.said["labels"]) == ("manman.host.online", 240.0, {"rack": "4"})
    assert host_offline(HostId(7), HOST, NOW, chance).key == "manman.host.offline"


def test_a_command_carries_ids_and_its_deadline() -> None:
    row = command(
        HostId(7),
        "start",
        now=NOW,
        chance=chance,
        ttl=timedelta(seconds=120),
        session_id=SessionId(4),
        deployment_id=DeploymentId(9),
        run=3,
        desired="running",
        desired_version=8,
        within=120.0,
    )
    sent = outgoing(row)
    assert (sent.exchange, sent.key, sent.ttl, sent.mandatory) == (
        topics.INTERNAL,
        "command.host.7.start",
        timedelta(seconds=120),
        True,
    )
    assert sent.headers["host"] == "7"
    body = understood(row).body
    assert isinstance(body, contracts.Command)
    assert (body.command_id, body.run, body.within) == (row.event_id, 3, 120.0)


def test_a_command_without_what_its_verb_needs_is_a_bug() -> None:
    with pytest.raises(TypeError, match="deployment_id"):
        command(HostId(7), "start", now=NOW, chance=chance, session_id=SessionId(4))
    with pytest.raises(TypeError):
        command(HostId(7), "report", now=NOW, chance=chance, password="x")


def test_every_public_event_type_has_a_key_that_is_understood() -> None:
    for key in topics.PUBLIC:
        assert topics.parse(key).type == key
