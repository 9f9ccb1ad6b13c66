"""A session's states: the table, and the one function that decides what a report of a status means.

    pending → starting → running → stopping → stopped
       └────────┴───────────┴──────────┴────→ crashed

`stopped` and `crashed` are final. Repeating the present status is harmless, because the bus may deliver twice. Only hosts'
reports and the sweeps move a status; clock and ids are arguments.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

import msgspec
from msgspec.structs import replace

from manman.domain.ids import DeploymentId, HostId, SessionId


class Status(StrEnum):
    """Where a session is; the value is the word on the wire and in the tables."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CRASHED = "crashed"


class Desired(StrEnum):
    """What somebody wants: a level, not an order."""

    RUNNING = "running"
    STOPPED = "stopped"


class Reason(StrEnum):
    """Why a session ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    START_TIMEOUT = "start_timeout"
    UNHEALTHY = "unhealthy"
    IMAGE_UNAVAILABLE = "image_unavailable"
    PORT_TAKEN = "port_taken"
    CONFIG_INVALID = "config_invalid"
    DISK_FULL = "disk_full"
    HOST_RESTARTED = "host_restarted"
    HOST_LOST = "host_lost"
    SUPERSEDED = "superseded"
    UNKNOWN = "unknown"


FINAL = frozenset({Status.STOPPED, Status.CRASHED})
LIVE = frozenset(Status) - FINAL

ORDER: Mapping[Status, int] = MappingProxyType(
    {Status.PENDING: 0, Status.STARTING: 1, Status.RUNNING: 2, Status.STOPPING: 3, Status.STOPPED: 4, Status.CRASHED: 4}
)

EDGES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PENDING: frozenset({Status.STARTING, Status.CRASHED}),
        Status.STARTING: frozenset({Status.RUNNING, Status.CRASHED}),
        Status.RUNNING: frozenset({Status.STOPPING, Status.CRASHED}),
        Status.STOPPING: frozenset({Status.STOPPED, Status.CRASHED}),
        Status.STOPPED: frozenset(),
        Status.CRASHED: frozenset(),
    }
)

# A user may stop what has not come up yet; unasked, such a step is refused like the rest.
WISHED_EDGES: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {Status.PENDING: frozenset({Status.STOPPING}), Status.STARTING: frozenset({Status.STOPPING})}
)


class Kind(StrEnum):
    """What a target means from a present status, when it is no edge."""

    SAME = "same"
    EDGE = "edge"
    LATE = "late"
    STRAY = "stray"
    SKIP = "skip"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session's row as it is loaded and saved. `number` is that of its last history row, `at` the time of it."""

    id: SessionId
    deployment_id: DeploymentId
    host_id: HostId
    status: Status
    desired: Desired
    run: int
    number: int
    at: datetime
    begun_version: int = 0
    previous_session_id: SessionId | None = None
    cause: str | None = None
    config: int | None = None
    config_revision: int | None = None
    deployment_version: int | None = None
    launch: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progressed_at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    detail: str | None = None
    progress: float | None = None
    players: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether no later event can leave this status."""
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What its host has planned after a crash: attempt `attempt` of `of` (None: no limit), due at `at`."""

    attempt: int
    of: int | None = None
    at: datetime | None = None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a session: by its host, by a report, by a sweep. `at` is the host's time of it.

    `cause` is what its history row names ("event <id>", "report", "start_deadline"); `event_id` identifies a numbered message.
    """

    status: Status
    at: datetime
    cause: str
    event_id: str | None = None
    trace_id: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    detail: str | None = None
    progress: float | None = None
    players: int | None = None
    tail: tuple[str, ...] | None = None
    restart: Restart | None = None


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted transition: one history row, numbered `after.number`, and what others may hear of it.

    `from_` is None when the session begins.
    """

    before: Session | None
    after: Session
    said: Said

    @property
    def from_(self) -> Status | None:
        """The status before; None for the first."""
        return None if self.before is None else self.before.status

    @property
    def to(self) -> Status:
        """The status after."""
        return self.after.status


class Unchanged(msgspec.Struct, frozen=True, kw_only=True):
    """The status was said again. `after` differs where progress or players came with it; no history row, no event."""

    before: Session
    after: Session

    @property
    def differs(self) -> bool:
        """Whether the row has something to save."""
        return self.after != self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """It lies before the present status, or the session is over. Acked and counted. A `stray` one lives on its host."""

    session: Session
    status: Status
    stray: bool

    @property
    def detail(self) -> str:
        """Both states, for the log."""
        return f"session {self.session.id} is {self.session.status}, its host said {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """It lies ahead, but no edge leads there: a dead letter, and the host is asked for a report."""

    session: Session
    status: Status

    @property
    def detail(self) -> str:
        """Both states named, and why it is refused."""
        return f"session {self.session.id} is {self.session.status}; {self.status} does not follow from it"


Decision = Moved | Unchanged | Late | Skipped


def kind_of(present: Status, target: Status, desired: Desired) -> Kind:
    """What `target` means for a session in `present`, with the wish that the row holds."""
    if target is present:
        return Kind.SAME
    if target in EDGES[present]:
        return Kind.EDGE
    if desired is Desired.STOPPED and target in WISHED_EDGES.get(present, frozenset()):
        return Kind.EDGE
    if present in FINAL:
        return Kind.STRAY if target in LIVE else Kind.LATE
    if ORDER[target] < ORDER[present]:
        return Kind.LATE
    return Kind.SKIP


def decide(session: Session, said: Said, now: datetime) -> Decision:
    """What a report of a status does to its session. Never raises; `now` is the database's clock."""
    match kind_of(session.status, said.status, session.desired):
        case Kind.SAME:
            return Unchanged(before=session, after=_with_progress(session, said, now))
        case Kind.EDGE:
            return Moved(before=session, after=_moved(session, said, now), said=said)
        case Kind.LATE:
            return Late(session=session, status=said.status, stray=False)
        case Kind.STRAY:
            return Late(session=session, status=said.status, stray=True)
        case Kind.SKIP:
            return Skipped(session=session, status=said.status)
        case never:
            assert_never(never)


def clipped(at: datetime, *, after: datetime, now: datetime) -> datetime:
    """The host's time of an event, never before the previous one and never in the future."""
    return min(max(at, after), max(now, after))


def path_to(session: Session, target: Status) -> tuple[Status, ...] | None:
    """The legal steps from a live session's status to `target`, the wish respected; empty when it is there; None: no way."""
    if session.status is target:
        return ()
    queue: list[tuple[Status, ...]] = [(session.status,)]
    while queue:
        way = queue.pop(0)
        for step in _in_order(edges_of(way[-1], session.desired)):
            if step is target:
                return (*way[1:], step)
            if step not in FINAL:
                queue.append((*way, step))
    return None


def edges_of(status: Status, desired: Desired) -> frozenset[Status]:
    """Where a session in `status` may go, given its wish."""
    wished = WISHED_EDGES.get(status, frozenset()) if desired is Desired.STOPPED else frozenset()
    return EDGES[status] | wished


def _in_order(statuses: frozenset[Status]) -> list[Status]:
    return sorted(statuses, key=lambda s: (ORDER[s], s.value))


def _with_progress(session: Session, said: Said, now: datetime) -> Session:
    if session.is_final:
        return session
    after = session
    if said.progress is not None and said.progress != session.progress:
        # Progress moves the start deadline with it.
        after = replace(after, progress=said.progress, progressed_at=now)
    if said.detail is not None and said.detail != session.detail:
        after = replace(after, detail=said.detail)
    if said.players is not None and said.players != session.players:
        after = replace(after, players=said.players)
    return after


def _moved(session: Session, said: Said, now: datetime) -> Session:
    at = clipped(said.at, after=session.at, now=now)
    after = replace(
        session,
        status=said.status,
        number=session.number + 1,
        at=at,
        progress=said.progress,
        progressed_at=now,
        detail=said.detail,
    )
    if said.status is Status.RUNNING and session.started_at is None:
        return replace(after, started_at=at, players=said.players)
    if said.status in FINAL:
        return replace(
            after, ended_at=at, exit_code=said.exit_code, signal=said.signal, reason=said.reason, progress=None
        )
    return after
