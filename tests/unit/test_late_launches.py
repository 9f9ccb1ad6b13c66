"""A start whose launch comes too late, or not at all: its row is ended by the sweep, so nothing may begin for it any more."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.errors import Unavailable
from manman.events import codec, contracts
from manman.host.deployments import HeldDeployment
from manman.host.journal import Journal
from manman.host.keeper import Keeper
from manman.host.launches import Launches
from manman.host.means import Holdings, Means
from manman.host.sessions import HeldSession
from manman.host.settings import Settings
from manman.v1.types import Launch

DEPLOYMENT, SESSION = DeploymentId(5), SessionId(100)
BOOT = "boot"
WITHIN = 10.0


class Machine:
    """A host with one start on it, asked for at second 0 of its monotonic clock. Nothing is run: `begun` are the sessions that were."""

    def __init__(self, state: Path) -> None:
        self.time = 0.0
        self.begun: list[str] = []
        self.fetched: Callable[[], Launch] = self._away
        self.journal = Journal(state / "journal.db", HostId(3), chance=os.urandom)
        self.holdings = Holdings(self.journal)
        means = Means(
            settings=Settings(),
            state=state,
            journal=self.journal,
            holdings=self.holdings,
            runtime=cast(Any, None),
            launches=Launches(self, state),
            installer=cast(Any, None),
            lines=cast(Any, None),
            now=lambda: datetime(2026, 1, 31, 12, tzinfo=UTC),
            monotonic=lambda: self.time,
            chance=os.urandom,
            machine=BOOT,
            owner_is_root=False,
            wake_sender=lambda: None,
        )
        self.keeper = Keeper(means, DEPLOYMENT, cast(asyncio.TaskGroup, self), lambda: True, lambda: False)
        self._hold_a_start()

    def _hold_a_start(self) -> None:
        self.holdings.keep(
            HeldDeployment(
                deployment_id=DEPLOYMENT,
                desired="running",
                desired_version=1,
                begun_version=1,
                last_run=1,
                deployment_version=7,
                session=SESSION,
            )
        )
        self.holdings.keep(
            HeldSession(
                session_id=SESSION,
                deployment_id=DEPLOYMENT,
                run=1,
                begun_version=1,
                until=WITHIN,
                until_machine=BOOT,
            )
        )

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> Launch:
        return self.fetched()

    def create_task(self, work: Coroutine[Any, Any, None], *, name: str) -> Any:
        """As the agent's group of tasks: what it would run."""
        work.close()
        self.begun.append(name)
        return asyncio.get_running_loop().create_future()

    def said(self) -> list[contracts.AnyBody]:
        """The bodies of what it has to say, in order."""
        return [codec.decode(e.message.key, e.message.headers, e.message.body).body for e in self.journal.unsent(100)]

    async def steps(self) -> None:
        """Steps until it waits."""
        while await self.keeper._step() == 0.0:
            pass

    def after(self, seconds: float) -> Launch:
        """The launch, so many seconds later."""
        self.time += seconds
        return Launch(deployment_id=DEPLOYMENT, version=7, digest="d", argv=["game"])

    def _away(self) -> Launch:
        raise Unavailable("the API is away")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.journal.close()


async def test_a_launch_that_comes_in_time_begins_its_session(machine: Machine) -> None:
    machine.fetched = lambda: machine.after(WITHIN - 1)
    await machine.steps()
    assert machine.begun == ["session-100"] and not machine.said()


async def test_a_launch_that_comes_when_the_time_is_over_begins_nothing(machine: Machine) -> None:
    machine.fetched = lambda: machine.after(WITHIN + 1)
    await machine.steps()
    assert not machine.begun and machine.holdings.session(SESSION) is None
    assert machine.holdings.deployment(DEPLOYMENT).gave_up == "start_timeout"


async def test_a_give_up_names_the_version_of_its_deployment(machine: Machine) -> None:
    machine.time = WITHIN + 1
    await machine.steps()
    said = machine.said()[-1]
    assert isinstance(said, contracts.DeploymentStatus) and said.reason == "start_timeout"
    assert (said.deployment_version, said.desired_version) == (7, 1)
