"""The history of a run, as the checker reads it: what the tables say, and what witnesses saw."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One message on `external`, in the order of its arrival."""

    at: datetime
    id: str
    type: str
    sequence: int | None
    session: int | None
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Played:
    """A game as its machine saw it. `why`: crash, expected, reboot, asked (the agent ended it; `told` says by what word); `wished`
    is the wish that its host held when it began."""

    host: int
    session: int
    deployment: int
    began: datetime
    ended: datetime | None = None
    why: str | None = None
    told: str | None = None
    wished: str | None = None


@dataclass(frozen=True, kw_only=True)
class Witness:
    """What one host knows. `confirmed` are numbers by journal, or `written` how many there are in all where it keeps none of them;
    `events` are the ids of what it wrote, `lives` the agent's boots and `goodbyes` what it said at their ends, as (moment, boot);
    `excused` when its agent could not be heard, and by its own fault; `restored`: its disk came back from a copy, or an agent on another
    machine had the same identity (`cloned`). `reused` are session ids that it played twice; `overdue` what should have played and did
    not: (since, still not at, deployment)."""

    host: int
    confirmed: dict[str, frozenset[int]] = field(default_factory=dict)
    written: int = 0
    queued: dict[str, frozenset[int]] = field(default_factory=dict)
    events: frozenset[str] = frozenset()
    games: tuple[Played, ...] = ()
    wishes: dict[int, tuple[str, int]] = field(default_factory=dict)
    lives: tuple[tuple[datetime, int], ...] = ()
    goodbyes: tuple[tuple[datetime, int], ...] = ()
    excused: tuple[tuple[datetime, datetime], ...] = ()
    deadlines: dict[int, datetime] = field(default_factory=dict)
    restored: bool = False
    cloned: bool = False
    reused: tuple[int, ...] = ()
    overdue: tuple[tuple[datetime, datetime, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A power command that was answered with 2xx. `lost`: the database was restored from a copy of before."""

    at: datetime
    verb: str
    deployment: int
    version: int
    session: int | None
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What became of one numbered message in a committed transaction, in the order of commits."""

    host: int
    journal: str
    sequence: int
    outcome: str
    is_report: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A session that was shown as plainly running while its host's last received beat was `silent` ago."""

    at: datetime
    session: int
    host: int
    silent: timedelta


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a reader of events was told, in order: `hello` or `reset` (read on after this cursor), or an `event` with its id."""

    reader: int
    kind: str
    epoch: int
    position: int
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unsettled:
    """A session that rows and machine saw differently (None: not at all), `after` seconds after all was healed, and went on to."""

    at: datetime
    session: int
    row: str | None
    machine: str | None
    after: float


@dataclass(frozen=True, kw_only=True)
class History:
    """One run. Tables are rows by column name; `rested`: the run was healed and drained long enough for the rules of rest.

    `beats` are (host, received, applied); `settled` and `samples` come from a witness inside the run, empty where there is none;
    `leftover` is how much waits in the outbox. `reordered`: messages of one host were put out of order on their way. `restored` are
    the spans (copy, restore) of which the database knows nothing; `places` names deployments that are one, moved between hosts.
    """

    sessions: list[Row] = field(default_factory=list)
    session_history: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    dead_letters: list[Row] = field(default_factory=list)
    journals: dict[tuple[int, str], Ranges] = field(default_factory=dict)
    deployments: list[Row] = field(default_factory=list)
    ports: list[Row] = field(default_factory=list)
    host_history: list[Row] = field(default_factory=list)
    hosts: list[Row] = field(default_factory=list)
    strays: list[Row] = field(default_factory=list)
    external: list[Heard] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    beats: list[tuple[int, datetime, datetime]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    unsettled: list[Unsettled] = field(default_factory=list)
    restored: list[tuple[datetime, datetime]] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)
    threshold: timedelta = timedelta(seconds=10)
    refused_by_subscriber: bool = False
    reordered: bool = False
    rested: bool = True
    leftover: int = 0
