"""A plan from its beginning to its verdict."""

import asyncio
import logging
import pickle
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from harness.checker import History, check

from faults.house import House, Say
from faults.nemesis import Nemesis
from faults.plan import Plan
from faults.services import Services

KEPT = Path("/tmp/manman-faults")


@dataclass
class Told:
    """What a run was."""

    history: History
    violations: list[str]
    record: Path

    def text(self, plan: Plan) -> str:
        """For whoever must find out why."""
        said = "\n".join(f"  {one}" for one in self.violations[:40])
        return f"{plan.text()}\nbroken:\n{said}\nthe record is kept in {self.record}"


@asynccontextmanager
async def running(plan: Plan, services: Services, name: str = "") -> AsyncIterator[House]:
    """A house in which everything is up."""
    folder = services.folder / f"run-{name or plan.seed}-{id(plan)}"
    house = House(plan, services, folder)
    try:
        await house.open()
        yield house
    except BaseException:
        shutil.copytree(folder, KEPT / f"broken-{plan.seed}-{house.time.base:.0f}", dirs_exist_ok=True)
        raise
    finally:
        await house.close()


async def faulty(plan: Plan, services: Services, say: Say = lambda _: None) -> Told:
    """Run a plan: faults and power commands, heal, drain, judge. A run that broke a rule keeps its record."""
    async with running(plan, services) as house:
        nemesis = Nemesis(house, say)
        await nemesis.work()
        return await judged(house, say)


async def judged(house: House, say: Say = lambda _: None, *, kept: bool = True) -> Told:
    """Heal, drain, and what the checker says. `kept`: where it says something, the record stays."""
    say(f"{house.now:6.1f} s  all is healed")
    await house.heal(say)
    history = await house.rest()
    say(f"{house.now:6.1f} s  at rest")
    await house.end()
    history.failures.extend(house.failures)
    violations = check(history)
    record = keep(house, history) if violations and kept else house.folder
    return Told(history=history, violations=violations, record=record)


def keep(house: House, history: History) -> Path:
    """The folder of a run, with its history, where it stays."""
    place = KEPT / f"seed-{house.plan.seed}-{house.time.base:.0f}"
    shutil.copytree(house.folder, place, dirs_exist_ok=True)
    servers = house.services
    shutil.copytree(servers.rabbitmq.folder / "log", place / "broker", dirs_exist_ok=True)
    shutil.copy(servers.postgres.log, place / "database.txt")
    (place / "schedule").write_text(house.plan.text() + "\n")
    (place / "history.pickle").write_bytes(pickle.dumps(history))
    (place / "broken").write_text("\n".join(check(history)) + "\n")
    return place


def quiet() -> None:
    """The director says nothing of what it does to its own connections."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)


def run(plan: Plan, services: Services, say: Say = lambda _: None) -> Told:
    """`faulty`, from code that is not async."""
    return asyncio.run(faulty(plan, services, say))
