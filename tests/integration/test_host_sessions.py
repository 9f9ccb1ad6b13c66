"""Sessions through a real broker, the real wrapper and the demo game: begun, stopped, killed, restarted."""

import os
import signal
import socket
from pathlib import Path

import pytest
from contract.places import Place
from integration.host_control import control, demo

from manman.v1.types import RestartPolicy, StopSpec


@pytest.fixture(params=["rabbitmq", "postgresql"])
def on(request: pytest.FixtureRequest) -> Place:
    """Each implementation of the bus: the agent is built on either."""
    kind = str(request.param)
    fixture = {"rabbitmq": "rabbitmq_url", "postgresql": "database_url"}[kind]
    return Place(kind, request.getfixturevalue(fixture))


async def test_a_start_leads_to_running_and_a_stop_to_stopped(on: Place, roomy: Path) -> None:
    async with control(on, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        online = await it.host("online")
        assert online.lease == [] and online.boot == 1
        await it.start(5, 100, run=1, version=1)
        running = await it.session(100, "running")
        assert running.deployment_id == 5 and running.desired_version == 1
        await it.wish("stop", 5, "stopped", 2)
        stopped = await it.session(100, "stopped")
        assert (stopped.exit_code, stopped.desired_version) == (0, 2)
        assert it.words(100) == ["pending", "starting", "running", "stopping", "stopped"]


async def test_a_killed_game_is_back_by_policy_with_its_last_lines_told(on: Place, roomy: Path) -> None:
    async with control(on, roomy) as it:
        it.put(demo(5, secrets=["Ready"]))
        it.start_agent()
        await it.host("online")
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        os.kill(it.game(100), signal.SIGKILL)
        crashed = await it.session(100, "crashed")
        assert (crashed.signal, crashed.exit_code, crashed.reason) == (9, 137, "signalled")
        assert crashed.restart.attempt == 1 and crashed.restart.of == 5
        assert any("*** on 127.0.0.1" in line for line in crashed.tail)
        pending = await it.session(500, "pending")
        assert (pending.previous_session_id, pending.cause, pending.run) == (100, "restart_policy", 2)
        assert pending.launch == "digest-1"
        await it.session(500, "running")
        await it.tell("report")
        report = await it.host("report")
        assert report.lease == [(501, 549)]
        assert {said.session_id: said.status for said in report.sessions} == {100: "crashed", 500: "running"}
        assert report.deployments[0].last_run == 2


async def test_a_restart_is_one_command_and_a_crossing_stop_stops_the_new_session_too(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.host("online")
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await it.wish("restart", 5, "running", 2, fresh=2)
        pending = await it.session(500, "pending")
        assert (pending.previous_session_id, pending.cause, pending.desired_version) == (100, "restart", 2)
        assert (await it.session(100, "stopped")).exit_code == 0
        await it.session(500, "running")
        await it.wish("restart", 5, "running", 3, fresh=3)
        await it.wish("stop", 5, "stopped", 4)
        await it.session(500, "stopped")
        await it.tell("report", command_id="asked")
        report = (await it.hear(lambda m: getattr(m.body, "command_id", None) == "asked")).body
        assert [said.session_id for said in report.sessions if said.status in ("pending", "starting", "running")] == []


async def test_a_kill_ends_a_game_that_does_not_stop(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5, stop=StopSpec(command="hang", grace="600s")))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await it.wish("stop", 5, "stopped", 2)
        await it.session(100, "stopping")
        await it.wish("kill", 5, "stopped", 3)
        stopped = await it.session(100, "stopped")
        assert (stopped.reason, stopped.signal) == ("killed", 9)


async def test_a_stop_may_give_another_grace_than_the_config_and_a_shorter_one_later(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5, stop=StopSpec(command="hang", grace="600s")))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        await it.wish("stop", 5, "stopped", 2, grace=500.0)
        await it.session(100, "stopping")
        await it.wish("stop", 5, "stopped", 3, grace=0.5)
        stopped = await it.session(100, "stopped")
        assert (stopped.reason, stopped.signal) == ("killed", 9)
        assert "0.5 s" in stopped.detail


async def test_input_is_typed_once_though_the_command_comes_twice(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        async with it.viewer(100) as lines:
            await it.tell("input", session_id=100, line="say hello", command_id="one")
            await it.tell("input", session_id=100, line="say hello", command_id="one")
            await it.tell("input", session_id=100, line="say end", command_id="two")
            heard = await lines("end")
        said = [line.text for line in heard if "hello" in line.text and line.stream != "in"]
        assert len(said) == 1
        numbers = [line.n for line in heard]
        assert numbers == sorted(set(numbers))


async def test_an_old_start_is_refused_but_its_wish_is_heard(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5))
        it.start_agent()
        await it.wish("wish", 5, "stopped", 7)
        assert (await it.deployment("seen")).desired_version == 7
        await it.start(5, 100, run=1, version=6)
        refused = (await it.hear(lambda m: m.key.noun == "command")).body
        assert (refused.session_id, refused.desired_version) == (100, 7)  # type: ignore[union-attr]
        assert it.words(100) == []


async def test_a_game_that_crashes_again_and_again_is_given_up_with_the_limit(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        policy = RestartPolicy(policy="on_crash", delay="0.1s", max_delay="0.2s", limit=2, window="600s")
        it.put(demo(5, argv=["sh", "-c", "exit 3"], restart=policy, readiness=None))
        it.start_agent()
        await it.tell("lease", lease=[(500, 549)])
        await it.start(5, 100, run=1, version=1)
        given_up = await it.deployment("gave_up")
        assert (given_up.reason, given_up.desired_version) == ("limit", 1)
        assert [(await it.session(n, "crashed")).exit_code for n in (100, 500, 501)] == [3, 3, 3]
        assert (await it.session(501, "crashed")).restart is None


async def test_a_port_that_is_held_is_named(rabbitmq_url: str, roomy: Path) -> None:
    async with control(rabbitmq_url, roomy) as it:
        launch = demo(5)
        it.put(launch)
        it.start_agent()
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", launch.ports[0].port))
            holder.listen()
            await it.start(5, 100, run=1, version=1)
            crashed = await it.session(100, "crashed")
        assert crashed.reason == "port_taken" and f"port {launch.ports[0].port}/tcp" in crashed.detail
