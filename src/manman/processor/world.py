"""The rows of one batch as the fold sees them, and what the fold decided. Nothing here acts."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from manman.domain import ranges
from manman.domain.deployments import Deployment, DeploymentMoved
from manman.domain.hosts import Heard, HostMoved, Presence, presence
from manman.domain.ids import Chance, DeploymentId, HostId, SessionId
from manman.domain.ranges import Ranges
from manman.domain.sessions import LIVE, Late, Moved, Said, Session
from manman.events.announce import SessionNames
from manman.events.codec import Envelope, Message
from manman.events.envelope import Attributes
from manman.events.outbox import OutboxRow, command

Journal = tuple[HostId, str]
FORGOTTEN_MOST = 1_000_000
"""How many session ids a restored database may have forgotten, at most."""
MOST_RANGES = 1000
"""In how many pieces a journal is kept account of, at most: each message goes through them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that cannot be applied: its reason is a stable word, the detail a sentence for whoever mends the cause."""

    key: str
    headers: dict[str, Any]
    body: bytes
    reason: str
    detail: str
    host_id: HostId | None = None
    session_id: SessionId | None = None
    journal: str | None = None
    sequence: int | None = None
    event_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A session that a host runs and the database cannot place: listed, never touched."""

    host_id: HostId
    session_id: SessionId
    deployment_id: DeploymentId | None
    why: str


@dataclass(slots=True, kw_only=True)
class World:
    """Locked rows (by their keys), changed as the fold goes on; what changed is what `store` saves.

    `now` is the database's clock at the load, `loop_now` the loop's; `threshold` that of silent hosts. `hosts` holds every host that
    exists.
    """

    now: datetime
    threshold: timedelta
    chance: Chance
    loop_now: float = 0.0
    hosts: dict[HostId, Heard] = field(default_factory=dict)
    seen: dict[Journal, Ranges] = field(default_factory=dict)
    leases: dict[HostId, Ranges] = field(default_factory=dict)
    # hosts that have not reported since the database was restored: what its rows say of them is of before
    unheard: set[HostId] = field(default_factory=set)
    deployments: dict[DeploymentId, Deployment] = field(default_factory=dict)
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    # read with them: how many ids a host should have, what sessions that move are called
    lease_sizes: dict[HostId, int] = field(default_factory=dict)
    names: dict[SessionId, SessionNames] = field(default_factory=dict)
    # what was decided
    inserted: set[SessionId] = field(default_factory=set)
    touched_sessions: set[SessionId] = field(default_factory=set)
    touched_deployments: set[DeploymentId] = field(default_factory=set)
    touched_hosts: set[HostId] = field(default_factory=set)
    touched_journals: set[Journal] = field(default_factory=set)
    crowded: set[Journal] = field(default_factory=set)
    used_ids: dict[HostId, list[SessionId]] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    deployments_moved: list[DeploymentMoved] = field(default_factory=list)
    hosts_moved: list[HostMoved] = field(default_factory=list)
    commands: list[OutboxRow] = field(default_factory=list)
    late: list[tuple[Late, Said]] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    closed: dict[int, str | None] = field(default_factory=dict)
    strays: dict[tuple[HostId, SessionId], Stray] = field(default_factory=dict)
    reported: dict[HostId, frozenset[SessionId]] = field(default_factory=dict)
    lease_wanted: set[HostId] = field(default_factory=set)
    unleased: list[tuple[HostId, SessionId]] = field(default_factory=list)
    report_wanted: dict[HostId, int | None] = field(default_factory=dict)
    reports_due: set[HostId] = field(default_factory=set)
    agent_versions: dict[HostId, str] = field(default_factory=dict)
    released: dict[tuple[HostId, DeploymentId], int] = field(default_factory=dict)
    restored_from: int | None = None
    lease_taken_over: dict[HostId, Ranges] = field(default_factory=dict)
    # What reports, and hosts that are unheard, need: journals with holes and how far they went, ids that are other hosts', and the
    # last id ever given.
    holed: dict[Journal, int] = field(default_factory=dict)
    leased_to: dict[SessionId, HostId] = field(default_factory=dict)
    last_id: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    # Which sessions of a deployment are live, in the order of `sessions`; made when first asked.
    living: dict[DeploymentId, dict[SessionId, None]] | None = None

    def count(self, what: str) -> None:
        """Count an outcome: applied, unchanged, duplicate, late, dead."""
        self.counts[what] = self.counts.get(what, 0) + 1

    # ---- sessions and deployments

    def live_of(self, deployment_id: DeploymentId) -> Session | None:
        """The live session of a deployment, as decided so far."""
        if self.living is None:
            self.living = {}
            for session in self.sessions.values():
                if session.status in LIVE:
                    self.living.setdefault(session.deployment_id, {})[session.id] = None
        first = next(iter(self.living.get(deployment_id, ())), None)
        return None if first is None else self.sessions[first]

    def move(self, moved: Moved) -> None:
        """Take an accepted transition."""
        after = moved.after
        self.sessions[after.id] = after
        self.touched_sessions.add(after.id)
        self.moved.append(moved)
        if self.living is None:
            return
        live = self.living.setdefault(after.deployment_id, {})
        if after.status in LIVE:
            live[after.id] = None
        else:
            live.pop(after.id, None)

    def keep(self, session: Session) -> None:
        """Take a session that changed without a transition."""
        self.sessions[session.id] = session
        self.touched_sessions.add(session.id)

    def keep_deployment(self, deployment: Deployment) -> None:
        """Take a deployment's row if it differs."""
        if self.deployments.get(deployment.id) != deployment:
            self.deployments[deployment.id] = deployment
            self.touched_deployments.add(deployment.id)

    # ---- hosts

    def got_at(self, arrived: "Arrived") -> datetime:
        """When this process got a message, by the database's clock: it may have waited here long since."""
        if arrived.taken is None:
            return self.now
        return self.now - timedelta(seconds=max(0.0, self.loop_now - arrived.taken))

    def presence(self, host_id: HostId) -> Presence:
        """What the row says of a host."""
        heard = self.hosts[host_id]
        return presence(online=heard.online, beat=heard.beat, last_seen=heard.last_seen)

    def keep_host(self, heard: Heard) -> None:
        """Take a host's liveness."""
        self.hosts[heard.host_id] = heard
        self.touched_hosts.add(heard.host_id)

    def tell(self, host_id: HostId, verb: Any, **fields: Any) -> None:
        """Queue a command to a host."""
        self.commands.append(command(host_id, verb, now=self.now, chance=self.chance, **fields))

    def ask_report(self, host_id: HostId | None, *, boot: int | None = None) -> None:
        """Want a report of a host: it stays due until one is applied. Asked for once a batch, and once a threshold unless its boot is
        told with it; where that holds the command back, or it is lost, a sweep asks."""
        heard = self.hosts.get(host_id) if host_id is not None else None
        if heard is None or host_id is None:
            return
        self.reports_due.add(host_id)
        if host_id in self.report_wanted:
            return
        if boot is None and heard.asked_at is not None and self.now - heard.asked_at < self.threshold:
            return
        self.report_wanted[host_id] = boot

    # ---- the inbox

    def is_settled(self, journal: Journal, sequence: int) -> bool:
        """Whether a numbered message has had its effect already."""
        return ranges.contains(self.seen.get(journal, ()), sequence)

    def settle(self, journal: Journal, sequence: int, *, all_below: bool = False) -> None:
        """Add a number to the set; `all_below`: a report stands for everything before it. Where too much is missing the lowest of it is
        given up: one host must not make every batch slow."""
        known = self.seen.get(journal, ())
        self.touched_journals.add(journal)
        found = ranges.merged([*known, (1, sequence)]) if all_below else ranges.add(known, sequence)
        self.seen[journal] = ranges.fewer(found, MOST_RANGES)
        if len(found) > MOST_RANGES:
            self.crowded.add(journal)

    def close_holes(self, journal: Journal) -> None:
        """A report stands for older journals of its host too: what they still had to say was sent before it."""
        for other, last in self.holed.items():
            if other[0] == journal[0] and other != journal and last > 0:
                self.settle(other, last, all_below=True)

    @property
    def highest_id(self) -> int:
        """The highest session id that a host may hold: a restored database has forgotten some that were given."""
        return (self.last_id or 0) + FORGOTTEN_MOST

    def is_others_id(self, host_id: HostId, session_id: SessionId) -> bool:
        """Whether an id was never this host's: leased to another one, or farther than a restore can have forgotten."""
        return self.leased_to.get(session_id, host_id) != host_id or session_id > self.highest_id


def event_id_of(message: Message) -> str | None:
    """What a history row may name: only a numbered event cannot come twice, so only its id is unique."""
    attributes = message.attributes
    return attributes.id if attributes is not None and attributes.sequence is not None else None


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a batch: the bytes as they came, and what they mean, or why they mean nothing (`malformed`) and what the `envelope`
    says all the same. `taken` is when this process got it, by the loop's clock; `is_over`: the row that it
    replays was closed or dropped."""

    key: str
    headers: dict[str, Any]
    body: bytes
    message: Message | None = None
    envelope: Envelope | None = None
    malformed: str | None = None
    from_control_plane: bool = False
    is_over: bool = False
    taken: float | None = None

    @property
    def outside(self) -> Message | Envelope | None:
        """Where host, attributes and the row that a replay closes are said."""
        return self.message if self.message is not None else self.envelope

    @property
    def host_id(self) -> HostId | None:
        """The host that speaks."""
        said = self.outside
        return None if said is None else said.host_id

    @property
    def attributes(self) -> Attributes | None:
        """The event's attributes; None for a plain message, and for one whose envelope contradicts itself."""
        said = self.outside
        return None if said is None else said.attributes

    @property
    def replays(self) -> int | None:
        """The dead letter that comes again with it; believed only from the control plane."""
        said = self.outside
        return None if said is None or not self.from_control_plane else said.dead_letter

    @property
    def journal(self) -> Journal | None:
        """Which host's which journal it is numbered in; None for a plain message."""
        host_id, attributes = self.host_id, self.attributes
        if host_id is None or attributes is None or attributes.journal_id is None or attributes.sequence is None:
            return None
        return host_id, attributes.journal_id

    @property
    def sequence(self) -> int | None:
        """Its number within the journal."""
        attributes = self.attributes
        return None if attributes is None else attributes.sequence
