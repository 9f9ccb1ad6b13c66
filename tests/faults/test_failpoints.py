"""`kill -9` at every step between receiving a message and acknowledging it, and of the relays: nothing is lost or doubled.

One house for all points of a test process: after each of them everything must be as if nobody had died.
"""

import asyncio
import signal
from collections.abc import Iterator

import pytest
from harness.checker import History, check

from faults.house import House
from faults.plan import Plan
from faults.points import POINTS
from faults.run import keep, running
from faults.services import Services

pytestmark = pytest.mark.timeout(300)
PLAN = Plan(seed=1, seconds=0, hosts=1, deployments=1, replicas=1, controls={"calm": 1, "hasty": 1})


class Kept:
    """A house that lives as long as its module's tests."""

    def __init__(self, services: Services) -> None:
        self.runner = asyncio.Runner()
        self.running = running(PLAN, services, "points")
        self.house: House = self.runner.run(self.running.__aenter__())
        self.runner.run(self.house.ask("start", 0))

    def close(self) -> None:
        self.runner.run(self.running.__aexit__(None, None, None))
        self.runner.close()


@pytest.fixture(scope="module")
def kept(services: Services) -> Iterator[Kept]:
    made = Kept(services)
    yield made
    made.close()


# What dies together, life after life, with the same message in hand.
CHAINS = (
    ("received", "decoded", "rows locked", "loaded", "folded"),
    ("messages inserted", "rows saved", "attempt noted", "before the commit"),
    ("committed", "before the ack", "after the ack"),
    ("numbered at once", "outbox moved", "before publishing", "published in part", "published", "advanced"),
    ("before commands go", "commands sent", "commands removed"),
)


async def die_at(house: House, points: tuple[str, ...]) -> None:
    """A session's restart and all that follows, while one process after the other dies at these points."""
    [child] = house.processors
    before = await holds(house)
    child.kill()
    await house.ask("restart", 0)
    for point in points:
        # One message at a time: what dies next must have something left to move.
        told = {"broker_settings": {"batch_max": 1}} if point == "numbered at once" else {}
        house.start_processor(child, point=point, **told)
        assert await child.died() == -signal.SIGKILL, point
    house.start_processor(child)
    after = await holds(house)
    known = {(row["session"], row["number"]) for row in before.session_history}
    new = [row["to_status"] for row in after.session_history if (row["session"], row["number"]) not in known]
    assert sorted(new) == ["pending", "running", "starting", "stopped", "stopping"]
    assert after.dead_letters == []


async def holds(house: House) -> History:
    """The history at rest; every rule holds in it."""
    history = await house.rest()
    assert check(history) == [], f"{check(history)}: the record is kept in {keep(house, history)}"
    return history


def test_every_point_is_tried() -> None:
    assert {point for chain in CHAINS for point in chain} == {*POINTS, "attempt noted"}


@pytest.mark.parametrize("points", CHAINS, ids=", ".join)
def test_processes_that_are_killed_there_lose_and_double_nothing(points: tuple[str, ...], kept: Kept) -> None:
    kept.runner.run(die_at(kept.house, points))
