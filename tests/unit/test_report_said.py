"""What hosts say with odd times, or twice: it is applied as far as it means something, and is never somebody else's trouble."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from manman.domain.deployments import Deployment, Install
from manman.domain.hosts import Heard
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Session, Status
from manman.errors import Malformed
from manman.events import codec, envelope
from manman.events.envelope import Header
from manman.processor import fold
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import Arrived, World

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
HOST, DEPLOYMENT, SESSION = HostId(7), DeploymentId(1), SessionId(900)


def a_world() -> World:
    """One deployment, of which one session runs since ten o'clock."""
    row = Session(
        id=SESSION, deployment_id=DEPLOYMENT, host_id=HOST, status=Status.RUNNING, desired=Desired.RUNNING, run=3,
        number=3, at=NOW - timedelta(hours=2),
    )  # fmt: skip
    deployment = Deployment(
        id=DEPLOYMENT, host_id=HOST, name="d", status=Install.READY, desired=Desired.RUNNING, desired_version=5,
        fresh_version=0, seen_version=5, last_run=3, number=1, version=1, config=1, config_revision=1,
    )  # fmt: skip
    heard = Heard(host_id=HOST, online=True, boot=1, beat=3, last_seen=NOW)
    return World(
        now=NOW, threshold=timedelta(seconds=10), chance=bytes, hosts={HOST: heard}, last_id=2000,
        leases={HOST: ((1000, 1049),)}, deployments={DEPLOYMENT: deployment}, sessions={SESSION: row},
    )  # fmt: skip


def arrived(word: str, body: dict[str, Any], at: str | None = None) -> Arrived:
    headers: dict[str, Header] = {
        **envelope.to_headers(
            envelope.attributes(
                id="e", source=envelope.journal_source(HOST, "j"), type=f"manman.status.{word}", time=NOW, sequence=1
            )
        )
    }
    if at is not None:
        headers["cloudEvents:time"] = at
    key, said = f"status.{word}.{HOST}", msgspec.json.encode(body)
    return Arrived(key=key, headers=headers, body=said, message=codec.decode(key, headers, said, None))


def report(*sessions: dict[str, Any]) -> Arrived:
    held = [{"deployment_id": DEPLOYMENT, "last_run": 3}]
    return arrived("host.report", {"host_id": HOST, "boot": 1, "deployments": held, "sessions": list(sessions)})


@pytest.mark.parametrize("status", ["crashed", "stopped"])
def test_a_report_moves_no_end_to_when_it_came(status: str) -> None:
    world = a_world()
    said = {"session_id": SESSION, "deployment_id": DEPLOYMENT, "status": status, "at": "2026-07-01T11:00:00Z"}
    assert fold.apply(world, report(said)) is Outcome.APPLIED
    assert world.sessions[SESSION].status == status
    assert world.sessions[SESSION].ended_at == NOW - timedelta(hours=1)
    assert [moved.after.at for moved in world.moved] == [NOW - timedelta(hours=1)] * len(world.moved)


def test_a_session_that_began_before_there_were_clocks_can_still_be_read() -> None:
    """What lies before our era no reader of the row could read, and every list and sweep reads them together."""
    world = a_world()
    begun = arrived(
        "session.pending",
        {"session_id": 1000, "deployment_id": DEPLOYMENT, "run": 4, "cause": "wish"},
        "0001-01-01T00:00:00+14:00",
    )
    assert fold.apply(world, begun) is Outcome.APPLIED
    row = world.sessions[SessionId(1000)]
    assert row.at == row.created_at == datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_restart_at_no_time_of_any_calendar_can_still_be_read(at: str) -> None:
    world = a_world()
    crash = {"session_id": SESSION, "exit_code": 1, "restart": {"attempt": 1, "of": 5, "at": at}}
    assert fold.apply(world, arrived("session.crashed", crash)) is Outcome.APPLIED
    restart = world.moved[-1].said.restart
    assert restart is not None and restart.at is not None
    assert 1999 < restart.at.astimezone(UTC).year < 9001


def test_a_message_that_is_set_aside_asks_for_a_report_unless_it_is_one() -> None:
    why = Refusal("takes_too_long", "it took too long", ask_report=True)
    for message, asks in ((report(), set()), (arrived("session.crashed", {"session_id": SESSION}), {HOST})):
        world = a_world()
        fold.conclude(world, message, why)
        assert [letter.reason for letter in world.dead] == ["takes_too_long"]
        assert set(world.report_wanted) == asks


@pytest.mark.parametrize("word", ["host.report", "session.crashed"])
def test_a_time_without_its_zone_is_malformed(word: str) -> None:
    with pytest.raises(Malformed, match="timezone"):
        if word == "host.report":
            report({"session_id": SESSION, "deployment_id": 1, "status": "crashed", "at": "2026-07-01T11:00:00"})
        else:
            restart = {"attempt": 1, "of": 2, "at": "2026-07-01T11:00:00"}
            arrived(word, {"session_id": SESSION, "restart": restart})


def test_a_heartbeat_without_its_zone_is_malformed_too() -> None:
    with pytest.raises(Malformed, match="timezone"):
        codec.decode("health.heartbeat", {}, b'{"host_id": 7, "at": "2026-07-01T12:00:00"}', None)


def test_a_stray_that_is_named_twice_is_one_row() -> None:
    world = a_world()
    stray = {"session_id": 500, "deployment_id": 99, "status": "running"}
    assert fold.apply(world, report(stray, stray)) is Outcome.APPLIED
    assert fold.apply(world, report(stray)) is not None
    assert list(world.strays) == [(HOST, SessionId(500))]
