"""Ten simulated minutes of faults for each seed: all rules hold; the same seed gives the same history."""

import dataclasses

import pytest
from conftest import fresh_database
from harness import sim_gather, sim_run
from harness.sim_plan import KINDS, NOT_DRAWN, Fault
from harness.templates import template

from sim.seeds import LEARNED, SEEDS

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_rules_hold_whatever_a_seed_does(seed: int, database_url: str) -> None:
    told = sim_run.run(sim_run.plan_of(seed), database_url)
    assert told.violations == [], f"seed {seed}: `make sim SEED={seed}` shrinks it"
    assert told.history.accepted and told.history.external and told.history.reads


@pytest.mark.parametrize("found", list(LEARNED))
def test_what_a_plan_found_once_holds(found: str, database_url: str) -> None:
    assert sim_run.run(LEARNED[found], database_url).violations == []


def test_a_broker_that_was_away_for_ten_minutes_is_made_up_for_within_one(database_url: str) -> None:
    away = (Fault(60.0, "broker_down", 0, 300.0),)
    plan = dataclasses.replace(sim_run.plan_of(3), minutes=11, agrees_within=60.0, faults=away)
    told = sim_run.run(plan, database_url)
    assert told.violations == []
    assert not [row for row in told.history.host_history if row["to_status"] == "stale"]


def test_every_kind_of_fault_strikes_within_the_seeds_that_are_tried() -> None:
    drawn = {fault.kind for seed in SEEDS for fault in sim_run.plan_of(seed).faults}
    named = {fault.kind for plan in LEARNED.values() for fault in plan.faults}
    assert drawn == set(KINDS) - NOT_DRAWN and named >= NOT_DRAWN


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_the_same_seed_gives_the_same_history_byte_for_byte(seed: int, postgres_major: int) -> None:
    plan = dataclasses.replace(sim_run.plan_of(seed), minutes=4, rest=30)
    texts = []
    for _ in range(2):
        with fresh_database(postgres_major, template(postgres_major)) as url:
            texts.append(sim_gather.text(sim_run.run(plan, url).history))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 10_000


def test_another_seed_gives_another_history(postgres_major: int) -> None:
    digests = set()
    for seed in (9, 10):
        plan = dataclasses.replace(sim_run.plan_of(9), seed=seed, minutes=1, rest=10)
        with fresh_database(postgres_major, template(postgres_major)) as url:
            digests.add(sim_run.run(plan, url).digest)
    assert len(digests) == 2


def test_a_failing_plan_is_shrunk_to_the_faults_that_matter() -> None:
    plan = sim_run.plan_of(4)
    needed = {plan.faults[3], plan.faults[20]}
    shrunk = sim_run.shrink(plan, lambda fewer: needed <= set(fewer.faults), tries=200)
    assert set(shrunk.faults) == needed
