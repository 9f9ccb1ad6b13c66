"""What the agent holds of a session, a document in the journal; it never holds a parameter's value."""

from __future__ import annotations

from datetime import datetime

import msgspec

from manman.domain.ids import DeploymentId, SessionId
from manman.events import contracts

LIVE = frozenset({"pending", "starting", "running", "stopping"})


class HeldSession(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session that began here, until the grace after its end is over.

    `begun_version` is the wish that was heard when it began; `leased`: this host began it by itself; `machine` the
    machine's boot that it was started in, empty before; `until`: when its launch must be here, by the monotonic clock
    of the boot `until_machine`; `offset` and `line`: how far its spool was read; `asked`: its end was asked for;
    `grace`: seconds that the asker gives it instead of its config's; `with_agent`: it was stopped with the agent and
    begins with it again; `by_end`: the control plane ended this id, and
    the wish is followed under another.
    """

    session_id: SessionId
    deployment_id: DeploymentId
    run: int
    begun_version: int
    status: contracts.SessionWord = "pending"
    leased: bool = False
    previous: SessionId | None = None
    cause: str | None = None
    launch: str | None = None
    machine: str = ""
    until: float | None = None
    until_machine: str = ""
    offset: int = 0
    line: int = 0
    asked: bool = False
    grace: float | None = None
    with_agent: bool = False
    by_end: bool = False
    began_at: datetime | None = None
    ready_at: datetime | None = None
    at: datetime | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    detail: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE

    def said(self) -> contracts.SessionSaid:
        """Itself as a report says it."""
        return contracts.SessionSaid(
            session_id=self.session_id,
            deployment_id=self.deployment_id,
            status=self.status,
            run=self.run,
            begun_version=self.begun_version,
            previous_session_id=self.previous,
            cause=self.cause if self.leased else None,
            exit_code=self.exit_code,
            signal=self.signal,
            reason=self.reason,
            detail=self.detail,
            launch=self.launch,
            at=self.at,
        )
