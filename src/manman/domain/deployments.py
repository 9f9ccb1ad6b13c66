"""Deployments: a config placed on a host. Its install status moves by its host's reports alone; its wish is people's."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired
from manman.domain.wishes import EPOCH, Wish


class Install(StrEnum):
    """How far a deployment's install is."""

    INSTALLING = "installing"
    READY = "ready"
    INSTALL_FAILED = "install_failed"
    REMOVING = "removing"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's row as the event path loads and saves it. `number` is that of its last history row.

    `seen_version` is what its host said last, not the highest: a restored disk has forgotten. So is `last_run`, the highest run that its
    host has taken or begun.
    """

    id: DeploymentId
    host_id: HostId
    name: str
    status: Install
    desired: Desired
    desired_version: int
    fresh_version: int
    seen_version: int
    last_run: int
    number: int
    version: int
    config: int
    config_revision: int
    seen_deployment_version: int = 0
    last_session: SessionId | None = None
    gave_up: str | None = None
    gave_up_version: int | None = None
    progress: float | None = None
    detail: str = ""
    suspended: bool = False
    removed: bool = False

    @property
    def wish(self) -> Wish:
        """What people want, as commands carry it."""
        return Wish(desired=self.desired, version=self.desired_version, fresh_version=self.fresh_version)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentMoved:
    """Its status moved, it gave up, or it is gone: one history row and one notice. `word` is what is told."""

    before: Deployment
    after: Deployment
    word: str
    cause: str
    event_id: str | None = None
    trace_id: str | None = None


def settled(deployment: Deployment) -> bool:
    """Whether nothing is wanted of it: stopped, or its host gave up at that version of the wish."""
    return deployment.desired is Desired.STOPPED or deployment.gave_up_version == deployment.desired_version


def parked(deployment: Deployment, live: bool) -> bool:
    """Whether it may be moved or removed: stopped (or gave up at that version), seen by its host, nothing live.

    A restart that is due at the host is in no row: so the host must have seen the stop.
    """
    return settled(deployment) and deployment.seen_version == deployment.desired_version and not live


def seen(deployment: Deployment, version: int | None) -> Deployment:
    """The row after its host said which wish it holds."""
    return (
        deployment
        if version is None or version == deployment.seen_version
        else replace(deployment, seen_version=version)
    )


def next_version(deployment: Deployment, *, above: int = 0) -> int:
    """The version of its next wish, higher than `above` too: the versions of an earlier epoch."""
    return max(deployment.desired_version, above) + 1


def wished(deployment: Deployment, desired: Desired, *, fresh: bool = False, above: int = 0) -> Deployment:
    """The row after a power command: the version rises by one; `fresh` (Restart) asks for a session begun at it or later."""
    version = next_version(deployment, above=above)
    return replace(
        deployment,
        desired=desired,
        desired_version=version,
        fresh_version=version if fresh else deployment.fresh_version,
        gave_up=None,
        gave_up_version=None,
    )


def next_run(deployment: Deployment) -> int:
    """The run of its next start: one above what its host said, so never more than one above what its host holds.

    A start that was refused or lost counts for nothing. Where the host has begun a run of its own that is not known here yet, the
    start is at or below it, and ends no game.
    """
    return deployment.last_run + 1


def begun(deployment: Deployment, run: int) -> Deployment:
    """The row after its host said that it took the start of this run, or began it by itself."""
    return replace(deployment, last_run=run) if run > deployment.last_run else deployment


def counted(deployment: Deployment, run: int | None) -> Deployment:
    """The row after its host's report, which counts also where it is lower than what was known: its disk came back from a copy, and
    what it begins next is one above that."""
    return deployment if run is None or run == deployment.last_run else replace(deployment, last_run=run)


BELIEVABLE = EPOCH << 20
"""A host may be ahead of a restored database, but not by a million epochs: what it says then would leave no version above it."""


def taken_over(deployment: Deployment, held: Wish) -> Deployment:
    """The row of a restored database takes over a wish of its host that is above its own; a lower one changes nothing."""
    if not deployment.desired_version < held.version < BELIEVABLE:
        return deployment
    return replace(
        deployment,
        desired=held.desired,
        desired_version=held.version,
        fresh_version=max(held.fresh_version, deployment.fresh_version),
        seen_version=held.version,
    )


def reported(deployment: Deployment, word: str | None, version: int | None) -> Deployment:
    """The row after a report said how far the install is: a result that was lost is made good, where it is about the newest
    version. What is still going on, or being removed, will be said again."""
    if word not in (Install.READY, Install.INSTALL_FAILED) or (version or 0) < deployment.version:
        return deployment
    if deployment.status is word:
        return deployment
    return installed(deployment, word, None, deployment.detail if word != Install.READY else "", version)


def gave_up(deployment: Deployment, reason: str | None, version: int | None) -> Deployment:
    """The row after its host said that it gave up at this version of the wish; one of before the last power command is over."""
    at = deployment.desired_version if version is None else version
    if reason is None or at < deployment.desired_version or deployment.gave_up_version == at:
        return deployment
    return replace(deployment, gave_up=reason, gave_up_version=at)


def plays(deployment: Deployment, version: int | None) -> Deployment:
    """The row after its host began a session at this version of the wish, or reported one as live and no give-up: where that is not
    above the version at which it gave up, a disk that came back from a copy has forgotten that it did."""
    if version is None or deployment.gave_up_version is None or version > deployment.gave_up_version:
        return deployment
    return replace(deployment, gave_up=None, gave_up_version=None)


def installed(
    deployment: Deployment, word: str, progress: float | None, detail: str, version: int | None
) -> Deployment:
    """The row after its host said how far the install is; `removed` marks it as gone. An old version's word changes nothing: what
    is still on its way from before a reinstall says nothing of the new one."""
    if version is not None and version < deployment.seen_deployment_version:
        return deployment
    seen_version = max(version or 0, deployment.seen_deployment_version)
    if word == "removed":
        return replace(deployment, removed=True, seen_deployment_version=seen_version)
    if deployment.status is Install.REMOVING:
        return deployment
    if version is not None and version < deployment.version and deployment.status is Install.INSTALLING:
        return replace(deployment, seen_deployment_version=seen_version)
    status = Install(word)
    shown = progress if status is Install.INSTALLING else None
    return replace(deployment, status=status, progress=shown, detail=detail, seen_deployment_version=seen_version)
