"""What must hold while the agent, the broker, the API or the machine is away: games run, what should run is back, every step
is told once and in order."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

import msgspec
from harness.rabbitmq import RabbitMQ
from harness.wrapped import eventually, lives
from integration.host_control import HOST, Control, control, demo

from manman.domain.ids import DeploymentId, SessionId
from manman.host import files
from manman.host.deployments import HeldDeployment
from manman.host.journal import Journal
from manman.host.launches import BEGUN, folder_of
from manman.host.means import Holdings
from manman.host.sessions import HeldSession
from manman.v1.types import Launch, RestartPolicy
from manman.wrapper import pipe, spool_reader
from manman.wrapper.spool import STATE

NOWHERE = "amqp://guest:guest@127.0.0.1:1/nowhere"


async def gone(agent: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Ends an agent by a signal and waits for it, aside: the loop must answer the broker meanwhile."""
    agent.send_signal(number)
    await asyncio.to_thread(agent.wait, 60)


def held(it: Control, session_id: int) -> str | None:
    """What the agent's journal says of a session, read beside a living agent."""
    import sqlite3

    with sqlite3.connect(f"file:{it.state}/journal.db?mode=ro", uri=True) as db:
        row = db.execute("select held from sessions where id = ?", (session_id,)).fetchone()
    db.close()
    return None if row is None else msgspec.json.decode(row[0]).get("status", "pending")


async def test_an_exit_while_the_agent_was_dead_is_told_with_its_code(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        agent = it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        game = it.game(100)
        await gone(agent, signal.SIGKILL)
        assert lives(game)
        with pipe.Client(it.state / "sessions" / "100") as wrapper:
            wrapper.ask("input", line="crash 7")
        await eventually(lambda: not lives(game))
        it.start_agent()
        crashed = await it.session(100, "crashed")
        assert (crashed.exit_code, crashed.reason) == (7, "exited")
        assert it.words(100) == ["pending", "starting", "running", "crashed"]


async def test_a_game_that_lives_is_adopted_and_obeys_the_next_agent(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        agent = it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        game = it.game(100)
        await gone(agent, signal.SIGTERM)
        await it.host("offline")
        assert lives(game)
        it.start_agent()
        await it.wish("stop", 5, "stopped", 2)
        assert (await it.session(100, "stopped")).exit_code == 0
        assert it.words(100) == ["pending", "starting", "running", "stopping", "stopped"]
        assert len({journal for journal, _ in it.sequences()}) == 2


async def test_a_crashed_game_is_back_with_nothing_else_alive(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        agent = it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await gone(agent, signal.SIGKILL)
        (it.launches / "5.json").unlink()
        agent = it.start_agent(url=NOWHERE)
        os.kill(it.game(100), signal.SIGKILL)
        await eventually(lambda: held(it, 500) == "running")
        await gone(agent, signal.SIGKILL)
        it.start_agent()
        await it.session(500, "running")
        assert it.words(100) == ["pending", "starting", "running", "crashed"]
        assert it.words(500) == ["pending", "starting", "running"]


async def test_after_a_reboot_what_should_run_runs_and_what_was_stopped_stays_stopped(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        for number, on_boot in ((5, True), (6, False), (7, True)):
            it.put(demo(number, start_on_boot=on_boot))
        agent = it.start_agent(machine="first")
        await it.tell("lease", lease=[(500, 549)])
        for number in (5, 6, 7):
            await it.start(number, number * 100 - 400, run=1, version=1)
            await it.session(number * 100 - 400, "running")
        await it.wish("stop", 7, "stopped", 2)
        await it.session(300, "stopped")
        await gone(agent, signal.SIGKILL)
        for pid in it.wrappers():
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not it.wrappers())
        agent = it.start_agent(url=NOWHERE, machine="second")
        await eventually(lambda: held(it, 500) == "running")
        await gone(agent, signal.SIGKILL)
        it.start_agent(machine="second")
        crashed = await it.session(100, "crashed")
        assert (crashed.reason, crashed.restart.attempt) == ("host_restarted", 1)
        pending = await it.session(500, "pending")
        assert (pending.cause, pending.previous_session_id, pending.deployment_id) == ("host_boot", 100, 5)
        assert (await it.session(200, "crashed")).restart is None
        assert (await it.deployment("gave_up")).reason == "not_on_boot"
        assert held(it, 501) is None and it.words(300)[-1] == "stopped"


async def test_a_disk_on_another_machine_begins_nothing_before_the_broker_has_answered(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        agent = it.start_agent(machine="first", marks={"machine_id": "one"})
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await gone(agent, signal.SIGKILL)
        for pid in it.wrappers():
            os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not it.wrappers())
        moved = {"machine": "second", "marks": {"machine_id": "other"}}
        agent = it.start_agent(url=NOWHERE, **moved)
        await eventually(lambda: held(it, 100) == "crashed")
        await asyncio.sleep(5)  # longer than an agent waits for its lease
        assert held(it, 500) is None and "state_of_another_machine" in it.log()
        await gone(agent, signal.SIGKILL)
        agent = it.start_agent(**moved)
        await it.session(500, "running")
        await gone(agent, signal.SIGKILL)
        os.kill(it.game(500), signal.SIGKILL)
        it.start_agent(url=NOWHERE, **moved)
        await eventually(lambda: held(it, 501) == "running")


async def test_games_stopped_with_the_agent_begin_with_the_next_one(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        agent = it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await gone(agent, signal.SIGUSR1)
        assert (await it.session(100, "stopped")).exit_code == 0
        assert it.wrappers() == []
        it.start_agent()
        assert (await it.session(500, "pending")).cause == "host_boot"
        await it.session(500, "running")


async def test_an_outage_of_the_broker_costs_nothing_but_time(own_rabbitmq: RabbitMQ, roomy: Path) -> None:
    async with control(own_rabbitmq.url(), roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        own_rabbitmq.kill()
        for number in (100, 500, 501):
            await eventually(lambda number=number: held(it, number) == "running")  # type: ignore[misc]
            os.kill(it.game(number), signal.SIGKILL)
        await eventually(lambda: held(it, 502) == "running")
        await asyncio.to_thread(own_rabbitmq.start)
        async with it.listening_again():
            await it.session(502, "running")
            for number in (100, 500, 501):
                assert it.words(number) == ["pending", "starting", "running", "crashed"]
            assert len({journal for journal, _ in it.sequences()}) == 1
            numbers = list(dict.fromkeys(n for _, n in it.sequences()))
            assert numbers == list(range(1, len(numbers) + 1))


async def test_a_second_agent_with_the_same_identity_says_one_line_and_nothing_else(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.host("online")
        second = it.start_agent(state=roomy / "copy")
        await eventually(lambda: "another_agent_has_this_identity" in it.log())
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        assert it.log().count("another_agent_has_this_identity") == 1
        assert len({journal for journal, _ in it.sequences()}) == 1
        assert second.poll() is None
        assert not list((roomy / "copy" / "sessions").iterdir())


def about_to_begin(state: Path, launch: Launch) -> None:
    """A disk as it is between the write of a session that its agent begins by itself and the game's start."""
    number, deployment = SessionId(101), DeploymentId(launch.deployment_id)
    session = HeldSession(session_id=number, deployment_id=deployment, run=1, begun_version=1, leased=True)
    journal = Journal(state / "journal.db", HOST, chance=os.urandom)
    holdings = Holdings(journal)
    with journal.write():
        holdings.keep(session)
        holdings.keep(
            HeldDeployment(
                deployment_id=deployment,
                desired="running",
                desired_version=1,
                last_run=1,
                begun_version=1,
                session=number,
            )
        )
    journal.close()
    files.private(folder_of(state, deployment) / BEGUN, msgspec.json.encode(launch))


async def test_a_copy_of_a_disk_with_a_session_that_was_about_to_begin_does_not_begin_it_too(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.start_agent()
        await it.host("online")
        about_to_begin(roomy / "copy", demo(5))
        it.start_agent(state=roomy / "copy")
        await eventually(lambda: "another_agent_has_this_identity" in it.log())
        assert not list((roomy / "copy" / "sessions").iterdir())


async def test_a_session_that_was_about_to_begin_when_its_agent_died_begins_with_the_next_one(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        about_to_begin(it.state, demo(5))
        it.start_agent()
        await it.session(101, "running")


async def test_a_second_agent_on_one_state_folder_is_refused(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.start_agent()
        await it.host("online")
        second = it.start_agent()
        assert await asyncio.to_thread(second.wait, 60) != 0
        assert "another agent runs in" in it.log()


async def test_on_a_small_disk_a_start_is_refused_with_how_much_is_missing(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        disk = roomy / "disk"
        disk.mkdir()
        mounted = f'mount -t tmpfs -o size=100m,mode=711 tmpfs {disk} && exec "$@"'
        it.start_agent(state=disk / "host", within=["unshare", "-m", "sh", "-c", mounted, "sh"])
        await it.start(5, 100, run=1, version=1)
        crashed = await it.session(100, "crashed")
        assert crashed.reason == "disk_full" and "1024 MiB are needed" in crashed.detail


def fill(ballast: Path) -> None:
    """Leave no byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 22, 4096, 64):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"0" * size)


async def test_an_agent_whose_disk_fills_tells_of_an_exit_begins_nothing_and_goes_on_once_there_is_room(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5, restart=RestartPolicy(policy="on_crash", delay="1s", max_delay="2s", limit=100, window="600s")))
        disk = roomy / "disk"
        disk.mkdir()
        mounted = f'mount -t tmpfs -o size=1300m,mode=711 tmpfs {disk} && exec "$@"'
        agent = it.start_agent(state=disk / "host", within=["unshare", "-m", "sh", "-c", mounted, "sh"])
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        inside = Path(f"/proc/{agent.pid}/root{disk}")
        await asyncio.to_thread(fill, inside / "filler")
        [game] = [one for one in spool_reader.read_from(inside / "host/sessions/100", 0).records if one.kind == STATE][
            :1
        ]
        os.kill(game.said["game"], signal.SIGKILL)
        assert (await it.session(100, "crashed")).reason == "signalled"
        refused = await it.session(500, "crashed")
        assert refused.reason == "disk_full" and "1024 MiB are needed" in refused.detail
        (inside / "filler").unlink()
        back = await it.hear(lambda m: m.key.word == "running" and getattr(m.body, "session_id", 0) > 500, patience=60)
        assert getattr(back.body, "deployment_id", None) == 5
        assert agent.poll() is None
        left = it.wrappers(inside / "host")
        await gone(agent, signal.SIGKILL)
        for pid in left:
            os.kill(pid, signal.SIGKILL)


async def test_a_state_folder_on_a_full_disk_is_one_clear_line(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        disk = roomy / "disk"
        disk.mkdir()
        fill = (
            f"mount -t tmpfs -o size=1m,mode=711 tmpfs {disk} && {{ cat /dev/zero > {disk}/zero 2>/dev/null; true; }}"
        )
        agent = it.start_agent(state=disk / "host", within=["unshare", "-m", "sh", "-c", f'{fill} && exec "$@"', "sh"])
        assert await asyncio.to_thread(agent.wait, 60) != 0
        assert "is full; make room there" in it.log().splitlines()[-1]
