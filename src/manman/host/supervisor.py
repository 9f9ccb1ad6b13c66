"""Every deployment's keeper and every live session's runner, by number; and the long work beside them: installs, removal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from manman.domain.ids import DeploymentId, SessionId
from manman.errors import ManManError
from manman.events import contracts
from manman.host import files
from manman.host.heartbeats import Lives
from manman.host.installs import InstallFailed
from manman.host.keeper import Keeper
from manman.host.launches import folder_of
from manman.host.means import Means
from manman.host.runner import Runner
from manman.observability import acts, get_logger, observe

log = get_logger(__name__)
STOP_DEADLINE = 60.0


class Supervisor:
    """The tasks of this host's deployments."""

    def __init__(self, means: Means, group: asyncio.TaskGroup, may_begin: Callable[[], bool]) -> None:
        self._means, self._group, self._may_begin = means, group, may_begin
        self._keepers: dict[DeploymentId, Keeper] = {}
        self._tasks: dict[DeploymentId, asyncio.Task[None]] = {}
        self._installing: dict[DeploymentId, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Takes up every deployment that is held."""
        for held in self._means.holdings.deployments():
            self.keeper(held.deployment_id)
            if held.status in ("installing", "removing"):
                self.beside(self._take_up(held.deployment_id, held.status))

    async def _take_up(self, deployment_id: DeploymentId, status: str) -> None:
        if status == "installing":
            self.install(deployment_id, again=self._means.holdings.deployment(deployment_id).install_again)
        else:
            await self.remove(deployment_id)

    def keeper(self, deployment_id: DeploymentId) -> Keeper:
        """The keeper of a deployment, begun if there was none."""
        known = self._keepers.get(deployment_id)
        if known is None:
            known = Keeper(self._means, deployment_id, self._group, self._may_begin, self.is_draining)
            self._keepers[deployment_id] = known
            self._tasks[deployment_id] = self._group.create_task(known.run(), name=f"deployment-{deployment_id}")
        return known

    def runner(self, session_id: SessionId) -> Runner | None:
        """The runner of a live session whose game was begun."""
        held = self._means.holdings.session(session_id)
        return self.keeper(held.deployment_id).runners.get(session_id) if held is not None else None

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Every task of its own, to be cancelled when the agent goes."""
        runners = [task for keeper in self._keepers.values() for task in keeper.tasks()]
        return [*self._tasks.values(), *self._installing.values(), *self._others, *runners]

    def wake_all(self) -> None:
        """Every keeper looks again."""
        for keeper in self._keepers.values():
            keeper.wake()

    def is_draining(self) -> bool:
        """Whether this host takes no new session by itself."""
        return bool(self._means.journal.fact("draining"))

    def lives(self) -> list[Lives]:
        """The live sessions as heartbeats count them."""
        return [
            Lives(
                session_id=held.session_id,
                status=held.status,
                players=self._means.players.get(held.session_id),
                sample=self._means.samples.get(held.session_id),
            )
            for held in self._means.holdings.sessions()
            if held.is_live
        ]

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Does something that nobody waits for; its fault is told, and is nobody else's."""
        self._keep(self._others, self._group.create_task(_safely(work)))

    def _keep(self, tasks: set[asyncio.Task[Any]], task: asyncio.Task[Any]) -> None:
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def stop_games(self) -> int:
        """Stops every game in order, leaving the wishes alone: with the agent they begin again. How many there were."""
        live = [held for held in self._means.holdings.sessions() if held.is_live]
        for held in live:
            self._means.holdings.keep(msgspec.structs.replace(held, with_agent=True))
            runner = self.runner(held.session_id)
            if runner is not None:
                runner.end()
        deadline = asyncio.get_running_loop().time() + STOP_DEADLINE
        while any(held.is_live and held.machine for held in self._means.holdings.sessions()):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.1)
        return len(live)

    # ---- installs and removal -----------------------------------------------------------------------

    def install(self, deployment_id: DeploymentId, *, again: bool = False) -> None:
        """Installs a deployment's packages beside everything else; a running install goes on."""
        if deployment_id in self._installing:
            return
        task = self._group.create_task(_safely(self._install(deployment_id, again)), name=f"install-{deployment_id}")
        self._installing[deployment_id] = task
        task.add_done_callback(lambda _: self._installing.pop(deployment_id, None))

    async def _install(self, deployment_id: DeploymentId, again: bool) -> None:
        async def said(share: float, line: str) -> None:
            self._tell(deployment_id, "installing", progress=share, detail=line)

        with observe(acts.INSTALL, deployment_id=deployment_id):
            try:
                held = self._means.holdings.deployment(deployment_id)
                launch = await self._patiently(deployment_id, held.deployment_version)
                folder = folder_of(self._means.state, deployment_id)
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711)
                await self._means.installer.install(folder, launch.debian, said, again=again)
            except (InstallFailed, OSError) as error:
                reason = error.reason if isinstance(error, InstallFailed) else "unknown"
                self._tell(deployment_id, "install_failed", reason=reason, detail=str(error))
                return
            except ManManError as error:
                self._tell(deployment_id, "install_failed", reason="config_invalid", detail=str(error))
                return
            self._tell(deployment_id, "ready")
        self.keeper(deployment_id).wake()

    async def _patiently(self, deployment_id: DeploymentId, version: int | None) -> Any:
        """The launch, waited for while the API is away."""
        pause = 0.5
        while True:
            try:
                return await self._means.launches.obtain(deployment_id, version)
            except ManManError as error:
                if error.code not in ("unavailable", "timeout"):
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)

    async def remove(self, deployment_id: DeploymentId) -> None:
        """Removes a deployment with its data once nothing of it lives."""
        while self._means.holdings.live_of(deployment_id):
            self.keeper(deployment_id).wake()
            await asyncio.sleep(0.2)
        await asyncio.to_thread(files.remove_tree, folder_of(self._means.state, deployment_id))
        self._tell(deployment_id, "removed")
        task = self._tasks.pop(deployment_id, None)
        self._keepers.pop(deployment_id, None)
        if task is not None:
            task.cancel()

    def _tell(
        self,
        deployment_id: DeploymentId,
        status: contracts.DeploymentWord,
        *,
        progress: float | None = None,
        reason: str | None = None,
        detail: str | None = None,
    ) -> None:
        held = msgspec.structs.replace(self._means.holdings.deployment(deployment_id), status=status)
        with self._means.journal.write():
            self._means.holdings.keep(held)
            self._means.say(
                "deployment",
                status,
                contracts.DeploymentStatus(
                    deployment_id=deployment_id,
                    host_id=self._means.journal.host_id,
                    status=status,
                    deployment_version=held.deployment_version,
                    desired_version=held.desired_version,
                    progress=progress,
                    reason=reason,
                    detail=detail,
                ),
            )


async def _safely(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ManManError as error:
        log.warning("work_failed", reason=str(error))
    except Exception:
        log.exception("work_failed")
