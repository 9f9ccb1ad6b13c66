"""What the agent holds of a deployment, a document in the journal: the wish that it heard, and what it made of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from manman.domain import wishes
from manman.domain.ids import DeploymentId, SessionId
from manman.domain.sessions import Desired
from manman.events import contracts
from manman.host.sessions import HeldSession


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A session that follows by itself: when, why, after which, and which attempt it is."""

    at: datetime
    cause: str
    previous: SessionId | None = None
    attempt: int = 1
    of: int | None = None


class HeldDeployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployment of this host.

    `begun_version`: the highest wish that something was begun for (a version is good for one begin). `session` is the
    one with the highest run, live or not. `deployment_version`: the newest that a command named. `resume`: its game was
    stopped with the agent, and begins with it. `restarts`: when the policy restarted it. `uid` is the number its games run under.
    """

    deployment_id: DeploymentId
    desired: contracts.Wish = "stopped"
    desired_version: int = 0
    fresh_version: int = 0
    begun_version: int = 0
    last_run: int = 0
    deployment_version: int | None = None
    status: str = "unknown"
    gave_up: str | None = None
    due: Due | None = None
    resume: bool = False
    restarts: list[datetime] = []
    session: SessionId | None = None
    uid: int | None = None
    install_again: bool = False

    def wished(self, live: HeldSession | None) -> wishes.Held:
        """Itself as the rules of the wish see it, with the session that lives."""
        wish = wishes.Wish(
            desired=Desired(self.desired), version=self.desired_version, fresh_version=self.fresh_version
        )
        lives = None
        if live is not None:
            lives = wishes.Live(session_id=live.session_id, run=live.run, begun_version=live.begun_version)
        heard = wish if self.desired_version else None
        return wishes.Held(wish=heard, last_run=self.last_run, begun_version=self.begun_version, live=lives)

    def hearing(self, after: wishes.Held) -> HeldDeployment:
        """Itself after the rules heard a wish; under a newer one, what was due or given up before is forgotten."""
        wish = after.wish
        if wish is None or wish.version == self.desired_version:
            return self
        return msgspec.structs.replace(
            self,
            desired=wish.desired.value,
            desired_version=wish.version,
            fresh_version=wish.fresh_version,
            gave_up=None,
            due=None,
            resume=False,
            restarts=[],
        )

    def said(self) -> contracts.DeploymentSaid:
        """Itself as a report says it."""
        return contracts.DeploymentSaid(
            deployment_id=self.deployment_id,
            desired=self.desired,
            desired_version=self.desired_version,
            fresh_version=self.fresh_version,
            deployment_version=self.deployment_version,
            last_run=self.last_run,
            status=None if self.status == "unknown" else self.status,
            gave_up=self.gave_up,
        )
