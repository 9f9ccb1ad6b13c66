"""Ten simulated minutes of faults for each seed: all rules hold; the same seed gives the same history."""

import dataclasses
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import structlog
from harness import sim_gather, sim_run, sim_server
from harness.sim_plan import KINDS, Fault

from sim.seeds import LEARNED, SEEDS

pytestmark = pytest.mark.timeout(900)
TWICE = (1, 2, 4, 6, 7, 9)  # with and without statements that wait for locks, several at once among them


def run(plan: sim_run.Plan) -> sim_run.Told:
    with sim_server.database() as url:
        return sim_run.run(plan, url)


def text_of(plan: sim_run.Plan) -> str:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return sim_gather.text(run(plan).history)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_rules_hold_whatever_a_seed_does(seed: int) -> None:
    told = run(sim_run.plan_of(seed))
    assert told.violations == [], f"seed {seed}: `make sim SEED={seed}` shrinks it"
    assert told.history.accepted and told.history.external and told.history.reads


@pytest.mark.parametrize("found", list(LEARNED))
def test_what_a_plan_found_once_holds(found: str) -> None:
    assert run(LEARNED[found]).violations == []


def test_a_broker_that_was_away_for_ten_minutes_is_made_up_for_within_one() -> None:
    away = (Fault(60.0, "broker_down", 0, 300.0),)
    plan = dataclasses.replace(sim_run.plan_of(3), minutes=11, agrees_within=60.0, faults=away)
    told = run(plan)
    assert told.violations == []
    assert not [row for row in told.history.host_history if row["to_status"] == "stale"]


def test_every_kind_of_fault_strikes_within_the_seeds_that_are_tried() -> None:
    drawn = {fault.kind for seed in SEEDS for fault in sim_run.plan_of(seed).faults}
    assert drawn == set(KINDS)


def test_the_same_seed_gives_the_same_history_byte_for_byte() -> None:
    plans = [dataclasses.replace(sim_run.plan_of(seed), minutes=3, rest=30) for seed in TWICE]
    # Two processes at once: each has its own order of sets, and the other one beside it.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        both = [(pool.submit(text_of, plan), pool.submit(text_of, plan)) for plan in plans]
        texts = {
            plan.seed: (first.result(), second.result()) for plan, (first, second) in zip(plans, both, strict=True)
        }
    for seed, (first, second) in texts.items():
        assert first == second, f"seed {seed} is not the same twice"
        assert len(first) > 10_000


def test_another_seed_gives_another_history() -> None:
    plan = dataclasses.replace(sim_run.plan_of(9), minutes=1, rest=10)
    assert run(plan).digest != run(dataclasses.replace(plan, seed=10)).digest


def test_a_failing_plan_is_shrunk_to_the_faults_that_matter() -> None:
    plan = sim_run.plan_of(4)
    needed = {plan.faults[3], plan.faults[20]}
    shrunk = sim_run.shrink(plan, lambda fewer: needed <= set(fewer.faults), tries=200)
    assert set(shrunk.faults) == needed
