"""What happens between `pending` and the first word of the wrapper: room, packages, folder, ports, start."""

from __future__ import annotations

import asyncio
import errno

import msgspec

from manman.domain.ids import DeploymentId, SessionId
from manman.host import disk, places
from manman.host.installs import InstallFailed
from manman.host.launches import folder_of
from manman.host.means import Means
from manman.host.runtimes import NotLaunched, Work
from manman.observability import acts, observe
from manman.v1.types import Launch


class Starting:
    """One start. Cancelled before the wrapper runs, it leaves nothing; after that the session is begun."""

    def __init__(self, means: Means, session_id: SessionId) -> None:
        self._means, self._session_id = means, session_id

    async def run(self) -> None:
        """Starts the session's wrapper; raises `NotLaunched` with the reason of the crash that this is."""
        try:
            await self._run()
        except OSError as error:
            reason = "disk_full" if error.errno == errno.ENOSPC else "unknown"
            raise NotLaunched(reason, f"the machine refused: {error}") from error

    async def _run(self) -> None:
        means, held = self._means, self._means.holdings.session(self._session_id)
        if held is None:
            raise NotLaunched("unknown", f"session {self._session_id} is not held")
        launch = means.launches.begun(held.deployment_id)
        if launch is None:
            raise NotLaunched("config_invalid", "its launch is not on this host any more")
        with observe(acts.SESSION_BEGIN, session_id=held.session_id, deployment_id=held.deployment_id):
            if held.status == "pending":
                means.move(held, "starting", means.now(), detail=None)
            short = disk.shortage(means.state)
            if short is not None:
                raise NotLaunched("disk_full", short)
            await self._install(held.deployment_id, launch)
            work = await asyncio.to_thread(
                places.prepare,
                means.state,
                held.session_id,
                held.deployment_id,
                launch,
                owner_of(means, held.deployment_id, launch),
                means.settings.host_bind_roots,
            )
            await self._launch(work, launch)

    async def _install(self, deployment_id: DeploymentId, launch: Launch) -> None:
        async def said(share: float, line: str) -> None:
            held = self._means.holdings.session(self._session_id)
            if held is not None:
                self._means.tell(msgspec.structs.replace(held, detail=line, at=self._means.now()), progress=share)

        try:
            await self._means.installer.install(folder_of(self._means.state, deployment_id), launch.debian, said)
        except InstallFailed as error:
            raise NotLaunched(error.reason, str(error)) from error

    async def _launch(self, work: Work, launch: Launch) -> None:
        means = self._means
        known = await means.runtime.inspect(work.session_id)
        taken = None if known is not None and known.is_alive else places.taken_port(launch.ports)
        if taken is not None:
            raise NotLaunched("port_taken", f"held by another program: {taken}")
        held = means.holdings.session(work.session_id)
        if held is None:
            raise NotLaunched("unknown", f"session {work.session_id} is not held")
        # Written before: a start whose answer was lost is then looked for, not made twice.
        means.holdings.keep(msgspec.structs.replace(held, machine=means.machine, detail=None))
        await means.runtime.launch(work)


def owner_of(means: Means, deployment_id: DeploymentId, launch: Launch) -> tuple[int, int] | None:
    """The number that a deployment's games run under; None: the agent's own user."""
    if not means.owner_is_root or places.may_stay_root(launch):
        return None
    held = means.holdings.deployment(deployment_id)
    if held.uid is None:
        taken = [one.uid for one in means.holdings.deployments() if one.uid is not None]
        held = msgspec.structs.replace(held, uid=places.free_uid(means.settings.game_uids, taken))
        means.holdings.keep(held)
    return (held.uid or 0, held.uid or 0)
