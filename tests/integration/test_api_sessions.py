"""Sessions through the real doors: starts that race, refusals, stops, restarts, what hosts are told."""

import asyncio

import pytest
from harness.apis import Running

from manman.client import ApiError


async def test_of_two_starts_at_once_one_wins_and_the_other_learns_its_session(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    one, two = await api.client("operator"), await api.client("admin")
    outcomes = await asyncio.gather(
        *(c.start_session(deployment_id=deployment.deployment_id) for c in (one, two) * 5), return_exceptions=True
    )
    begun = [o for o in outcomes if not isinstance(o, BaseException)]
    refused = [o for o in outcomes if isinstance(o, ApiError)]
    assert len(begun) == 1 and len(refused) == 9
    assert {e.refused_code for e in refused} == {"session_live"}
    assert {e.facts["session_id"] for e in refused} == {begun[0].session_id}
    assert begun[0].status == "pending" and begun[0].endpoints[0].address == "192.0.2.1"


async def test_a_start_tells_the_host_everything_but_a_configuration(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client("operator")
    session = await client.start_session(deployment_id=deployment.deployment_id)
    [row] = await api.fetch("SELECT body, ttl, key FROM outbox WHERE type = 'manman.command.start'")
    assert row["body"]["session_id"] == session.session_id and row["body"]["run"] == 1
    assert row["body"]["desired"] == "running" and row["body"]["within"] == 120.0
    assert row["ttl"].total_seconds() == 120
    assert not {"env", "argv", "files", "parameters"} & row["body"].keys()
    history = await client.list_session_history(session.session_id)
    assert [(t.number, t.to, t.cause) for t in history.transitions] == [(1, "pending", "user operator-person")]
    again = await client.get_deployment(deployment.deployment_id)
    assert again.desired == "running" and again.session_id == session.session_id


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [("online", "false", "host_offline"), ("draining", "true", "host_draining")],
)
async def test_a_start_is_refused_on_a_host_that_is_away_or_draining(
    api: Running, column: str, value: str, code: str
) -> None:
    host = await api.host()
    deployment = await api.deployment(host)
    table, key = ("host_heartbeats", "host") if column == "online" else ("hosts", "id")
    await api.fetch(f"UPDATE {table} SET {column} = {value} WHERE {key} = $1", host)
    with pytest.raises(ApiError) as refused:
        await (await api.client()).start_session(deployment_id=deployment.deployment_id)
    assert refused.value.refused_code == code and "box-1" in str(refused.value)
    assert await api.fetch("SELECT FROM sessions") == []


async def test_a_start_waits_for_the_install(api: Running) -> None:
    deployment = await api.deployment(await api.host(), ready=False)
    with pytest.raises(ApiError, match="installing") as refused:
        await (await api.client()).start_session(deployment_id=deployment.deployment_id)
    assert refused.value.refused_code == "deployment_not_ready"


async def test_stop_and_kill_always_succeed_and_set_the_wish_of_the_latest(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client, http = await api.client(), await api.http()
    session = await client.start_session(deployment_id=deployment.deployment_id)
    first = await http.post(f"/v1/sessions/{session.session_id}:stop", json={})
    assert first.status_code == 202 and first.json()["desired"] == "stopped"
    await api.fetch("UPDATE sessions SET status = 'stopping' WHERE id = $1", session.session_id)
    again = await http.post(f"/v1/sessions/{session.session_id}:stop", json={})
    assert again.status_code == 200 and again.json()["status"] == "stopping"
    killed = await http.post(f"/v1/sessions/{session.session_id}:kill", json={})
    assert killed.status_code == 200
    rows = await api.fetch(
        "SELECT (body ->> 'desired_version')::bigint AS version FROM outbox"
        " WHERE type IN ('manman.command.start', 'manman.command.stop', 'manman.command.kill') ORDER BY id"
    )
    versions = [row["version"] for row in rows]
    assert versions == sorted(set(versions)) and len(versions) == 3
    await api.fetch("UPDATE sessions SET status = 'crashed', ended_at = clock() WHERE id = $1", session.session_id)
    await api.fetch("UPDATE deployments SET desired = 'running' WHERE id = $1", deployment.deployment_id)
    over = await http.post(f"/v1/sessions/{session.session_id}:stop", json={})
    assert over.status_code == 200
    assert (await client.get_deployment(deployment.deployment_id)).desired == "stopped"


async def test_restart_raises_the_fresh_version_and_begins_nothing_itself(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client()
    session = await client.start_session(deployment_id=deployment.deployment_id)
    restarted = await client.restart_session(session.session_id)
    assert restarted.session_id == session.session_id
    now = await client.get_deployment(deployment.deployment_id)
    assert now.desired == "running" and now.fresh_version == now.desired_version
    assert len(await api.fetch("SELECT FROM sessions")) == 1


async def test_restart_with_nothing_live_is_a_start(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client()
    session = await client.start_session(deployment_id=deployment.deployment_id)
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", session.session_id)
    await api.fetch("UPDATE deployments SET last_run = 1 WHERE id = $1", deployment.deployment_id)  # as its host said
    restarted = await client.restart_session(session.session_id)
    assert restarted.session_id != session.session_id and restarted.status == "pending"
    assert restarted.previous_session_id == session.session_id and restarted.run == 2


async def test_restart_of_an_old_session_does_not_end_the_one_that_followed(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client()
    old = await client.start_session(deployment_id=deployment.deployment_id)
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", old.session_id)
    new = await client.start_session(deployment_id=deployment.deployment_id)
    with pytest.raises(ApiError) as over:
        await client.restart_session(old.session_id)
    assert over.value.refused_code == "session_over" and over.value.facts["session_id"] == new.session_id
    assert (await client.get_session(new.session_id)).desired == "running"


async def test_input_needs_a_running_session_and_is_one_clean_line(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client("operator")
    session = await client.start_session(deployment_id=deployment.deployment_id)
    with pytest.raises(ApiError) as early:
        await client.send_input(session.session_id, line="say hi")
    assert early.value.refused_code == "session_not_running"
    await api.fetch("UPDATE sessions SET status = 'running' WHERE id = $1", session.session_id)
    for line in ("a\nb", "x" * 4096):
        with pytest.raises(ApiError) as wrong:
            await client.send_input(session.session_id, line=line)
        assert wrong.value.refused_code == "invalid_argument" and wrong.value.errors[0]["pointer"] == "/line"
    said = await client.send_input(session.session_id, line="say \x1b[31mhi\r\n")
    [row] = await api.fetch("SELECT body, ttl FROM outbox WHERE type = 'manman.command.input'")
    assert row["body"]["line"] == "say [31mhi" and row["body"]["command_id"] == said.command_id
    assert row["ttl"].total_seconds() == 10
    [audit] = await api.fetch("SELECT caller, changes FROM audit WHERE method = 'Sessions.SendInput'")
    assert audit["caller"] == "user operator-person" and "say" in audit["changes"]["request"]["line"]


async def test_a_silent_host_makes_its_sessions_unreachable_not_plainly_running(api: Running) -> None:
    host = await api.host()
    deployment = await api.deployment(host)
    client = await api.client("viewer")
    admin = await api.client()
    session = await admin.start_session(deployment_id=deployment.deployment_id)
    assert (await client.get_session(session.session_id)).unreachable_since is None
    await api.fetch("UPDATE host_heartbeats SET last_seen = clock() - interval '4 minutes' WHERE host = $1", host)
    silent = await client.get_session(session.session_id)
    assert silent.unreachable_since is not None
    listed = await client.list_sessions(filter="live = true")
    assert listed.sessions[0].unreachable_since == silent.unreachable_since
    assert (await client.get_deployment(deployment.deployment_id)).session.unreachable_since is not None
