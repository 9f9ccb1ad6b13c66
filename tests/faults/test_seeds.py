"""Real processes under a seeded nemesis: all rules hold. `make faults` runs more seeds for longer."""

import asyncio

import pytest

from faults.plan import Fault, Plan, plan_of
from faults.real_hosts import RealHost
from faults.run import Told, judged, run, running
from faults.services import Services

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize(("seed", "partitions"), [(1, ()), (2, ()), (3, (2, 3))])
def test_all_rules_hold_whatever_a_seed_does(seed: int, partitions: tuple[int, ...], services: Services) -> None:
    plan = plan_of(seed, seconds=18, partitions=partitions)
    told = run(plan, services)
    assert told.violations == [], told.text(plan)
    assert told.history.accepted and told.history.external


def test_the_same_seed_draws_the_same_schedule() -> None:
    assert plan_of(7, seconds=180).text() == plan_of(7, seconds=180).text()
    assert plan_of(7, seconds=180).text() != plan_of(8, seconds=180).text()
    assert len(plan_of(7, seconds=180).faults) == 60


async def outlived(services: Services) -> Told:
    """The product's own agent is killed beside its game, then the game beside its agent, then both agent and processor."""
    async with running(Plan(seed=1, seconds=0, hosts=1, deployments=1, real_hosts=1), services) as house:
        [real] = house.real.values()
        agent, [processor, _] = house.agents[real.id], house.processors

        async def runs() -> dict[int, int]:
            query = "SELECT id FROM sessions WHERE deployment = $1 AND status = 'running'"
            session = await house.monitor.fetchval(query, house.deployments[-1])
            return {number: pid for number, pid in real.games().items() if number == session}

        await house.ask("start", len(house.deployments) - 1)
        first = await house.until("the game runs", runs)
        house.excuse(real.id, 60)
        agent.kill()
        assert real.games() == first
        real.kill_a_game(0)
        await house.until("it is dead", lambda: gone(real, first))
        house.start_agent(real.id)
        second = await house.until("the next one runs", runs)
        assert second.keys() != first.keys()
        agent.kill()
        processor.kill()
        house.start_agent(real.id)
        return await judged(house)


async def gone(real: RealHost, games: dict[int, int]) -> bool:
    return not games.keys() & real.games().keys()


def test_games_outlive_the_agents_own_process_and_are_back_when_they_die(services: Services) -> None:
    told = asyncio.run(outlived(services))
    assert told.violations == [], told.violations
    [real] = [witness for witness in told.history.witnesses if witness.host == 2]
    assert [game.why for game in real.games] == ["crash", None]


def test_a_second_agent_with_the_same_identity_says_nothing(services: Services) -> None:
    twins = tuple(Fault(at=at, kind="twin", span=5.0) for at in (1.0, 3.0))
    plan = Plan(seed=1, seconds=9.0, hosts=1, faults=twins)
    told = run(plan, services)
    assert told.violations == [], told.text(plan)
    assert {boot for witness in told.history.witnesses for _, boot in witness.lives} == {1}
