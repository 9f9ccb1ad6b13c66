"""The rest of what an agent is told: end, drain, lease, tail, install, remove; and a start whose launch does not come."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from harness.wrapped import eventually, lives
from integration.host_control import control, demo


async def test_after_end_the_game_comes_back_under_another_id(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await it.tell("end", session_id=100)
        await it.session(100, "stopped")
        pending = await it.session(500, "pending")
        assert (pending.cause, pending.previous_session_id) == ("wish", 100)
        await it.session(500, "running")


async def test_a_draining_host_begins_nothing_by_itself(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.tell("host", draining=True, host_version=4)
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        os.kill(it.game(100), signal.SIGKILL)
        assert (await it.session(100, "crashed")).restart.attempt == 1
        await it.tell("report", command_id="drained")
        report = (await it.hear(lambda m: getattr(m.body, "command_id", None) == "drained")).body
        assert [said.session_id for said in report.sessions] == [100] and report.host_version == 4  # type: ignore[union-attr]
        await it.tell("host", draining=False, host_version=5)
        await it.session(500, "running")


async def test_without_a_lease_a_restart_waits_for_one(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        os.kill(it.game(100), signal.SIGKILL)
        await it.session(100, "crashed")
        await eventually(lambda: "no session id of the lease is left" in it.log())
        await it.hear(lambda m: m.key.noun == "host" and m.key.word == "online")  # it asks again: an answer may be lost
        await it.tell("lease", lease=[(500, 549)])
        await it.session(500, "running")


async def test_a_start_without_its_launch_waits_with_a_detail_and_is_over_in_its_time(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.start_agent()
        common = {"deployment_id": 5, "desired": "running", "fresh_version": 0}
        await it.tell("start", session_id=100, run=1, desired_version=1, within=60.0, **common)
        await it.hear(lambda m: getattr(m.body, "detail", None) == "the API is away")
        it.put(demo(5))
        await it.session(100, "running")
        await it.wish("stop", 5, "stopped", 2)
        await it.session(100, "stopped")
        (it.launches / "5.json").unlink()
        await it.tell("start", session_id=101, run=2, desired_version=3, within=0.5, deployment_version=9, **common)
        await eventually(lambda: "start_missed_its_time" in it.log())
        assert (await it.deployment("gave_up")).reason == "start_timeout"
        it.put(demo(5, version=9))
        await it.tell("report", command_id="late")
        report = (await it.hear(lambda m: getattr(m.body, "command_id", None) == "late")).body
        assert {said.session_id: said.status for said in report.sessions} == {100: "stopped"}  # type: ignore[union-attr]
        assert it.words(101) == ["pending"] and not it.wrappers()


async def test_a_newer_wish_is_begun_after_a_start_that_missed_its_time_and_nothing_is_given_up(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        common = {"deployment_id": 5, "desired": "running", "fresh_version": 0}
        await it.tell("start", session_id=100, run=1, desired_version=1, within=1.0, **common)
        await it.session(100, "pending")
        await it.wish("wish", 5, "running", 2)  # what is repeated where the start of version 2 was lost
        await eventually(lambda: "start_missed_its_time" in it.log())
        it.put(demo(5))
        await it.session(500, "running")
        assert not [m for m in it.said if (m.key.noun, m.key.word) == ("deployment", "gave_up")]


async def test_old_lines_are_published_again_with_their_numbers(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        async with it.viewer(100) as lines:
            await it.tell("tail", session_id=100, from_=1, limit=10)
            heard = await lines("Ready on")
        assert heard[0].n == 1 and heard[0].stream == "out" and heard[0].at is not None


async def test_an_answer_says_where_the_lines_end_also_where_there_are_none(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await it.tell("stop", deployment_id=5, session_id=100, desired="stopped", desired_version=2, fresh_version=0)
        await it.session(100, "stopped")
        async with it.answers(100) as answer:
            await it.tell("tail", session_id=100, from_=1, limit=1000)
            *lines, end = await answer()
            # Those that were just written may come on their own as well, under the same numbers.
            assert end > 0 and {line.n for line in lines} == set(range(1, end + 1))
            await it.tell("tail", session_id=100, from_=end + 1, limit=1000)
            assert (await answer())[-1] == end
        async with it.answers(4711) as answer:
            await it.tell("tail", session_id=4711, from_=1, limit=1000)
            assert await answer() == [0]


async def test_an_install_that_cannot_be_says_why(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5, debian=["no-such-game-anywhere"]))
        it.start_agent()
        await it.tell("install", deployment_id=5, deployment_version=1)
        failed = (await it.hear(lambda m: m.key.word == "install_failed", 100)).body
        assert "no-such-game-anywhere" in failed.detail and failed.deployment_version == 1  # type: ignore[union-attr]


def installs_again(state: Path) -> bool:
    """What the agent wrote down of its last install."""
    with closing(sqlite3.connect(state / "journal.db")) as journal:
        [(held,)] = journal.execute("SELECT held FROM deployments").fetchall()
    return bool(json.loads(held).get("install_again", False))


async def test_an_install_of_a_later_version_installs_again_though_the_command_that_said_so_was_lost(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.tell("install", deployment_id=5, deployment_version=1)
        await it.deployment("ready")
        await it.tell("install", deployment_id=5, deployment_version=1)
        await it.tell("report", command_id="repeated")
        await it.hear(lambda m: getattr(m.body, "command_id", None) == "repeated")
        assert not installs_again(it.state)
        await it.tell("install", deployment_id=5, deployment_version=2)
        await it.hear(lambda m: m.key.word == "ready" and getattr(m.body, "deployment_version", 0) == 2)
        assert installs_again(it.state)


async def test_what_is_removed_is_stopped_and_its_folder_goes(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.tell("install", deployment_id=5, deployment_version=1)
        await it.deployment("ready")
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        game, folder = it.game(100), it.state / "deployments" / "5"
        assert (folder / "data").is_dir()
        await it.tell("remove", deployment_id=5)
        await it.deployment("removed")
        await eventually(lambda: not lives(game))
        assert not folder.exists()
        await it.tell("remove", deployment_id=5)
        await it.tell("report", command_id="after")
        await it.hear(lambda m: getattr(m.body, "command_id", None) == "after")


async def test_a_command_that_nobody_can_read_holds_nothing_up(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.raw("command.host.1.start", b'{"command_id": "x", "session_id": "nonsense"}')
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        assert "command_not_understood" in it.log()
