"""A host's report against the rows: for each session one verdict, so that after it the database says what the machine says."""

from dataclasses import dataclass
from enum import StrEnum

from manman.domain.ids import DeploymentId
from manman.domain.sessions import FINAL, LIVE, Reason, Session, Status, path_to


class Act(StrEnum):
    """What a report makes of one session."""

    NOTHING = "nothing"
    WALK = "walk"
    WAIT = "wait"
    CRASH = "crash"
    END = "end"
    STRAY = "stray"
    INSERT = "insert"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verdict. `path` are the statuses to walk through, one history row each; `why` is for the log and the list of strays."""

    act: Act
    path: tuple[Status, ...] = ()
    why: str = ""


def judge(
    said: Status | None, row: Session | None, *, ours: bool, reported_deployment: DeploymentId | None = None
) -> Verdict:
    """What the host says (None: absent) against what the row says (None: no such row). `ours`: the deployment is this host's."""
    if row is None:
        return _without_row(said, ours=ours)
    if said is None:
        return _absent(row)
    if row.status in FINAL:
        return _after_the_end(said, row)
    return walk(row, said)


def walk(row: Session, said: Status) -> Verdict:
    """The legal steps to what the host says, one row each; behind the row it is late and changes nothing."""
    if said is row.status:
        return Verdict(Act.NOTHING)
    path = path_to(row, said)
    if path is None and said is Status.STOPPED:
        # It ended as somebody asked, but the row's wish does not say so (any more): by the only order that is ever seen.
        path = _through_running(row)
    if path is None:
        return Verdict(Act.NOTHING, why=f"the row is {row.status} already, the host says {said}")
    return Verdict(Act.WALK, path)


def _through_running(row: Session) -> tuple[Status, ...]:
    way = (Status.PENDING, Status.STARTING, Status.RUNNING, Status.STOPPING, Status.STOPPED)
    return way[way.index(row.status) + 1 :]


def _without_row(said: Status | None, *, ours: bool) -> Verdict:
    if said is None:
        return Verdict(Act.NOTHING)
    if not ours:
        return Verdict(Act.STRAY, why="no such session, and its deployment is not this host's")
    return Verdict(Act.INSERT, why="the database does not know it yet")


def _absent(row: Session) -> Verdict:
    if row.status in FINAL:
        return Verdict(Act.NOTHING)
    if row.status is Status.PENDING:
        return Verdict(Act.WAIT, why="its start may still arrive; the deadline decides")
    return Verdict(Act.CRASH, (Status.CRASHED,), why="its host no longer knows it")


def _after_the_end(said: Status, row: Session) -> Verdict:
    if said not in LIVE:
        return Verdict(Act.NOTHING)
    if row.reason == Reason.HOST_LOST:
        return Verdict(Act.STRAY, why="it was given up as lost; the deployment's next start ends it")
    return Verdict(Act.END, why=f"the row is {row.status}, the host still runs it")


class Winner(StrEnum):
    """Which of two live sessions of one deployment counts."""

    NEWCOMER = "newcomer"
    PRESENT = "present"


@dataclass(frozen=True, slots=True)
class TwoRows:
    """The rule of two rows. `loser_path` are the statuses that the loser walks, `reason` how it ends."""

    winner: Winner
    loser_path: tuple[Status, ...]
    reason: Reason


def two_rows(newcomer_run: int, present: Session) -> TwoRows:
    """A host's `pending` arrives while another session of its deployment is live: the higher run wins, of equals the host's.

    A loser that is `pending` is told to stop and ends `superseded`; one that had begun is `crashed`, `unknown`; a newcomer
    that loses is inserted and ended as `superseded`.
    """
    if newcomer_run < present.run:
        return TwoRows(Winner.PRESENT, (Status.STOPPING, Status.STOPPED), Reason.SUPERSEDED)
    if present.status is Status.PENDING:
        return TwoRows(Winner.NEWCOMER, (Status.STOPPING, Status.STOPPED), Reason.SUPERSEDED)
    return TwoRows(Winner.NEWCOMER, (Status.CRASHED,), Reason.UNKNOWN)
