"""The checker is worth something: each protection that is switched off turns it red, within a few seeds."""

import pytest
from harness import sim_run, sim_server

from sim.mutations import ALL, plan

MOST = 8
pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", list(ALL))
def test_a_protection_that_is_switched_off_is_missed(name: str) -> None:
    mutation = ALL[name]
    # First those that are known to need it; a change of the product may move it to others.
    seeds = dict.fromkeys([*mutation.seeds, *range(1, MOST + 1)])
    for seed in seeds:
        with sim_server.database() as url, mutation.off():
            told = sim_run.run(plan(mutation, seed), url, change=mutation.change)
        if told.violations:
            return
    pytest.fail(f"nobody missed {name} in {len(seeds)} seeds")


@pytest.mark.parametrize("name", list(ALL))
def test_the_same_faults_do_no_harm_while_it_is_on(name: str) -> None:
    mutation = ALL[name]
    with sim_server.database() as url, mutation.on():
        told = sim_run.run(plan(mutation, mutation.seeds[0]), url)
    assert told.violations == []
