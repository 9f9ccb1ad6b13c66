"""One simulation: a seed, ten minutes of faults and power commands, a healed end, and the history that the checker judges."""

import asyncio
import gc
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from harness import sim_gather
from harness.checker import History, Settled, check
from harness.sim_bus import Broker
from harness.sim_database import Database
from harness.sim_house import House
from harness.sim_plan import Fault, Plan, plan_of
from harness.sim_time import ACTOR, Scheduler
from harness.sim_wire import Loop
from manman.processor import batch
from manman.processor import fold as folds


@dataclass
class Told:
    """What a run was, for whoever counts."""

    history: History
    violations: list[str]
    digest: str
    turns: int
    statements: int
    messages: int
    crashes: int
    faults: int


@contextmanager
def witnessed(house: House) -> Iterator[None]:
    """Note what becomes of each numbered message in transactions that commit."""
    fold, conclude = folds.fold, folds.conclude
    pending: dict[Any, list[Settled]] = {}

    def watched(world: Any, arrived: list[Any]) -> list[Any]:
        outcomes = fold(world, arrived)
        told = [_settled(one, outcome.value) for one, outcome in zip(arrived, outcomes, strict=True)]
        pending[ACTOR.get()] = [one for one in told if one is not None]
        return outcomes

    def condemned(world: Any, arrived: Any, why: Any) -> Any:
        outcome = conclude(world, arrived, why)
        told = _settled(arrived, outcome.value)
        pending[ACTOR.get()] = [] if told is None else [told]
        return outcome

    house.database.began = lambda actor: pending.pop(actor, None)
    house.database.committed = lambda actor: house.settled.extend(pending.pop(actor, ()))
    batch.fold = SimpleNamespace(fold=watched, conclude=condemned)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        batch.fold = folds  # type: ignore[attr-defined]


def _settled(arrived: Any, outcome: str) -> Settled | None:
    if arrived.journal is None or arrived.sequence is None or arrived.replays is not None:
        return None
    return Settled(
        host=arrived.journal[0],
        journal=arrived.journal[1],
        sequence=arrived.sequence,
        outcome=outcome,
        is_report=arrived.key.startswith("status.host.report"),
    )


async def simulate(plan: Plan, url: str, *, change: Callable[[House], Any] | None = None) -> Told:
    """Run a plan on a fresh migrated database. `change` may switch a protection off, for the checker's own tests."""
    time = Scheduler(plan.seed)
    house = House(plan, time, Database(url, time), Broker(time))
    if change is not None:
        change(house)
    await house.database.open()
    try:
        with witnessed(house):
            house.database.wrote = lambda conn, query, args: _wake(house, query, args)
            await house.begin()
            await time.run_until(plan.minutes * 60)
            await house.heal()
            await time.run_until(plan.minutes * 60 + plan.rest)
            history = await sim_gather.gather(house)
            await _end(house)
    finally:
        await house.database.close()
    return Told(
        history=history,
        violations=check(history),
        digest=hashlib.sha256(sim_gather.text(history).encode()).hexdigest(),
        turns=time.turns,
        statements=house.database.statements,
        messages=house.broker.messages,
        crashes=house.crashes,
        faults=len(plan.faults),
    )


def _wake(house: House, query: str, args: tuple[Any, ...]) -> None:
    """The outbox's NOTIFY, at the statement instead of at the commit: who looks too early looks again."""
    if "INTO outbox" in query:
        said = [one for one in args if isinstance(one, str)]
        commands = any('"exchange":"manman"' in one for one in said)

        async def news() -> None:
            for wake in [*house.news["relay"], *(house.news["commands"] if commands else ())]:
                wake()
            for tail in house.tails:
                tail.notify()

        house.time.call_at(house.time.now + 0.05, news)


async def _end(house: House) -> None:
    await house.stop_services()
    for process in [a.process for a in house.agents.values()]:
        if not process.dead:
            await process.crash()
    await asyncio.sleep(0)


def run(plan: Plan, url: str, *, change: Callable[[House], Any] | None = None) -> Told:
    """`simulate`, from code that is not async."""
    with asyncio.Runner(loop_factory=Loop) as runner, seldom_collected():
        return runner.run(simulate(plan, url, change=change))


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Most of what a run makes is gone by itself: look for circles seldom, and never in what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 40) -> Plan:
    """Fewer faults that still fail: halves first, then one after the other."""
    size = max(1, len(plan.faults) // 2)
    while size and tries > 0:
        place = 0
        while place < len(plan.faults) and tries > 0:
            tries -= 1
            fewer = replace(plan, faults=plan.faults[:place] + plan.faults[place + size :])
            if fails(fewer):
                plan = fewer
            else:
                place += size
        size //= 2
    return plan


__all__ = ["Fault", "House", "Plan", "Told", "plan_of", "run", "shrink", "simulate"]
