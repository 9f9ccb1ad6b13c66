"""Starts that never reach their host, which begins the game by itself meanwhile: nobody ends that game."""

import copy
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from unittest.mock import patch

import pytest
from harness import sim_agent, sim_run, sim_server
from harness.history import Played
from harness.sim_agent import SimAgent
from harness.sim_faults import Nemesis
from harness.sim_house import House
from harness.sim_machine import Disk
from harness.sim_plan import Fault, Plan

pytestmark = pytest.mark.timeout(900)
PLAN = Plan(seed=1, minutes=5, hosts=1, deployments=1, replicas=1, asks_every=1e9)
PATIENT = dataclasses.replace(sim_agent.POLICY, delay=timedelta(seconds=170), max_delay=timedelta(seconds=170))
Act = Callable[[House], Awaitable[None]]


class Calm(SimAgent):
    """Its games end only by what is done to them."""

    def start(self) -> None:
        self.calm = lambda: True
        super().start()


async def start(house: House) -> None:
    """Somebody starts the deployment."""
    assert house.operator is not None
    house.operator.process.spawn("starter", house.operator.ask(house.places[0].deployment, "start"))


async def crash(house: House) -> None:
    """Its game crashes."""
    [game] = house.machines[0].live(house.places[0].deployment)
    game.ends, game.how = house.time.now, "crash"


async def lose_commands(house: House) -> None:
    """No command arrives any more."""
    house.broker.loses = 1.0


async def lose_no_commands(house: House) -> None:
    """Commands arrive again."""
    house.broker.loses = 0.0


async def lose_a_start(house: House) -> None:
    """Somebody starts it, and that command alone is lost."""
    await lose_commands(house)
    await start(house)
    house.later(3.0, lambda: lose_no_commands(house))


async def lack_ids(house: House) -> None:
    """For a while its host has no session id left, and begins nothing by itself."""
    disk = house.machines[0].disk
    kept, disk.lease = disk.lease, ()

    async def found() -> None:
        disk.lease = kept

    house.later(160.0, found)


async def stop(house: House) -> None:
    """Somebody stops it."""
    assert house.operator is not None
    house.operator.process.spawn("stopper", house.operator.ask(house.places[0].deployment, "stop"))


# The crashed game is due again while the second start is on its way; its host hears nothing from the first to the last.
HEARS_NOTHING = (
    (10.0, start),
    (40.0, crash),
    (45.0, lose_commands),
    (50.0, start),
    (180.0, start),
    (225.0, lose_no_commands),
)
# Both starts are lost, their wishes are heard; the host can begin the game only when the second one is on its way.
LACKS_IDS = ((10.0, start), (35.0, lack_ids), (40.0, crash), (50.0, lose_a_start), (190.0, lose_a_start))


def played(acts: Sequence[tuple[float, Act]]) -> tuple[list[Played], list[str | None]]:
    """The games of a run with these acts, in order, and why the sessions ended that were none; no rule was broken."""

    def change(house: House) -> None:
        house.agent_type = Calm
        for at, act in acts:
            house.time.call_at(at, lambda act=act: act(house))

    with sim_server.database() as url, patch.object(sim_agent, "POLICY", PATIENT):
        told = sim_run.run(PLAN, url, change=change)
    assert told.violations == []
    games = sorted((game for witness in told.history.witnesses for game in witness.games), key=lambda game: game.began)
    sessions = {game.session for game in games}
    return games, [row["reason"] for row in told.history.sessions if row["id"] not in sessions]


@pytest.mark.parametrize("acts", [HEARS_NOTHING, LACKS_IDS])
def test_two_lost_starts_end_no_game_that_their_host_began_by_itself(acts: tuple[tuple[float, Act], ...]) -> None:
    games, ends = played(acts)
    assert [game.why for game in games] == ["crash", None]
    assert sorted(ends) == ["start_timeout", "superseded"]


def test_a_lost_start_ends_no_game_of_a_disk_that_has_forgotten_its_last_runs() -> None:
    kept: list[Disk] = []

    async def remember(house: House) -> None:
        kept.append(copy.deepcopy(house.machines[0].disk))

    async def return_from_the_copy(house: House) -> None:
        house.machines[0].copy = kept[0]
        await Nemesis(house).restore(Fault(at=house.time.now, kind="restore", which=0, span=3.0))

    acts = [(10.0, start), (30.0, remember), (40.0, stop), (60.0, start), (80.0, stop), (100.0, start), (120.0, stop)]
    games, ends = played([*acts, (140.0, return_from_the_copy), (190.0, lose_a_start)])
    assert [game.told for game in games] == ["wish", "wish", "wish", "wish", None]
    assert ends == ["superseded"]
