"""The database comes back as it was some time ago, on another timeline, while everything else goes on: no game ends, no id is used
twice, and the rows say again what the machines say."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.real_agent import file_of, load

from faults.house import House
from faults.plan import Plan
from faults.run import Told, judged, running
from faults.services import Services, aside

pytestmark = pytest.mark.timeout(600)
PLAN = Plan(seed=1, seconds=0, hosts=2, deployments=2, replicas=2, controls={"calm": 1})
# What a restore from a base backup begins with: recovery up to the end of what is there, and a timeline of its own from then on.
RECOVERY = "\nrestore_command = 'false'\nrecovery_target_timeline = 'latest'\n"


async def restored(services: Services) -> tuple[Told, set[int], set[int]]:
    """What the checker says, and which games ran before the restore and which at the end."""
    async with running(PLAN, services) as house:
        copy = services.folder / "copy"
        for place in range(3):
            await house.ask("start", place)
        await house.until("three run", lambda: run(house, 3))
        copied = house.time.at
        await aside(lambda: copy_to(services, copy))
        await house.ask("start", 3)
        await house.ask("restart", 0)
        await house.until("the restarted one runs, and a fourth", lambda: run(house, 4, above=3))
        before = playing(house)
        for child in house.processors:
            child.kill()
        await aside(lambda: put_back(services, copy))
        house.restored.append((copied, house.time.at))
        for child in house.processors:
            house.start_processor(child)
        told = await judged(house)
        return told, before, playing(house)


async def run(house: House, count: int, above: int = 0) -> bool:
    """Whether so many run, and there have been more than `above` sessions beside the last one."""
    query = "SELECT count(*) FILTER (WHERE status = 'running'), count(*) > $1 + 1 FROM sessions"
    return tuple(await house.monitor.fetchrow(query, above)) == (count, True)


def playing(house: House) -> set[int]:
    """Sessions whose games live, as their machines know."""
    machines = [load(file_of(house.folder, host)) for host in house.hosts]
    return {game.session_id for machine in machines for game in machine.games.values() if game.ended is None}


def copy_to(services: Services, copy: Path) -> None:
    services.postgres.stop()
    subprocess.run(["cp", "-a", str(services.postgres.data), str(copy)], check=True)
    services.postgres.start()


def put_back(services: Services, copy: Path) -> None:
    data = services.postgres.data
    services.postgres.stop()
    shutil.rmtree(data)
    subprocess.run(["cp", "-a", str(copy), str(data)], check=True)
    signal = data / "recovery.signal"
    signal.touch()
    with (data / "postgresql.auto.conf").open("a") as file:
        file.write(RECOVERY)
    shutil.chown(signal, data.owner(), data.group())
    services.postgres.start()


def test_a_database_restored_from_a_copy_ends_no_game_and_learns_what_it_forgot(services: Services) -> None:
    told, before, after = asyncio.run(restored(services))
    assert told.violations == [], told.text(PLAN)
    assert before <= after
    assert max(event["epoch"] for event in told.history.events) == 2
