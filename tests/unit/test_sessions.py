"""A session's states: the valid path, crash from each live state, what is late, stray or a skip, with and without the wish."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import (
    FINAL,
    LIVE,
    ORDER,
    Decision,
    Desired,
    Kind,
    Late,
    Moved,
    Said,
    Session,
    Skipped,
    Status,
    Unchanged,
    clipped,
    decide,
    kind_of,
    path_to,
)

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
P, S, R, G, D, C = Status  # pending, starting, running, stoppinG, stoppeD, crashed

# What each pair means while the wish says running; the wish changes only the pairs of WISHED.
TABLE: dict[Status, dict[Status, Kind]] = {
    P: {P: Kind.SAME, S: Kind.EDGE, R: Kind.SKIP, G: Kind.SKIP, D: Kind.SKIP, C: Kind.EDGE},
    S: {P: Kind.LATE, S: Kind.SAME, R: Kind.EDGE, G: Kind.SKIP, D: Kind.SKIP, C: Kind.EDGE},
    R: {P: Kind.LATE, S: Kind.LATE, R: Kind.SAME, G: Kind.EDGE, D: Kind.SKIP, C: Kind.EDGE},
    G: {P: Kind.LATE, S: Kind.LATE, R: Kind.LATE, G: Kind.SAME, D: Kind.EDGE, C: Kind.EDGE},
    D: {P: Kind.STRAY, S: Kind.STRAY, R: Kind.STRAY, G: Kind.STRAY, D: Kind.SAME, C: Kind.LATE},
    C: {P: Kind.STRAY, S: Kind.STRAY, R: Kind.STRAY, G: Kind.STRAY, D: Kind.LATE, C: Kind.SAME},
}
WISHED = {(P, G), (S, G)}
PAIRS = [(a, b, wish) for a in Status for b in Status for wish in Desired]


def a_session(status: Status = P, desired: Desired = Desired.RUNNING) -> Session:
    return Session(
        id=SessionId(7),
        deployment_id=DeploymentId(3),
        host_id=HostId(1),
        status=status,
        desired=desired,
        run=1,
        number=4,
        at=NOW,
        ended_at=NOW if status in FINAL else None,
    )


def said(status: Status, at: datetime = NOW, **more: object) -> Said:
    return Said(status=status, at=at, cause="host", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("present", "target", "wish"), PAIRS)
def test_every_pair_of_states_means_what_the_table_says(present: Status, target: Status, wish: Desired) -> None:
    expected = TABLE[present][target]
    if wish is Desired.STOPPED and (present, target) in WISHED:
        expected = Kind.EDGE
    assert kind_of(present, target, wish) is expected


@pytest.mark.parametrize(("present", "target", "wish"), PAIRS)
def test_a_decision_follows_its_kind(present: Status, target: Status, wish: Desired) -> None:
    session = a_session(present, wish)
    decision = decide(session, said(target), NOW)
    match kind_of(present, target, wish):
        case Kind.SAME:
            assert decision == Unchanged(before=session, after=session)
        case Kind.EDGE:
            assert isinstance(decision, Moved)
            assert (decision.from_, decision.to, decision.after.number) == (present, target, 5)
        case Kind.LATE | Kind.STRAY as kind:
            assert decision == Late(session=session, status=target, stray=kind is Kind.STRAY)
            assert present in decision.detail and target in decision.detail
        case Kind.SKIP:
            assert decision == Skipped(session=session, status=target)
            assert present in decision.detail and target in decision.detail


def test_the_valid_path_sets_each_time_once() -> None:
    session = a_session()
    for seconds, status in enumerate((S, R, G, D), start=1):
        decision = decide(session, said(status, NOW + seconds * SECOND, exit_code=0, reason="exited"), NOW + 9 * SECOND)
        assert isinstance(decision, Moved)
        session = decision.after
    assert session.started_at == NOW + 2 * SECOND
    assert session.ended_at == NOW + 4 * SECOND
    assert (session.exit_code, session.reason, session.number) == (0, "exited", 8)


@pytest.mark.parametrize("status", sorted(LIVE))
def test_each_live_state_can_crash(status: Status) -> None:
    decision = decide(a_session(status), said(C, exit_code=139, signal=11, reason="signalled", detail="it fell"), NOW)
    assert isinstance(decision, Moved)
    after = decision.after
    assert (after.exit_code, after.signal, after.reason, after.detail) == (139, 11, "signalled", "it fell")
    assert after.ended_at == NOW


def test_saying_it_again_changes_nothing_but_progress() -> None:
    session = a_session()
    again = decide(session, said(P, progress=0.4, detail="pulling"), NOW + SECOND)
    assert isinstance(again, Unchanged) and again.differs
    assert again.after == replace(session, progress=0.4, detail="pulling", progressed_at=NOW + SECOND)
    same = decide(again.after, said(P, progress=0.4), NOW + 2 * SECOND)
    assert isinstance(same, Unchanged) and not same.differs


def test_a_final_session_takes_nothing_from_a_repetition() -> None:
    over = a_session(C)
    decision = decide(over, said(C, exit_code=3, detail="again"), NOW + SECOND)
    assert decision == Unchanged(before=over, after=over)


def test_an_unknown_word_is_no_status() -> None:
    with pytest.raises(ValueError):
        Status("paused")


@pytest.mark.parametrize(
    ("at", "expected"), [(-5, 0), (0, 0), (3, 3), (60, 10)], ids=["before", "equal", "between", "future"]
)
def test_a_time_lies_between_the_previous_one_and_now(at: int, expected: int) -> None:
    assert clipped(NOW + at * SECOND, after=NOW, now=NOW + 10 * SECOND) == NOW + expected * SECOND


def test_a_database_clock_behind_the_previous_time_moves_nothing_backwards() -> None:
    assert clipped(NOW + SECOND, after=NOW, now=NOW - SECOND) == NOW


@pytest.mark.parametrize(
    ("present", "target", "wish", "path"),
    [
        (P, R, Desired.RUNNING, (S, R)),
        (P, D, Desired.STOPPED, (G, D)),
        (P, D, Desired.RUNNING, (S, R, G, D)),
        (R, D, Desired.RUNNING, (G, D)),
        (S, C, Desired.RUNNING, (C,)),
        (R, R, Desired.RUNNING, ()),
        (R, S, Desired.RUNNING, None),
        (D, R, Desired.RUNNING, None),
    ],
)
def test_the_legal_path_is_the_shortest(
    present: Status, target: Status, wish: Desired, path: tuple[Status, ...] | None
) -> None:
    assert path_to(a_session(present, wish), target) == path


class Life(RuleBasedStateMachine):
    """Anything said in any order: a final state is never left, nothing goes backwards, nothing is announced twice."""

    @initialize()
    def begin(self) -> None:
        self.session = a_session()
        self.announced: list[Status] = [P]
        self.now = NOW
        self.over: Session | None = None

    @rule(status=st.sampled_from(Status), skew=st.integers(-100, 100), progress=st.none() | st.floats(0, 1))
    def say(self, status: Status, skew: int, progress: float | None) -> None:
        self.now += SECOND
        before = self.session
        decision: Decision = decide(before, said(status, self.now + skew * SECOND, progress=progress), self.now)
        if isinstance(decision, Moved):
            assert ORDER[decision.to] > ORDER[before.status]
            assert before.at <= decision.after.at <= self.now
            self.announced.append(decision.to)
            self.session = decision.after
        elif isinstance(decision, Unchanged):
            assert replace(decision.after, progress=None, progressed_at=None) == replace(
                before, progress=None, progressed_at=None
            )
            self.session = decision.after

    @rule()
    def stop(self) -> None:
        self.session = replace(self.session, desired=Desired.STOPPED)

    @invariant()
    def nothing_is_announced_twice(self) -> None:
        assert len(self.announced) == len(set(self.announced))
        assert self.session.number == 3 + len(self.announced)

    @invariant()
    def a_final_state_is_final(self) -> None:
        if self.over is not None:
            assert replace(self.session, desired=self.over.desired) == self.over
        elif self.session.is_final:
            self.over = self.session


TestLife = Life.TestCase
