"""Bad input, repetition, culprits and outages: nothing is lost, nothing counts twice, nobody waits for somebody else's mistake."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import structlog
from contract.places import Place
from integration.processor_house import SILENT_SOON, House, house
from msgspec.structs import replace

from manman.events import topics, topology
from manman.events.bus import Outgoing
from manman.processor import fold_sessions
from manman.store import batches


@pytest.fixture(params=["rabbitmq", "postgresql"])
def place(request: pytest.FixtureRequest, database_url: str) -> Place:
    kind = str(request.param)
    return Place(kind, request.getfixturevalue("rabbitmq_url") if kind == "rabbitmq" else database_url)


@pytest.fixture
async def home(place: Place, database_url: str) -> AsyncIterator[House]:
    async with house(place, database_url) as running:
        yield running


async def test_plain_flat_bodies_without_a_header_are_understood(home: House) -> None:
    agent = await home.host(queue=False)
    session = await home.session(await home.deployment(agent))
    await home.plain("status.host.online", msgspec.json.encode({"server_id": agent.id}))
    await home.plain("status.session.starting", msgspec.json.encode({"session_id": session}))
    await home.plain("status.session.running", b'{"session_id": %d, "status": "running"}' % session)
    await home.plain("health.heartbeat", b'{"host_id": %d, "sessions": {"total": 1}}' % agent.id)
    await home.until_event("manman.host.online", host_id=agent.id)
    await home.until_event("manman.session.running", session_id=session)
    await home.plain("status.session.crashed", b'{"session_id": %d, "exit_code": 1}' % session)
    await home.until_status(session, "crashed")
    assert await home.value("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.parametrize(
    ("key", "body", "named"),
    [
        ("status.session.running", b"{", "body"),
        ("status.session.running", b"{}", "session_id"),
        ("status.session.running", b'{"session_id": "seven"}', "session_id"),
        ("status.session.running", b'{"session_id": 1, "status": "stopped"}', "status"),
        ("status.session.paused", b'{"session_id": 1}', "key"),
        ("status.host.online.3", b'{"host_id": 4}', "host_id"),
        ("status.session.crashed", b'{"session_id": 1, "detail": "\\u0000"}', "detail"),
    ],
)
async def test_a_malformed_message_is_a_dead_letter_that_names_the_field_and_the_next_is_applied(
    rabbitmq_url: str, database_url: str, key: str, body: bytes, named: str
) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        await home.plain(key, body)
        await agent.say("session", "starting", session_id=session)
        await home.until_status(session, "starting")
        [(reason, detail, kept)] = await home.until_dead(1)
        assert (reason, kept) == ("malformed", key)
        assert named in detail
        assert await home.value("SELECT body FROM dead_letters") == body


async def test_a_malformed_body_has_its_number_settled_and_is_one_dead_letter_however_often_it_comes(
    home: House,
) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    sound = agent.message("session", "starting", {"session_id": session})
    broken = agent.message("session", "running", {"session_id": "seven"})
    unknown = agent.message("session", "running", {"session_id": session})
    unknown = replace(unknown, key=f"status.session.paused.{agent.id}")
    await home.publish(sound, broken, unknown, broken, unknown)
    await agent.say("session", "running", session_id=session)
    await home.until_status(session, "running")
    rows = await home.rows("SELECT reason, host, journal, sequence, event_id FROM dead_letters ORDER BY id")
    ids = [broken.message_id, unknown.message_id]
    assert rows == [("malformed", agent.id, agent.journal, n, id) for n, id in zip((2, 3), ids, strict=True)]
    assert await home.value("SELECT seen::text FROM host_journals") == "{[1,5)}"


async def test_what_may_lie_about_whose_journal_it_is_settles_nothing(home: House) -> None:
    liar, other = await home.host(), await home.host()
    told = other.message("session", "starting", {"session_id": 1})
    await home.publish(replace(told, key=f"status.session.starting.{liar.id}"))
    await home.until_dead(1)
    assert await home.rows("SELECT host, journal, sequence FROM dead_letters") == [(None, None, None)]
    assert await home.value("SELECT count(*) FROM host_journals WHERE seen <> '{}'") == 0


async def test_a_duplicate_has_no_effect_and_a_late_message_fills_its_hole(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    first = agent.message("session", "starting", {"session_id": session})
    second = agent.message("session", "running", {"session_id": session})
    third = agent.message("session", "crashed", {"session_id": session, "exit_code": 1})
    await home.publish(first, second, first, second, first)
    await home.until_status(session, "running")
    await home.publish(third, second, third, first)
    await home.until_status(session, "crashed")
    assert await home.history(session) == ["pending", "starting", "running", "crashed"]
    late = agent.message("deployment", "seen", {"deployment_id": 1, "desired_version": 1}, sequence=5)
    await home.publish(late)
    await home.until_settled(agent, 5)
    assert await home.value("SELECT seen::text FROM host_journals") == "{[1,4),[5,6)}"
    await home.publish(replace(late, headers=dict(late.headers) | {"cloudEvents:sequence": "4"}))
    await home.until_settled(agent, 4)
    assert await home.value("SELECT seen::text FROM host_journals") == "{[1,6)}"
    assert await home.value("SELECT count(*) FROM dead_letters") == 0


@pytest.fixture
async def strict_home(place: Place, database_url: str) -> AsyncIterator[House]:
    """Two seconds without progress or a heartbeat count as too long."""
    async with house(place, database_url, **SILENT_SOON) as running:
        yield running


async def test_a_hole_without_progress_asks_for_a_report_which_closes_it(strict_home: House) -> None:
    home = strict_home
    agent = await home.host()
    deployment = await home.deployment(agent)
    session = await home.session(deployment)
    await agent.heartbeat()
    agent.message("session", "starting", {"session_id": session})  # never sent
    await agent.say("deployment", "seen", deployment_id=deployment, desired_version=1)
    asked = await home.until_command(agent.id, "report")

    async def beat_until_asked() -> bool:
        await agent.heartbeat(journal_id=agent.journal, sequence=agent.sequence)
        return len([1 for verb, _ in home.commands[agent.id] if verb == "report"]) >= 2

    await home.until("a report asked for because of the hole", beat_until_asked)
    said = {"session_id": session, "deployment_id": deployment, "status": "running", "run": 1}
    await agent.say("host", "report", command_id=asked["command_id"], sessions=[said])
    await home.until_status(session, "running")
    assert await home.history(session) == ["pending", "starting", "running"]
    assert await home.value("SELECT seen::text FROM host_journals") == "{[1,4)}"


async def test_a_silent_host_leaves_once_though_it_says_goodbye_late_and_returns_once(strict_home: House) -> None:
    home = strict_home
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await agent.heartbeat()
    await home.until_event("manman.host.stale", host_id=agent.id)
    await agent.say("host", "offline")
    await home.until_settled(agent)
    assert await told(home) == ["host.online", "host.stale", "session.unreachable"]
    agent.boot, agent.beat = 2, 0
    await agent.heartbeat()
    back = await home.until_event("manman.host.online", host_id=agent.id, previous_status="offline")
    assert back["silent_for"] > 0
    await home.until_event("manman.session.reachable", session_id=session)
    assert await told(home) == ["host.online", "host.stale", "session.unreachable", "host.online", "session.reachable"]
    history = await home.rows("SELECT from_status, to_status FROM host_history ORDER BY number")
    assert history == [("new", "online"), ("online", "stale"), ("stale", "offline"), ("offline", "online")]


async def test_a_plain_publishers_host_that_fell_silent_returns_with_its_sessions(strict_home: House) -> None:
    home = strict_home
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await agent.heartbeat(boot=None)
    await home.until_event("manman.host.stale", host_id=agent.id)
    await agent.heartbeat(boot=None)
    await home.until_event("manman.host.online", host_id=agent.id, previous_status="stale")
    await home.until_event("manman.session.reachable", session_id=session)


async def told(home: House) -> list[str]:
    """What `external` may hear of hosts and of whether sessions can be reached, in order; also what still waits."""
    rows = await home.rows(
        "SELECT type FROM (SELECT type, 0 AS waits, position AS place FROM events UNION ALL SELECT type, 1, id FROM outbox) AS said"
        " WHERE type LIKE 'manman.host.%' OR type LIKE 'manman.session.%reachable' ORDER BY waits, place"
    )
    return [row[0].removeprefix("manman.") for row in rows]


async def test_a_skipped_state_is_a_dead_letter_and_a_foreign_one_too(home: House) -> None:
    mine, other = await home.host(), await home.host()
    session = await home.session(await home.deployment(mine))
    await mine.say("session", "stopping", session_id=session)
    await other.say("session", "starting", session_id=session)
    rows = await home.until_dead(2)
    assert {row[0] for row in rows} == {"skipped_state", "foreign"}
    assert any("pending" in row[1] and "stopping" in row[1] for row in rows)
    await home.until_command(mine.id, "report")
    assert await home.status(session) == "pending"


async def test_each_dead_letter_and_each_late_status_is_told_by_a_line(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    with structlog.testing.capture_logs() as logs:
        skipped = await agent.say("session", "stopping", session_id=session)
        await agent.session(session, "starting", "running")
        late = await agent.say("session", "starting", session_id=session)
        await home.until_settled(agent)

        async def told() -> bool:
            return {"dead_letter", "late_event"} <= {line["event"] for line in logs}

        await home.until("both lines", told)
    [letter] = [line for line in logs if line["event"] == "dead_letter"]
    assert (letter["log_level"], letter["reason"], letter["host_id"]) == ("warning", "skipped_state", agent.id)
    assert (letter["key"], letter["event_id"]) == (skipped.key, skipped.message_id)
    [line] = [line for line in logs if line["event"] == "late_event"]
    assert (line["event_id"], line["detail"]) == (
        late.message_id, f"session {session} is running, its host said starting",
    )  # fmt: skip


async def test_a_session_begun_under_an_id_that_is_not_leased_is_ended_and_leased_anew(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await agent.say(
        "session",
        "pending",
        session_id=5000,
        deployment_id=deployment,
        run=1,
        cause="restart_policy",
        desired_version=0,
    )
    [(reason, _, _)] = await home.until_dead(1)
    assert reason == "id_not_leased"
    assert (await home.until_command(agent.id, "end"))["session_id"] == 5000
    await home.until_command(agent.id, "lease")


async def test_a_game_whose_id_a_restored_database_has_forgotten_is_not_ended(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE installation SET epoch = 2")
    said = {"session_id": 5000, "deployment_id": deployment, "run": 1}
    await agent.say("session", "pending", **said, cause="restart_policy", desired_version=0)
    await agent.say("host", "report", sessions=[{**said, "status": "running"}], lease=[[5001, 5060]])
    await home.until_status(5000, "running")
    assert await home.history(5000) == ["pending", "starting", "running"]
    assert (await home.until_command(agent.id, "lease"))["lease"] == [[5001, 5060]]
    # From its report on it is believed no more than others.
    await agent.say("session", "pending", session_id=7000, deployment_id=deployment, run=2, cause="restart_policy")
    await home.until_command(agent.id, "end", session_id=7000)
    assert {body["session_id"] for verb, body in home.commands[agent.id] if verb == "end"} == {7000}


async def test_a_session_that_ends_just_now_is_not_said_to_be_reachable_afterwards(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    async with home.pool.transaction() as looks:
        async with home.pool.transaction() as ends:
            await ends.execute("UPDATE sessions SET status = 'crashed', ended_at = clock() WHERE id = $1", session)
            looking = asyncio.ensure_future(batches.lock_live_on_hosts(looks, [agent.id]))
            await asyncio.wait({looking}, timeout=0.3)
            assert not looking.done()
        assert await looking == []


async def test_a_refused_start_ends_superseded(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    session = await home.session(deployment)
    await agent.say("command", "refused", command_id="i", reason="input_refused", session_id=session)
    await home.until_settled(agent)
    assert await home.status(session) == "pending"
    await agent.say(
        "command", "refused", command_id="c", reason="superseded", session_id=session, deployment_id=deployment,
        desired_version=1,
    )  # fmt: skip
    await home.until_status(session, "stopped")
    assert await home.history(session) == ["pending", "stopping", "stopped"]
    assert await home.value("SELECT reason FROM sessions WHERE id = $1", session) == "superseded"


async def test_a_poison_message_waits_alone_and_its_neighbours_arrive_in_order(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, sound = await home.host(), await home.host()
    poisoned = await home.session(await home.deployment(sick))
    healthy = await home.session(await home.deployment(sound))
    really = fold_sessions.said

    def poison(world: Any, message: Any, body: Any) -> Any:
        if body.detail == "poison":
            raise ZeroDivisionError("a bug of ours")
        return really(world, message, body)

    monkeypatch.setattr(fold_sessions, "said", poison)
    await home.publish(
        sound.message("session", "starting", {"session_id": healthy}),
        sick.message("session", "starting", {"session_id": poisoned}),
        sick.message("session", "running", {"session_id": poisoned, "detail": "poison"}),
        sound.message("session", "running", {"session_id": healthy}),
        sick.message("session", "crashed", {"session_id": poisoned, "exit_code": 2}),
    )
    await home.until_status(healthy, "running")
    [(reason, detail, _)] = await home.until_dead(1)
    assert reason == "bug"
    assert "ZeroDivisionError" in detail
    await home.until_status(poisoned, "crashed")
    assert await home.history(poisoned) == ["pending", "starting", "crashed"]
    await home.until_settled(sick)


async def test_a_dead_letter_is_applied_by_its_replay_and_closed(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await agent.say("session", "starting", session_id=77)
    await home.until_dead(1)
    await home.execute(
        "INSERT INTO sessions (id, host, deployment, run, created_at, at, config, config_revision, history_number)"
        " SELECT 77, host, id, 1, clock(), clock(), config, config_revision, 1 FROM deployments WHERE id = $1",
        deployment,
    )
    await home.execute(
        "INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)"
        " VALUES (77, 1, 'pending', clock(), clock(), 'user')"
    )
    [(number, key, body)] = await home.rows("SELECT id, key, body FROM dead_letters")
    await home.execute(
        "INSERT INTO outbox (event_id, type, exchange, key, body, headers, host, created_at)"
        " VALUES (gen_random_uuid(), 'manman.replay', 'manman', $1, $2, $3, $4, clock())",
        key,
        msgspec.json.decode(body),
        {"dead-letter": str(number), "host": str(agent.id)},
        agent.id,
    )
    await home.until_status(77, "starting")
    assert await home.value("SELECT replayed_at IS NOT NULL FROM dead_letters")


async def replay(home: House, number: int, *, key: str, body: bytes, headers: dict[str, Any] | None = None) -> None:
    """What the API makes of an operator's `replay`."""
    await home.execute(
        "INSERT INTO outbox (event_id, type, exchange, key, body, headers, created_at)"
        " VALUES (gen_random_uuid(), 'manman.dead_letter.replayed', 'manman', $1, $2, $3, clock())",
        key,
        msgspec.json.decode(body),
        {**(headers or {}), "dead-letter": str(number)},
    )


async def until_told_anew(home: House, number: int) -> str:
    """What the row says once its replay was refused."""
    await home.execute("UPDATE dead_letters SET detail = 'not yet' WHERE id = $1", number)

    async def told_anew() -> str | None:
        said = str(await home.value("SELECT detail FROM dead_letters WHERE id = $1", number))
        return said if said != "not yet" else None

    return str(await home.until("a replay that is refused", told_anew))


async def test_a_replay_is_judged_with_the_host_of_its_row(home: House) -> None:
    mine, other = await home.host(), await home.host()
    session = await home.session(await home.deployment(mine))
    await other.say("session", "starting", session_id=session)
    await other.say("session", "starting", session_id=99)
    await home.until_dead(2)
    numbers = [n for (n,) in await home.rows("SELECT id FROM dead_letters ORDER BY id")]
    # What a host of another name sent: nothing but its row says so.
    body = b'{"session_id": %d}' % session
    await replay(home, numbers[0], key=f"status.session.starting.{mine.id}", body=body)
    assert (await until_told_anew(home, numbers[0])).startswith(f"foreign: session {session} belongs to host {mine.id}")
    body = b'{"host_id": %d, "boot": 9}' % mine.id
    await replay(home, numbers[1], key=f"status.host.offline.{mine.id}", body=body)
    assert (await until_told_anew(home, numbers[1])).startswith("foreign: ")
    assert await home.status(session) == "pending"
    assert await home.value("SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL AND replay_id IS NULL") == 2


async def test_a_replay_that_comes_after_its_row_was_closed_or_dropped_has_no_effect(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await agent.say("session", "stopping", session_id=session)
    await agent.say("session", "stopping", session_id=session)
    await home.until_dead(2)
    numbers = [n for (n,) in await home.rows("SELECT id FROM dead_letters ORDER BY id")]
    await home.execute("UPDATE dead_letters SET replayed_at = clock() WHERE id = $1", numbers[0])
    await home.execute("DELETE FROM dead_letters WHERE id = $1", numbers[1])
    for number in numbers:
        await replay(home, number, key=f"status.session.starting.{agent.id}", body=b'{"session_id": %d}' % session)
    await home.until("both replays on their way", lambda: no_outbox(home))
    await agent.say("deployment", "seen", deployment_id=1, desired_version=1)
    await home.until_settled(agent)
    assert await home.status(session) == "pending"


async def no_outbox(home: House) -> bool:
    return bool(await home.value("SELECT count(*) = 0 FROM outbox"))


async def test_a_report_that_comes_again_after_newer_messages_undoes_nothing(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    old = agent.message("host", "report", {"host_id": agent.id, "boot": 1, "sessions": []})
    await home.publish(replace(old, body=b'{"host_id": %d, "boot": 1, "sessions": 7}' % agent.id))
    await home.until_dead(1)
    await agent.session(session, "starting", "running")
    await home.until_status(session, "running")
    number = await home.value("SELECT id FROM dead_letters")
    for headers in (dict(old.headers), {}):
        await home.execute("UPDATE dead_letters SET replayed_at = NULL")
        await replay(home, number, key=old.key, body=old.body, headers=headers)

        async def closed() -> bool:
            return bool(await home.value("SELECT replayed_at IS NOT NULL FROM dead_letters"))

        await home.until("the report is settled", closed)
        assert await home.status(session) == "running"
        assert await home.value("SELECT count(*) FROM reports_due WHERE host = $1", agent.id) == 1


async def test_two_replicas_apply_each_message_once(place: Place, database_url: str) -> None:
    async with house(place, database_url) as home, house(place, database_url, recorder="second") as other:
        agent = await home.host()
        sessions = [await home.session(await home.deployment(agent)) for _ in range(10)]
        for session in sessions:
            await agent.session(session, "starting", "running")
            await agent.session(session, "crashed", exit_code=1)
        for session in sessions:
            await home.until_status(session, "crashed")
            await home.until_event("manman.session.crashed", session_id=session)
            assert await home.history(session) == ["pending", "starting", "running", "crashed"]
        assert sorted([bool(home.leads()), bool(other.leads())]) == [False, True]
        assert await home.value("SELECT count(*) FROM events WHERE type = 'manman.session.crashed'") == 10


async def test_a_replica_that_applied_but_never_acked_changes_nothing_when_it_wakes(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    messages = [agent.message("session", word, {"session_id": session}) for word in ("starting", "running")]
    await home.publish(*messages)
    await home.until_status(session, "running")
    await home.publish(*[replace(m, headers=dict(m.headers)) for m in messages])
    await agent.say("session", "crashed", session_id=session, exit_code=9)
    await home.until_status(session, "crashed")
    assert await home.history(session) == ["pending", "starting", "running", "crashed"]


async def test_a_missing_command_queue_of_one_host_holds_up_nobody_else(home: House) -> None:
    lonely, other = await home.host(queue=False), await home.host()
    deployments = [await home.deployment(agent) for agent in (lonely, other)]
    for agent in (lonely, other):
        await agent.heartbeat()
    for deployment in deployments:
        await home.execute("UPDATE deployments SET desired_version = 1, sent_at = NULL WHERE id = $1", deployment)

    async def beaten_and_told() -> bool:
        await lonely.heartbeat()
        await other.heartbeat()
        return any(verb == "wish" for verb, _ in home.commands.get(other.id, []))

    await home.until("the wish of the other host", beaten_and_told)
    await home.bus.declare(topology.host(lonely.id))

    async def told_at_last() -> bool:
        await lonely.heartbeat()
        return any(verb == "wish" for verb, _ in home.commands.get(lonely.id, []))

    await home.until("the wish of the lonely host", told_at_last)


async def test_a_start_that_comes_to_nothing_is_ended_and_its_wish_taken_back(place: Place, database_url: str) -> None:
    async with house(place, database_url, stale_host_threshold_seconds=1) as home:
        agent = await home.host()
        deployment = await home.deployment(agent)
        await agent.heartbeat()
        await agent.say("host", "report")
        await home.execute("UPDATE deployments SET last_run = 0")
        session = await home.session(deployment, deadline=timedelta(seconds=1))

        async def ended() -> bool:
            await agent.heartbeat(journal_id=agent.journal, sequence=agent.sequence)
            await asyncio.sleep(0.2)
            return await home.status(session) == "crashed"

        await home.until("start_timeout", ended)
        assert await home.value("SELECT reason FROM sessions WHERE id = $1", session) == "start_timeout"
        assert await home.rows("SELECT desired, desired_version FROM deployments") == [("stopped", 2)]
        await home.until_command(agent.id, "wish", desired="stopped", desired_version=2)


async def test_live_sessions_that_differ_from_the_rows_are_a_stray_or_crashed_by_the_report(home: House) -> None:
    agent = await home.host()
    session = await home.session(await home.deployment(agent))
    await agent.session(session, "starting", "running")
    await home.until_status(session, "running")
    stranger = {"session_id": 4711, "deployment_id": 999, "status": "running", "run": 3}
    await agent.say("host", "report", sessions=[stranger])
    await home.until_status(session, "crashed")
    assert await home.value("SELECT reason FROM sessions WHERE id = $1", session) == "unknown"
    assert await home.rows("SELECT host, session, deployment FROM strays") == [(agent.id, 4711, 999)]


async def test_nothing_else_reaches_external(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await agent.say("deployment", "ready", deployment_id=deployment, deployment_version=1)
    await agent.say("host", "online")
    await home.until_event("manman.host.online", host_id=agent.id)
    assert {e["type"] for e in home.events} == {"manman.host.online"}
    foreign = Outgoing(exchange=topics.INTERNAL, key="health.nonsense", body=b"{}")
    await home.publish(foreign)
    assert await home.value(
        "SELECT count(*) FROM events WHERE position <= (SELECT value FROM counters WHERE name = 'events')"
    )


async def test_a_restored_database_takes_over_what_its_hosts_know_and_begins_a_new_epoch(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    before = await home.value("SELECT last_value FROM sessions_id_seq")
    epoch = await home.value("SELECT epoch FROM installation")
    version = epoch * 2**32 + 40
    held = {
        "deployment_id": deployment,
        "desired": "running",
        "desired_version": version,
        "fresh_version": version - 1,
        "last_run": 12,
    }
    live = {"session_id": 88, "deployment_id": deployment, "status": "running", "run": 12, "begun_version": version}
    await agent.say("host", "report", deployments=[held], sessions=[live], lease=[[90, 99]])
    await home.until_status(88, "running")
    query = "SELECT desired, desired_version, fresh_version, seen_version, last_run, last_session FROM deployments"
    assert await home.rows(query) == [("running", version, version - 1, version, 12, 88)]
    assert await home.value("SELECT epoch FROM installation") == epoch + 1
    assert await home.value("SELECT last_value FROM sessions_id_seq") >= before + 1_000_000
    assert await home.value("SELECT ids @> '{[90,100)}'::int8multirange FROM session_leases")
    await home.until_event("manman.session.running", session_id=88)
    await agent.say(
        "session", "pending", session_id=90, deployment_id=deployment, run=13, previous_session_id=88,
        cause="restart_policy", desired_version=version,
    )  # fmt: skip
    await home.until_status(90, "pending")
    assert await home.value("SELECT reason FROM sessions WHERE id = 88") == "unknown"
    assert await home.value("SELECT count(*) FROM dead_letters") == 0


async def test_a_former_host_is_told_to_stop_until_it_has_seen_it(home: House) -> None:
    old, new = await home.host(), await home.host()
    deployment = await home.deployment(new)
    await home.execute(
        "INSERT INTO revocations (host, deployment, version, created_at) VALUES ($1, $2, 9, clock())",
        old.id,
        deployment,
    )

    async def told() -> bool:
        await old.heartbeat()
        return any(verb == "stop" for verb, _ in home.commands.get(old.id, []))

    await home.until("the stop", told)
    assert (await home.until_command(old.id, "stop"))["desired_version"] == 9
    await old.say("deployment", "seen", deployment_id=deployment, desired_version=9)
    await home.until_settled(old)
    assert await home.value("SELECT count(*) FROM revocations") == 0
