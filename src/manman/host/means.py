"""What every part of the agent works with, made once by `agent`, and what it holds: the journal's documents in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from manman.domain import ranges
from manman.domain.ids import DeploymentId, SessionId
from manman.events import contracts, topics
from manman.host.deployments import HeldDeployment
from manman.host.installs import Installer
from manman.host.journal import Chance, Journal
from manman.host.launches import Launches
from manman.host.logs import Lines
from manman.host.runtimes import Runtime
from manman.host.sessions import HeldSession
from manman.host.settings import Settings

BEGUN_KEPT = 2000
LEASE_ASKED_EVERY = 10.0  # seconds
K = TypeVar("K")
V = TypeVar("V")


class Holdings:
    """Every deployment and session of this host, the same in memory and journal, and the lease of session ids.

    Writes belong into `journal.write()` together with the events that tell of them; a block that raises leaves disk and
    memory as they were.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._deployments = {held.deployment_id: held for held in journal.deployments(HeldDeployment)}
        self._sessions = {held.session_id: held for held in journal.sessions(HeldSession)}
        self.lease: ranges.Ranges = ranges.merged(journal.fact("lease") or [])
        self._begun: list[int] = journal.fact("begun_ids") or []
        self._asked_at: float | None = None

    def must_ask(self, monotonic: float) -> bool:
        """Whether a host without a lease asks for one now: the first answer may be lost, so it asks again."""
        if self._asked_at is not None and monotonic - self._asked_at < LEASE_ASKED_EVERY:
            return False
        self._asked_at = monotonic
        return True

    def deployment(self, number: DeploymentId) -> HeldDeployment:
        """What is held of it; what was never heard of is held as such."""
        return self._deployments.get(number) or HeldDeployment(deployment_id=number)

    def session(self, number: SessionId) -> HeldSession | None:
        """What is held of a session, None when nothing is."""
        return self._sessions.get(number)

    def deployments(self) -> list[HeldDeployment]:
        """All, by id."""
        return [self._deployments[number] for number in sorted(self._deployments)]

    def sessions(self) -> list[HeldSession]:
        """All, by id."""
        return [self._sessions[number] for number in sorted(self._sessions)]

    def live_of(self, number: DeploymentId) -> list[HeldSession]:
        """The live sessions of a deployment, lowest run first."""
        live = [held for held in self._sessions.values() if held.deployment_id == number and held.is_live]
        return sorted(live, key=lambda held: held.run)

    def keep(self, held: HeldDeployment | HeldSession) -> None:
        """Writes a document."""
        with self._journal.write():
            if isinstance(held, HeldDeployment):
                self._journal.keep_deployment(held.deployment_id, held)
                self._set(self._deployments, held.deployment_id, held)
            else:
                self._journal.keep_session(held.session_id, held)
                self._set(self._sessions, held.session_id, held)

    def forget_session(self, number: SessionId) -> None:
        """Removes a session that is over and reported."""
        with self._journal.write():
            self._journal.forget_session(number)
            self._set(self._sessions, number, None)

    def forget_deployment(self, number: DeploymentId) -> None:
        """Removes a deployment that was removed."""
        with self._journal.write():
            self._journal.forget_deployment(number)
            self._set(self._deployments, number, None)

    def _set(self, memory: dict[K, V], key: K, value: V | None) -> None:
        """Memory follows at once, and goes back should the write fail."""

        def put(one: V | None) -> None:
            if one is None:
                memory.pop(key, None)
            else:
                memory[key] = one

        before = memory.get(key)
        self._journal.or_else(lambda: put(before))
        put(value)

    def take_lease(self, given: Iterable[tuple[int, int]]) -> None:
        """The host's whole set of unused ids, less those that it has begun."""
        begun = set(self._begun) | set(self._sessions)
        self._write_lease(ranges.without(ranges.merged(given), begun))

    def next_id(self) -> SessionId | None:
        """The id that the next session of its own would get, None without a lease."""
        return SessionId(self.lease[0][0]) if self.lease else None

    def use(self, number: SessionId) -> None:
        """The id was given to a session, for ever."""
        with self._journal.write():
            before, self._begun = self._begun, [*self._begun, int(number)][-BEGUN_KEPT:]
            self._journal.or_else(lambda: setattr(self, "_begun", before))
            self._journal.keep_fact("begun_ids", self._begun)
            self._write_lease(ranges.without(self.lease, [int(number)]))

    def _write_lease(self, lease: ranges.Ranges) -> None:
        with self._journal.write():
            before, self.lease = self.lease, lease
            self._journal.or_else(lambda: setattr(self, "lease", before))
            self._journal.keep_fact("lease", lease)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Journal, runtime and the rest. `now` is the wall clock, `monotonic` the machine's since its boot, in seconds.
    `machine` is the boot of this machine; `owner_is_root`: games get numbers of their
    own."""

    settings: Settings
    state: Path
    journal: Journal
    holdings: Holdings
    runtime: Runtime
    launches: Launches
    installer: Installer
    lines: Lines
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    chance: Chance
    machine: str
    owner_is_root: bool
    wake_sender: Callable[[], None]
    samples: dict[SessionId, dict[str, Any]] = field(default_factory=dict)
    players: dict[SessionId, int] = field(default_factory=dict)

    def say(self, noun: str, word: str, body: contracts.AnyBody, at: datetime | None = None) -> None:
        """Writes one event into the journal, to be sent in its turn."""
        key = topics.status(noun, word, self.journal.host_id)
        self.journal.say(key, body, at or self.now())
        self.journal.when_written(self.wake_sender)

    def tell(self, held: HeldSession, **more: Any) -> HeldSession:
        """Keeps a session as it now is and says so, in one write. `more` are further fields of `SessionStatus`."""
        own: dict[str, Any] = {}
        if held.leased and held.status == "pending":
            own = {
                "run": held.run,
                "previous_session_id": held.previous,
                "cause": held.cause,
                "launch": held.launch,
            }
        body = contracts.SessionStatus(
            session_id=held.session_id,
            deployment_id=held.deployment_id,
            host_id=self.journal.host_id,
            status=held.status,
            exit_code=held.exit_code,
            signal=held.signal,
            reason=held.reason,
            detail=held.detail,
            desired_version=self.holdings.deployment(held.deployment_id).desired_version,
            begun_version=held.begun_version,
            **(own | more),
        )
        at = held.at or self.now()
        with self.journal.write():
            self.holdings.keep(held)
            self.say("session", held.status, body, at)
        return held

    def move(self, held: HeldSession, status: contracts.SessionWord, at: datetime, **changed: Any) -> HeldSession:
        """The session in another status since `at`, told."""
        return self.tell(msgspec.structs.replace(held, status=status, at=at, **changed))
