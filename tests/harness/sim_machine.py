"""What a simulated host really is: a machine with games, and the disk that survives its agent.

Games begin and end there whatever the agent knows; each change of the disk is one write.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from manman.domain.ids import HostId
from manman.domain.ranges import Ranges
from manman.events.bus import Outgoing
from manman.host.deployments import HeldDeployment
from manman.host.sessions import HeldSession


@dataclass
class Game:
    """A game's real life, in seconds of virtual time. `how` is what it does by itself at `ends`; `why` how it ended; `wished` is
    what its host held when it began."""

    session_id: int
    deployment_id: int
    began: float
    ready: float
    ends: float
    how: str
    wished: str
    stop_at: float | None = None
    ended: float | None = None
    why: str | None = None

    def look(self, now: float) -> None:
        """Let time do what it does to a game."""
        ends = min(self.ends, self.stop_at if self.stop_at is not None else self.ends)
        if self.ended is None and now >= ends:
            self.ended, self.why = ends, "asked" if self.stop_at == ends else self.how


@dataclass
class Entry:
    """A journal entry that waits for its confirm."""

    journal: str
    sequence: int
    message: Outgoing


@dataclass
class Disk:
    """What the agent has written. `home` is the machine on which it last had its identity, `after` what it said last in the journal
    before this one."""

    boot: int = 0
    journal: str = ""
    sequence: int = 0
    after: tuple[str, int] | None = None
    waiting: list[Entry] = field(default_factory=list)
    deployments: dict[int, HeldDeployment] = field(default_factory=dict)
    sessions: dict[int, HeldSession] = field(default_factory=dict)
    lease: Ranges = ()
    taken: set[str] = field(default_factory=set)
    home: str | None = None


@dataclass
class Machine:
    """A host as it really is, and what was seen of it: the checker's witness.

    `restored`: its disk came back from a copy, or another agent spoke with its identity (`cloned`). `twin_of`: it is that other one.
    `mark` is what no other machine has. `named`: which boot had the identity of its host since when, a copy's too.
    `idle` is since when nothing plays of a deployment that should, with its agent and the connections that this had lost by then;
    `overdue` those that did not play again in time.
    """

    host_id: HostId
    skew: timedelta
    mark: str = "first"
    boots: int = 1
    games: dict[int, Game] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)
    copy: Disk | None = None
    restored: bool = False
    confirmed: dict[str, set[int]] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    starts: list[tuple[float, int]] = field(default_factory=list)
    named: list[tuple[float, int]] = field(default_factory=list)
    goodbyes: list[tuple[float, int]] = field(default_factory=list)
    excused: list[list[float]] = field(default_factory=list)
    ends: list[tuple[float, int, str]] = field(default_factory=list)
    deadlines: dict[int, float] = field(default_factory=dict)
    cloned: bool = False
    twin_of: "Machine | None" = None
    idle: dict[int, tuple[float, object, int]] = field(default_factory=dict)
    overdue: list[tuple[float, float, int]] = field(default_factory=list)
    reused: list[int] = field(default_factory=list)

    def has_the_name(self, now: float, boot: int) -> None:
        """It speaks with the identity of its host; a copy that does leaves the first one as if it were restored."""
        self.disk.home = self.mark
        first = self.twin_of
        (first or self).named.append((now, boot))
        if first is not None:
            self.cloned = self.restored = first.cloned = first.restored = True

    def look(self, now: float) -> None:
        for game in self.games.values():
            game.look(now)

    def live(self, deployment: int) -> list[Game]:
        return [g for g in self.games.values() if g.deployment_id == deployment and g.ended is None]

    def reboot(self, now: float) -> None:
        """Everything that runs ends."""
        self.look(now)
        self.boots += 1
        for game in self.games.values():
            if game.ended is None:
                game.ended, game.why = now, "reboot"
