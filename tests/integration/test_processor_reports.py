"""What reports make good and what they may not claim; and messages of one host that must not be another's trouble."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from contract.places import Place
from integration.processor_house import Agent, House, house

from manman.processor import batch, heartbeats
from manman.store import heartbeats as rows


@pytest.fixture
async def home(database_url: str) -> AsyncIterator[House]:
    async with house(Place("postgresql", database_url), database_url) as running:
        yield running


def held(deployment: int, **facts: Any) -> dict[str, Any]:
    return {"deployment_id": deployment, "deployment_version": 1, "desired": "stopped", "desired_version": 0, **facts}


async def report(agent: Agent, *deployments: dict[str, Any], sessions: list[dict[str, Any]] | None = None) -> None:
    await agent.say("host", "report", deployments=list(deployments), sessions=sessions or [])
    await agent.house.until_settled(agent)


async def test_a_report_makes_good_the_result_of_an_install_that_was_lost(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE deployments SET status = 'installing', seen_deployment_version = 1")
    await report(agent, held(deployment, status="installing"))
    assert await home.value("SELECT status FROM deployments") == "installing"
    await report(agent, held(deployment, status="ready"))
    assert await home.value("SELECT status FROM deployments") == "ready"
    assert await home.rows("SELECT to_status, cause FROM deployment_history") == [("ready", "report")]


async def test_a_report_of_an_older_version_says_nothing_of_a_new_install(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE deployments SET status = 'installing', seen_deployment_version = 1, version = 2")
    await report(agent, held(deployment, status="ready"))
    assert await home.value("SELECT status FROM deployments") == "installing"


@pytest.mark.parametrize("seen", [0, 3])
async def test_what_an_agent_does_not_name_has_no_run_also_where_its_wish_was_never_seen(
    home: House, seen: int
) -> None:
    agent = await home.host()
    await home.deployment(agent)
    # A first start that was given up with its host counts, though nothing was heard of it.
    await home.execute("UPDATE deployments SET last_run = 1, seen_version = $1", seen)
    await report(agent)
    assert await home.rows("SELECT last_run, seen_version FROM deployments") == [(0, 0)]


async def test_what_a_host_without_a_boot_does_not_name_keeps_its_runs(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE deployments SET last_run = 2, seen_version = 3")
    start, own = await home.session(deployment), await home.value("SELECT nextval('sessions_id_seq')")
    await agent.say(
        "host", "report", boot=None, sessions=[{"session_id": own, "deployment_id": deployment, "status": "running"}]
    )
    await home.until_settled(agent)
    rows = await home.rows("SELECT id, status, reason, run FROM sessions ORDER BY id")
    assert rows == [(start, "stopped", "superseded", 3), (own, "running", None, 3)]


async def test_a_report_tells_that_the_host_gave_up_once(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE deployments SET desired = 'running', desired_version = 3")
    wish = {"desired": "running", "desired_version": 3, "gave_up": "limit"}
    await report(agent, held(deployment, **wish))
    await report(agent, held(deployment, **wish))
    assert await home.rows("SELECT gave_up, gave_up_version FROM deployments") == [("limit", 3)]
    assert await home.rows("SELECT to_status, cause FROM deployment_history") == [("gave_up", "gave up: limit")]


@pytest.mark.parametrize(("is_reported", "version"), [(False, 3), (False, 1), (True, 3)])
async def test_what_lives_again_on_a_disk_from_a_copy_is_not_given_up(
    home: House, is_reported: bool, version: int
) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE deployments SET desired = 'running', desired_version = 3")
    await home.execute("UPDATE session_leases SET ids = '{[1000,1010)}'")
    wish = {"desired": "running", "desired_version": 3}
    await report(agent, held(deployment, **wish, gave_up="ended"))
    await report(agent, held(deployment, **wish))
    assert await home.value("SELECT gave_up FROM deployments") == "ended", "nothing lives"
    begun = {"session_id": 1000, "deployment_id": deployment, "run": 1}
    if is_reported:
        await report(agent, held(deployment, **wish), sessions=[{**begun, "status": "running"}])
    else:
        await agent.say("session", "pending", **begun, desired_version=version)
        await home.until_settled(agent)
    assert await home.rows("SELECT gave_up, gave_up_version FROM deployments") == [(None, None)]
    assert await home.rows("SELECT id FROM sessions WHERE ended_at IS NULL") == [(1000,)]


async def test_the_report_of_the_next_life_closes_what_an_older_journal_lost(home: House) -> None:
    agent = await home.host()
    await agent.say("host", "online")
    await home.publish(agent.message("host", "report", {"host_id": agent.id, "boot": 1}, sequence=5))
    agent.sequence = 7
    await agent.say("deployment", "seen", deployment_id=1, desired_version=1)
    await home.until_settled(agent)
    assert await home.value("SELECT count(*) FROM host_journals WHERE hole_since IS NOT NULL") == 1
    older = agent.message("host", "report", {"host_id": agent.id, "boot": 1}, sequence=10)
    again = Agent(home, agent.id, boot=2)
    await again.say("host", "online")
    await home.publish(older)
    await home.until_settled(agent, 10)
    assert await home.value("SELECT count(*) FROM host_journals WHERE hole_since IS NOT NULL") == 1
    await report(again)
    assert await home.value("SELECT count(*) FROM host_journals WHERE hole_since IS NOT NULL") == 0
    assert await home.value(
        "SELECT seen @> int8range(1, 10, '[]') FROM host_journals WHERE journal = $1", agent.journal
    )


async def test_a_host_cannot_claim_ids_of_another_host_or_of_the_future(home: House) -> None:
    agent, other = await home.host(), await home.host()
    deployment = await home.deployment(agent)
    last = await home.value("SELECT nextval(pg_get_serial_sequence('sessions', 'id'))")
    await home.execute("UPDATE session_leases SET ids = '{[1,1]}' WHERE host = $1", other.id)
    claims = [{"session_id": n, "deployment_id": deployment, "status": "running", "run": 1} for n in (1, last + 10**7)]
    await report(agent, sessions=claims)
    assert await home.rows("SELECT session FROM strays ORDER BY session") == [(1,), (last + 10**7,)]
    assert await home.value("SELECT count(*) FROM sessions") == 0


async def test_an_id_that_a_restored_database_has_forgotten_is_never_given_again(home: House) -> None:
    agent = await home.host()
    deployment = await home.deployment(agent)
    await report(agent, sessions=[{"session_id": 4711, "deployment_id": deployment, "status": "running", "run": 1}])
    assert await home.status(4711) == "running"
    assert await home.value("SELECT nextval(pg_get_serial_sequence('sessions', 'id'))") > 4711


async def test_a_lease_that_a_host_claims_after_a_restore_is_believed_within_bounds(home: House) -> None:
    agent, other = await home.host(), await home.host()
    deployment = await home.deployment(agent)
    await home.execute("UPDATE session_leases SET ids = '{[100,149]}' WHERE host = $1", other.id)
    wish = held(deployment, desired="stopped", desired_version=9)
    await agent.say("host", "report", deployments=[wish], lease=[[90, 2**62]])
    await home.until_settled(agent)
    low, high = 90, 150
    query = "SELECT ids @> $2::bigint AND NOT ids @> $3::bigint AND NOT ids @> $4::bigint FROM session_leases WHERE host = $1"
    assert await home.value(query, agent.id, low, 120, 2 * 10**6)
    assert await home.value("SELECT ids @> $2::bigint FROM session_leases WHERE host = $1", agent.id, high)


async def test_a_host_is_asked_what_it_holds_after_a_restore_and_believed_to_have_no_more(home: House) -> None:
    agent = await home.host()
    await home.execute("UPDATE session_leases SET ids = '{[1,40]}' WHERE host = $1", agent.id)
    await agent.heartbeat()
    await home.execute("UPDATE installation SET epoch = 2")
    await agent.heartbeat()
    await home.until_command(agent.id, "report")
    await agent.say("host", "report", lease=[[31, 90]])
    await home.until_settled(agent)
    assert await home.value("SELECT ids FROM session_leases") == [asyncpg.Range(31, 91)]


async def test_a_life_that_counts_its_boots_to_a_known_number_is_told_to_go_above_it(home: House) -> None:
    agent = await home.host()
    agent.boot = 3
    for _ in range(5):
        await agent.heartbeat(journal_id=agent.journal)
    known = "SELECT boot, beat, journal FROM host_heartbeats"

    async def heard(boot: int, beat: int, journal: str) -> bool:
        return await home.rows(known) == [(boot, beat, journal)]

    await home.until("the fifth beat", lambda: heard(3, 5, agent.journal))
    again = Agent(home, agent.id, boot=3)
    await again.heartbeat(journal_id=again.journal)
    await home.until_command(agent.id, "report", boot=4)
    assert await heard(3, 5, agent.journal)
    again.boot = 5
    await again.heartbeat(journal_id=again.journal)
    await home.until("the life above", lambda: heard(5, 2, again.journal))
    # What is said at its begin is enough to know it by.
    third = Agent(home, agent.id, boot=5)
    await third.say("host", "online", lease=[])
    await home.until_command(agent.id, "report", boot=6)
    assert await heard(5, 2, again.journal)


async def test_an_id_that_another_session_has_used_is_ended_and_leased_anew(home: House) -> None:
    agent = await home.host()
    one, other = await home.deployment(agent), await home.deployment(agent)
    session = await home.session(one)
    await agent.session(session, "starting", "running")
    begun = {"session_id": session, "deployment_id": other, "run": 1, "cause": "host_boot"}
    await Agent(home, agent.id, boot=2).say("session", "pending", **begun)
    await home.until_command(agent.id, "end", session_id=session)
    assert (await home.until_command(agent.id, "lease"))["lease"]
    assert await home.status(session) == "running"
    assert [reason for reason, _, _ in await home.until_dead(1)] == ["id_not_leased"]


async def test_a_lease_is_topped_up_at_half_of_what_its_deployments_need(home: House) -> None:
    agent = await home.host()
    deployments = [await home.deployment(agent) for _ in range(20)]
    await home.execute("UPDATE session_leases SET ids = '{[1000,1039]}' WHERE host = $1", agent.id)
    await home.execute("SELECT setval(pg_get_serial_sequence('sessions', 'id'), 5000)")
    await agent.say("session", "pending", session_id=1000, deployment_id=deployments[0], run=1, cause="restart_policy")
    lease = (await home.until_command(agent.id, "lease"))["lease"]
    assert sum(last - first + 1 for first, last in lease) == 80


async def test_a_beat_that_cannot_be_applied_is_no_other_host_s_trouble(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, other = await home.host(), await home.host()
    tell = rows.tell_written

    async def picky(conn: Any, written: Any) -> None:
        assert not any(host == agent.id for host, _ in written)
        await tell(conn, written)

    monkeypatch.setattr(heartbeats.heartbeats, "tell_written", picky)
    for _ in range(3):
        await agent.heartbeat(journal_id=agent.journal, sequence=1)
        await other.heartbeat(journal_id=other.journal, sequence=1)
    await home.until_event("manman.host.online", host_id=other.id)
    assert not await home.value("SELECT online FROM host_heartbeats WHERE host = $1", agent.id)


async def test_a_message_whose_rows_cannot_even_be_loaded_is_a_dead_letter_all_the_same(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, other = await home.host(), await home.host()
    session = await home.session(await home.deployment(other))
    load = batch.load

    async def picky(conn: Any, arrived: Any, rules: Any) -> Any:
        assert not any(one.message is not None and one.message.host_id == agent.id for one in arrived)
        return await load(conn, arrived, rules)

    monkeypatch.setattr(batch, "load", picky)
    await agent.say("host", "online")
    await other.session(session, "starting", "running")
    await home.until_status(session, "running")
    [(reason, _, key)] = await home.until_dead(1)
    assert (reason, key) == ("bug", f"status.host.online.{agent.id}")
