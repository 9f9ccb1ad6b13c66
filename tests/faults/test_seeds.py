"""Real processes under a seeded nemesis: all rules hold. `make faults` runs more seeds for longer."""

import pytest

from faults.plan import Fault, Plan, plan_of
from faults.run import run
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


def test_a_second_agent_with_the_same_identity_says_nothing(services: Services) -> None:
    twins = tuple(Fault(at=at, kind="twin", span=5.0) for at in (1.0, 3.0))
    plan = Plan(seed=1, seconds=9.0, hosts=1, faults=twins)
    told = run(plan, services)
    assert told.violations == [], told.text(plan)
    assert {boot for witness in told.history.witnesses for _, boot in witness.lives} == {1}
