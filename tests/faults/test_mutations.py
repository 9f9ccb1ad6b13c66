"""The checker is worth something for real processes too: each protection that is switched off turns it red."""

import asyncio
import os

import pytest

from faults.mutations import ALL, Mutation
from faults.nemesis import Nemesis
from faults.run import Told, judged, running
from faults.services import Services

pytestmark = pytest.mark.timeout(300)
TRIES = 3
LONG = "FAULTS_ROUNDS" in os.environ  # `make faults` tries all of them
SHORT = ("the inbox", "the inbox is a set", "the outbox", "the repeated wish")


async def provoked(mutation: Mutation, services: Services, *, on: bool = False) -> Told:
    async with running(mutation.plan(on=on), services) as house:
        nemesis = Nemesis(house, lambda _: None)
        await mutation.provoke(house, nemesis)
        return await judged(house, kept=on)


@pytest.mark.parametrize("name", list(ALL) if LONG else SHORT)
def test_a_protection_that_is_switched_off_is_missed(name: str, services: Services) -> None:
    for _ in range(TRIES):
        if asyncio.run(provoked(ALL[name], services)).violations:
            return
    pytest.fail(f"nobody missed {name} in {TRIES} runs")


@pytest.mark.parametrize("name", list(ALL) if LONG else SHORT[:1])
def test_the_same_run_holds_while_it_is_on(name: str, services: Services) -> None:
    told = asyncio.run(provoked(ALL[name], services, on=True))
    assert told.violations == [], told.text(ALL[name].plan(on=True))
