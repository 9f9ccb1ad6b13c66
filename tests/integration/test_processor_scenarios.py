"""What hosts say, through the real broker and the real database, to rows and external events."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from contract.places import Place
from integration.processor_house import SILENT_SOON, House, house

from manman.events import codec, contracts, envelope, topics
from manman.events.codec import Message


@pytest.fixture(params=["rabbitmq", "postgresql"])
def place(request: pytest.FixtureRequest, database_url: str) -> Place:
    """Each bus in turn; the tables are in one database."""
    kind = str(request.param)
    return Place(kind, request.getfixturevalue("rabbitmq_url") if kind == "rabbitmq" else database_url)


@pytest.fixture
async def home(place: Place, database_url: str) -> AsyncIterator[House]:
    async with house(place, database_url) as running:
        yield running


@pytest.fixture
async def strict_home(place: Place, database_url: str) -> AsyncIterator[House]:
    """Two seconds of silence make a host stale."""
    async with house(place, database_url, **SILENT_SOON) as running:
        yield running


async def test_a_session_that_runs_and_stops_within_one_batch_keeps_when_it_came_to_run(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    async with home.pool.transaction() as conn:
        await conn.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")  # nothing is applied until all of it is there
        await agent.session(session, "starting", "running", "stopping")
        await asyncio.sleep(1)
    await home.until_status(session, "stopping")
    times = await home.rows("SELECT starting_at, started_at, stopping_at FROM sessions WHERE id = $1", session)
    assert None not in times[0] and list(times[0]) == sorted(times[0])


async def test_a_host_comes_says_goodbye_and_comes_back(home: House) -> None:
    agent = await home.host()
    await agent.say("host", "online", agent_version="1.0")
    assert (await home.until_event("manman.host.online", host_id=agent.id))["host"] == "host-1"
    lease = await home.until_command(agent.id, "lease")
    assert sum(last - first + 1 for first, last in lease["lease"]) == 50
    await home.until_command(agent.id, "report")
    await agent.say("host", "offline")
    event = await home.until_event("manman.host.offline", host_id=agent.id)
    assert event["previous_status"] == "online"
    agent.boot += 1
    await agent.heartbeat()

    async def back() -> bool:
        return [e["type"] for e in home.events].count("manman.host.online") == 2

    await home.until("online again", back)
    words = await home.rows("SELECT number, to_status FROM host_history WHERE host = $1 ORDER BY number", agent.id)
    assert words == [(1, "online"), (2, "offline"), (3, "online")]


async def test_a_session_lives_from_pending_to_stopped_with_its_times(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    session = await home.session(deployment)
    await agent.session(session, "pending", "starting", "running", "stopping")
    await agent.session(session, "stopped", exit_code=0, reason="exited")
    await home.until_status(session, "stopped")
    assert await home.history(session) == ["pending", "starting", "running", "stopping", "stopped"]
    times = await home.rows(
        "SELECT starting_at, started_at, stopping_at, ended_at FROM sessions WHERE id = $1", session
    )
    assert None not in times[0] and list(times[0]) == sorted(times[0])
    running = await home.until_event("manman.session.running", session_id=session)
    assert running["endpoints"] == [
        {
            "name": "game",
            "protocol": "udp",
            "address": "192.0.2.1",
            "port": 20000 + deployment,
            "join_url": f"game:192.0.2.1:{20000 + deployment}",
        }
    ]
    assert (running["game"], running["config"], running["labels"]) == ("game-deployment-2", "dm", {"team": "blue"})
    stopped = await home.until_event("manman.session.stopped", session_id=session)
    assert (stopped["exit_code"], stopped["previous_status"]) == (0, "stopping")


async def test_a_crash_is_announced_once_with_its_code_and_last_lines_though_reported_twice(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await agent.session(session, "starting", "running")
    crash: dict[str, Any] = {
        "session_id": session,
        "exit_code": 137,
        "signal": 9,
        "reason": "killed",
        "tail": ["loading", "boom"],
        "restart": {"attempt": 1, "of": 5},
    }
    first = await agent.say("session", "crashed", **crash)
    await home.publish(first)
    await agent.say("session", "crashed", **crash)
    await home.until_settled(agent)
    event = await home.until_event("manman.session.crashed", session_id=session)
    assert (event["exit_code"], event["signal"], event["tail"]) == (137, 9, ["loading", "boom"])
    assert event["restart"]["attempt"] == 1
    assert await home.history(session) == ["pending", "starting", "running", "crashed"]
    assert await home.value("SELECT count(*) FROM events WHERE type = 'manman.session.crashed'") == 1
    assert await home.value("SELECT tail FROM crash_reports WHERE session = $1", session) == ["loading", "boom"]


async def test_hosts_that_fall_silent_are_found_together_and_their_sessions_are_unreachable(
    strict_home: House,
) -> None:
    home = strict_home
    agents = [await home.host() for _ in range(12)]
    session = await home.session(await home.deployment(agents[0]))
    await agents[0].session(session, "starting", "running")
    await home.until_status(session, "running")
    for agent in agents:
        await agent.heartbeat()

    first = [agent.id for agent in agents[:3]]

    async def silent_but_three() -> bool:
        await asyncio.gather(*(agent.heartbeat() for agent in agents[3:]))
        marked = "SELECT count(*) FROM host_history WHERE to_status = 'stale' AND host = ANY ($1)"
        return bool(await home.value(marked, first) == 3)

    await home.until("the first three of twelve marked", silent_but_three)
    for agent in agents[:3]:
        event = await home.until_event("manman.host.stale", host_id=agent.id)
        assert (event["status"], event["threshold"], event["mass"]) == ("stale", 2.0, False)
    assert (await home.until_event("manman.session.unreachable", session_id=session))["previous_status"] == "running"
    assert await home.status(session) == "running"
    await agents[0].heartbeat()
    back = await home.until_event("manman.host.online", host_id=agents[0].id, previous_status="stale")
    assert back["silent_for"] > 2
    await home.until_event("manman.session.reachable", session_id=session)


async def test_heartbeats_count_by_boot_and_beat_and_bring_statistics(home: House) -> None:
    agent = await home.host()
    counts = {"total": 2, "running": 2}
    await agent.heartbeat(
        sessions=counts, live={"count": 2, "xor": 3}, cpu=0.5, memory={"used": 1, "total": 2}, players=7
    )

    async def beaten() -> list[tuple[Any, ...]]:
        return await home.rows("SELECT boot, beat, live_count, live_xor FROM host_heartbeats WHERE beat > 0")

    assert await home.until("a beat", beaten) == [(1, 1, 2, 3)]
    assert await home.value("SELECT players FROM host_samples WHERE host = $1", agent.id) == 7
    agent.boot, agent.beat = 3, 0
    await agent.heartbeat()

    async def newer() -> bool:
        return bool(await home.value("SELECT boot = 3 FROM host_heartbeats"))

    await home.until("the newer boot", newer)
    agent.boot, agent.beat = 2, 99
    await agent.heartbeat()
    assert (await home.until_command(agent.id, "report", boot=3))["boot"] == 3
    assert await home.rows("SELECT boot, beat FROM host_heartbeats") == [(3, 1)]


async def test_every_message_goes_to_bytes_and_back(home: House) -> None:
    at = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    bodies: list[tuple[str, Any]] = [
        ("status.host.online.3", contracts.HostOnline(host_id=3, status="online", boot=1, lease=[(1, 5)])),  # type: ignore[arg-type]
        ("status.host.offline.3", contracts.HostOffline(host_id=3, status="offline", boot=1)),  # type: ignore[arg-type]
        ("status.host.report.3", contracts.HostReport(host_id=3, status="report", boot=2)),  # type: ignore[arg-type]
        ("status.session.crashed.3", contracts.SessionStatus(session_id=9, status="crashed", tail=["ä"])),  # type: ignore[arg-type]
        ("status.command.refused.3", contracts.CommandRefused(command_id="c", reason="superseded")),
        ("status.deployment.ready.3", contracts.DeploymentStatus(deployment_id=4, status="ready")),  # type: ignore[arg-type]
        ("status.deployment.seen.3", contracts.DeploymentSeen(deployment_id=4, desired_version=7, status="seen")),  # type: ignore[arg-type]
        ("health.heartbeat.3", contracts.Heartbeat(host_id=3, boot=1, beat=2)),  # type: ignore[arg-type]
        ("health.pulse", contracts.Pulse(at=at)),
    ]
    agent = await home.host()
    for key, body in bodies:
        source = envelope.journal_source(agent.id, "j")
        attributes = envelope.attributes(id="e", source=source, type="t", time=at, sequence=1) if "3" in key else None
        host = topics.parse(key).host_id
        if attributes is not None and host is not None:
            attributes = envelope.attributes(
                id="e", source=envelope.journal_source(host, "j"), type="t", time=at, sequence=1
            )
        message = Message(key=topics.parse(key), body=body, attributes=attributes, host_id=host)
        assert codec.decode(*codec.encode(message)) == message


async def test_unknown_hosts_and_sessions_are_dead_letters_and_the_next_message_is_applied(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await home.plain("status.session.running.999999", msgspec.json.encode({"session_id": 1}))
    await agent.say("session", "running", session_id=999999)
    await agent.say("session", "starting", session_id=session)
    await home.until_status(session, "starting")
    reasons = [row[0] for row in await home.until_dead(2)]
    assert reasons == ["unknown_host", "unknown_session"]


async def test_a_run_counts_from_the_first_word_of_its_host_whatever_that_says_of_the_wish(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    for run, wish in enumerate([{"desired_version": 1}, {}], start=1):
        session = await home.session(deployment)
        assert await home.rows("SELECT last_run FROM deployments") == [(run - 1,)]
        await home.execute("UPDATE deployments SET seen_version = desired_version")
        await agent.say("session", "pending", session_id=session, **wish)
        await home.until_settled(agent)
        assert await home.rows("SELECT last_run FROM deployments") == [(run,)]
        await agent.session(session, "crashed", exit_code=1, reason="exited")
        await home.until_status(session, "crashed")


async def test_a_multi_step_workflow_over_two_sessions_of_one_deployment(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    first = await home.session(deployment)
    await agent.say("host", "online")
    lease = await home.until_command(agent.id, "lease")
    await agent.session(first, "starting", "running")
    await agent.session(first, "crashed", exit_code=1, reason="exited")
    second = lease["lease"][0][0]
    await agent.say(
        "session", "pending", session_id=second, deployment_id=deployment, run=2, previous_session_id=first,
        cause="restart_policy", desired_version=1,
    )  # fmt: skip
    await agent.session(second, "starting", "running")
    await home.until_status(second, "running")
    query = "SELECT previous_session_id, run, cause FROM sessions WHERE id = $1"
    assert await home.rows(query, second) == [(first, 2, "restart_policy")]
    assert await home.rows("SELECT last_run, last_session, seen_version FROM deployments") == [(2, second, 1)]
    assert not await home.value("SELECT ids @> $1::bigint FROM session_leases", second)
    await home.until_event("manman.session.running", session_id=second)
    types = [e["type"] for e in home.events if e["type"].startswith("manman.session")]
    assert types[:2] == ["manman.session.running", "manman.session.crashed"]
