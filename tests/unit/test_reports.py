"""A host's report against the rows, and the rule of two rows."""

from datetime import UTC, datetime

import pytest

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.reports import Act, Verdict, Winner, judge, two_rows
from manman.domain.sessions import FINAL, LIVE, Desired, Reason, Session, Status

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def a_row(status: Status, reason: str | None = None, run: int = 1, desired: Desired = Desired.RUNNING) -> Session:
    return Session(
        id=SessionId(7),
        deployment_id=DeploymentId(3),
        host_id=HostId(1),
        status=status,
        desired=desired,
        run=run,
        number=1,
        at=NOW,
        reason=reason,
    )


def verdict(said: Status | None, row: Session | None, ours: bool = True) -> Verdict:
    return judge(said, row, ours=ours)


def test_what_is_live_or_ended_is_walked_to() -> None:
    assert verdict(Status.RUNNING, a_row(Status.PENDING)).path == (Status.STARTING, Status.RUNNING)
    assert verdict(Status.CRASHED, a_row(Status.RUNNING)).path == (Status.CRASHED,)
    whole = (Status.STARTING, Status.RUNNING, Status.STOPPING, Status.STOPPED)
    assert verdict(Status.STOPPED, a_row(Status.PENDING)).path == whole
    short = (Status.STOPPING, Status.STOPPED)
    assert verdict(Status.STOPPED, a_row(Status.PENDING, desired=Desired.STOPPED)).path == short


def test_what_lies_behind_the_row_changes_nothing() -> None:
    assert verdict(Status.STARTING, a_row(Status.RUNNING)).act is Act.NOTHING
    assert verdict(Status.RUNNING, a_row(Status.RUNNING)).act is Act.NOTHING


def test_an_absent_pending_one_waits_for_its_deadline() -> None:
    assert verdict(None, a_row(Status.PENDING)).act is Act.WAIT


@pytest.mark.parametrize("status", sorted(LIVE - {Status.PENDING}))
def test_an_absent_one_that_had_begun_is_crashed(status: Status) -> None:
    assert verdict(None, a_row(status)).act is Act.CRASH


@pytest.mark.parametrize("status", sorted(FINAL))
def test_a_live_one_whose_row_is_final_is_ended(status: Status) -> None:
    assert verdict(Status.RUNNING, a_row(status)).act is Act.END
    assert verdict(Status.CRASHED, a_row(status)).act is Act.NOTHING


def test_a_live_one_that_was_given_up_as_lost_is_a_stray() -> None:
    assert verdict(Status.RUNNING, a_row(Status.CRASHED, Reason.HOST_LOST)).act is Act.STRAY


def test_without_a_row_the_deployment_decides() -> None:
    assert verdict(Status.RUNNING, None, ours=True).act is Act.INSERT
    assert verdict(Status.RUNNING, None, ours=False).act is Act.STRAY


def test_of_two_rows_the_higher_run_wins_and_of_equals_the_hosts() -> None:
    assert two_rows(1, a_row(Status.RUNNING, run=2)).winner is Winner.PRESENT
    assert two_rows(2, a_row(Status.RUNNING, run=2)).winner is Winner.NEWCOMER
    pending = two_rows(3, a_row(Status.PENDING, run=2))
    assert (pending.winner, pending.loser_path, pending.reason) == (
        Winner.NEWCOMER,
        (Status.STOPPING, Status.STOPPED),
        Reason.SUPERSEDED,
    )
    begun = two_rows(3, a_row(Status.STARTING, run=2))
    assert (begun.loser_path, begun.reason) == ((Status.CRASHED,), Reason.UNKNOWN)
