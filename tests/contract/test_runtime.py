"""What every runtime promises the agent. One suite, each runtime in turn."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness.wrapped import lives, until

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.host.runtimes import NotLaunched, Runtime, Work
from manman.host.runtimes.process import ProcessRuntime
from manman.wrapper import pipe, spool_reader
from manman.wrapper.spool import STATE

HOST = HostId(7)
TESTS = str(Path(__file__).resolve().parent.parent)
GAME = "import sys, time; print('up', flush=True); time.sleep(600)"
Make = Callable[[int], Runtime]


@pytest.fixture(params=["process"])
def make(request: pytest.FixtureRequest, roomy: Path) -> Iterator[Make]:
    """The runtime of a host on one state folder; whatever it started is ended afterwards."""
    made: list[Runtime] = []

    def of_host(host: int) -> Runtime:
        made.append(ProcessRuntime(roomy, HostId(host)))
        return made[-1]

    yield of_host
    for folder in (roomy / "sessions").glob("*/"):
        head = spool_reader.head_of(folder)
        if head and lives(head["wrapper"]):
            os.kill(head["wrapper"], signal.SIGKILL)


def work(place: Path, session: int = 1, code: str = GAME) -> Work:
    return Work(
        session_id=SessionId(session),
        deployment_id=DeploymentId(5),
        argv=[sys.executable, "-I", "-S", "-u", "-c", code],
        cwd=place,
        env={"PATH": "/usr/bin:/bin"},
        stop={"signal": "SIGTERM", "grace": 10},
    )


def game_of(folder: Path) -> int:
    def started() -> int | None:
        said = [r.said for r in spool_reader.read_from(folder, 0).records if r.kind == STATE]
        return next((one["game"] for one in said if one["state"] == "starting"), None)

    game: int = until(started)
    return game


async def test_what_is_launched_is_found_alive_under_its_name(make: Make, roomy: Path) -> None:
    runtime = make(HOST)
    found = await runtime.launch(work(roomy))
    assert (found.session_id, found.deployment_id, found.is_alive) == (1, 5, True)
    assert await runtime.inspect(SessionId(1)) == found
    assert await runtime.list() == [found]
    assert await runtime.inspect(SessionId(2)) is None


async def test_a_repeated_launch_finds_its_session_and_starts_no_second_game(make: Make, roomy: Path) -> None:
    runtime = make(HOST)
    first = await runtime.launch(work(roomy))
    assert await runtime.launch(work(roomy)) == first
    os.kill(game_of(first.folder), signal.SIGKILL)
    until(lambda: spool_reader.exit_of(first.folder))
    again = await runtime.launch(work(roomy))
    assert not again.is_alive or again.wrapper == first.wrapper


async def test_a_killed_session_is_gone_with_its_game(make: Make, roomy: Path) -> None:
    runtime = make(HOST)
    found = await runtime.launch(work(roomy))
    game = game_of(found.folder)
    await runtime.kill(SessionId(1))
    until(lambda: not lives(game))
    gone = await runtime.inspect(SessionId(1))
    assert gone is not None and not gone.is_alive
    await runtime.kill(SessionId(1))
    await runtime.kill(SessionId(99))


async def test_only_what_is_over_can_be_removed(make: Make, roomy: Path) -> None:
    runtime = make(HOST)
    found = await runtime.launch(work(roomy))
    with pytest.raises(NotLaunched, match="alive"):
        await runtime.remove(SessionId(1))
    game_of(found.folder)
    await runtime.kill(SessionId(1))
    until(lambda: not lives(found.wrapper or 0))
    await runtime.remove(SessionId(1))
    await runtime.remove(SessionId(1))
    assert await runtime.list() == []


async def test_what_is_another_hosts_or_carries_no_label_is_never_touched(make: Make, roomy: Path) -> None:
    theirs = await make(8).launch(work(roomy, 2))
    (roomy / "sessions" / "3").mkdir()
    (roomy / "sessions" / "notes.txt").write_text("a person's")
    runtime = make(HOST)
    assert await runtime.list() == []
    for number in (2, 3):
        await runtime.kill(SessionId(number))
        await runtime.remove(SessionId(number))
    assert lives(theirs.wrapper or 0) and (roomy / "sessions" / "3").exists()


async def test_a_launch_that_cannot_run_is_a_crash_with_a_reason(make: Make, roomy: Path) -> None:
    runtime = make(HOST)
    try:
        found = await runtime.launch(replace(work(roomy), argv=["no-such-program"]))
    except NotLaunched as refused:
        assert refused.reason == "config_invalid"
        return
    until(lambda: spool_reader.exit_of(found.folder))
    exited = spool_reader.exit_of(found.folder)
    assert exited is not None and exited.said["reason"] == "config_invalid"


LAUNCHER = """
import asyncio, sys
from pathlib import Path
from manman.domain.ids import HostId
from manman.host.runtimes.process import ProcessRuntime
sys.path.insert(0, sys.argv[2])
from contract.test_runtime import work
async def main():
    place = Path(sys.argv[1])
    await ProcessRuntime(place, HostId(7)).launch(work(place))
    print("launched", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def launch_and_die(place: Path) -> None:
    """Another process launches session 1 and is killed with its whole process group."""
    starter = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(place), TESTS], stdout=subprocess.PIPE, start_new_session=True
    )
    assert starter.stdout is not None and starter.stdout.readline() == b"launched\n"
    os.killpg(starter.pid, signal.SIGKILL)
    starter.wait()
    starter.stdout.close()


def status_of(pid: int) -> dict[str, list[str]]:
    """The fields of a process's status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


async def test_games_outlive_whoever_started_them_and_all_its_group(make: Make, roomy: Path) -> None:
    launch_and_die(roomy)
    found = await make(HOST).inspect(SessionId(1))
    assert found is not None and found.is_alive
    with pipe.Client(found.folder) as wrapper:
        assert wrapper.ask("status")["ok"]
    assert lives(game_of(found.folder))


async def test_a_game_with_an_owner_runs_under_that_number_alone(make: Make, roomy: Path) -> None:
    if os.geteuid() != 0:
        with pytest.raises(NotLaunched):
            await make(HOST).launch(replace(work(roomy), owner=(60578, 60578)))
        return
    runtime = make(HOST)
    sleeper = replace(work(roomy), argv=["sleep", "600"], owner=(60578, 60578))
    found = await runtime.launch(sleeper)
    game = game_of(found.folder)
    until(lambda: status_of(game)["Name"] == ["sleep"])
    fields = status_of(game)
    assert set(fields["Uid"]) == {"60578"} and set(fields["Gid"]) == {"60578"} and fields["Groups"] == []
