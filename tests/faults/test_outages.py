"""Broker and database restarted under load; processors that are restarted while the database is away; a disk without room."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from faults.house import Child, House
from faults.mutations import busy
from faults.plan import Plan
from faults.run import judged, running
from faults.services import Services, aside

pytestmark = pytest.mark.timeout(900)
ROUNDS = int(os.environ.get("FAULTS_ROUNDS", "2"))
QUIET = 12.0  # seconds of an outage in which the waiting processors are measured
MOST = 0.05
NO_ROOM = "No space left on device"


def used(child: Child) -> float:
    """Seconds of processor time that a process has used."""
    assert child.process is not None
    words = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


async def share_while_waiting(house: House) -> float:
    """The largest share of a core that a processor takes in a quiet part of an outage."""
    await asyncio.sleep(2)
    before, began = [used(child) for child in house.processors], time.monotonic()
    await asyncio.sleep(QUIET)
    spent = time.monotonic() - began
    return max((used(child) - first) / spent for child, first in zip(house.processors, before, strict=True))


async def restarted(services: Services) -> None:
    plan = Plan(seed=1, seconds=0, hosts=2, replicas=2)
    async with running(plan, services) as house:
        shares = []
        for turn in range(ROUNDS):
            for server in (services.rabbitmq, services.postgres):
                await busy(house, 2)
                load = asyncio.ensure_future(busy(house, 4))
                await aside(server.kill if turn % 2 else server.stop)
                if turn == 0:
                    shares.append(await share_while_waiting(house))
                await aside(server.start)
                await load
        told = await judged(house)
    assert told.violations == [], told.text(plan)
    assert told.history.dead_letters == []
    assert "stale" not in {row["to_status"] for row in told.history.host_history}
    assert max(shares) < MOST, f"waiting for the broker and for the database took {shares} of a core: a hot loop"


def test_broker_and_database_restarted_under_load_lose_nothing_and_nobody_spins(services: Services) -> None:
    asyncio.run(restarted(services))


async def restarted_blindly(services: Services) -> None:
    """Each life of the processor takes its messages, finds no database, and is killed."""
    plan = Plan(seed=1, seconds=0, hosts=1, deployments=2, replicas=2)
    async with running(plan, services) as house:
        await house.ask("start", 0)
        await house.ask("start", 1)
        deaths = 0
        while deaths < 20:
            for child in house.processors:
                child.kill()
                house.start_processor(child, blind=True)
            await house.until("one of them waits for the database", lambda: _paused(house))
            deaths += len(house.processors)
        for child in house.processors:
            child.kill()
            house.start_processor(child)
        told = await judged(house)
    assert told.violations == [], told.text(plan)
    assert told.history.dead_letters == []


async def _paused(house: House) -> bool:
    """Whether a living processor said that it pauses."""
    for child in house.processors:
        assert child.process is not None
        log = (house.folder / f"{child.name}.log").read_text(errors="replace")
        last = log.rpartition("processor_started")[2]
        if "consumption_paused" in last:
            return True
    return False


def test_twenty_restarts_while_the_database_is_away_condemn_nobody(services: Services) -> None:
    asyncio.run(restarted_blindly(services))


async def without_room(made: Services) -> None:
    plan = Plan(seed=1, seconds=0, hosts=2, replicas=2)
    async with running(plan, made) as house:
        await busy(house, 2)
        ballast = made.folder / "postgres" / "ballast"
        await until_full(house, ballast)
        ballast.unlink()
        told = await judged(house)
    assert told.violations == [], told.text(plan)
    assert told.history.dead_letters == []


async def until_full(house: House, ballast: Path) -> None:
    """Sessions come and go, and what the database's log of changes gives back of its disk is taken again, until the database has said
    that there is no room."""
    log, until = house.services.postgres.log, time.monotonic() + 240
    load = asyncio.ensure_future(busy(house, 6, every=0.1))
    while NO_ROOM not in log.read_text(errors="replace"):
        assert time.monotonic() < until, f"the database never said {NO_ROOM!r}, see {house.folder}"
        await asyncio.to_thread(fill, ballast)
        if load.done():
            load = asyncio.ensure_future(busy(house, 2, every=0.1))
        await asyncio.sleep(0.1)
    await load


def fill(ballast: Path) -> None:
    """Leave no byte."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 512):
            try:
                while True:
                    file.write(b"0" * size)
            except OSError:
                continue


def test_a_database_without_room_loses_nothing_and_recovers() -> None:
    made = Services(disk_megabytes=260).open()
    try:
        asyncio.run(without_room(made))
    finally:
        made.close()
