"""Deployments: ports that cannot clash, names, parameters, secrets, launches, updates, removal; hosts and configs around them."""

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest
from contract.places import Place
from harness import apis
from harness.apis import Running

from manman.client import ApiError, Client
from manman.v1 import types

PORTS = [{"name": "game", "protocol": "tcp", "default": 27100}, {"name": "query", "protocol": "udp", "default": 27100}]
KEY = "k1:" + "A" * 43 + "="


async def config(client: Client, **spec: Any) -> types.GameConfig:
    game = await client.create_game(game={"name": "g"})
    whole = {"command": ["run", "${port.game}"], "ports": PORTS} | spec
    return await client.create_game_config(config={"game_id": game.game_id, "name": "c", "spec": whole})


async def test_deploying_holds_ports_and_tells_the_host_to_install(api: Running) -> None:
    host = await api.host()
    client = await api.client("operator")
    made = await client.deploy_game_config(
        name="one", host_id=host, config_id=(await config(await api.client())).config_id
    )
    assert made.status == "installing" and made.desired == "stopped"
    assert {(e.name, e.protocol, e.port) for e in made.endpoints} == {("game", "tcp", 27100), ("query", "udp", 27100)}
    [row] = await api.fetch("SELECT key, body FROM outbox WHERE exchange IS NOT NULL")
    assert row["key"] == f"command.host.{host}.install" and row["body"]["deployment_id"] == made.deployment_id
    ports = (await client.list_ports(host)).ports
    assert {(p.port, p.protocol, p.deployment) for p in ports} == {(27100, "tcp", "one"), (27100, "udp", "one")}


async def test_a_reinstall_is_told_as_one(api: Running) -> None:
    host, client = await api.host(), await api.client()
    made = await client.deploy_game_config(name="one", host_id=host, config_id=(await config(client)).config_id)
    again = await client.reinstall_deployment(made.deployment_id)
    assert again.status == "installing"
    rows = await api.fetch("SELECT body FROM outbox WHERE type = 'manman.command.install' ORDER BY id")
    told = [(row["body"]["deployment_version"], row["body"].get("reason")) for row in rows]
    assert told == [(1, None), (2, "reinstall")]


async def test_the_next_deployment_gets_one_free_number_for_both_protocols(api: Running) -> None:
    host, client = await api.host(), await api.client()
    made = await config(client)
    for name in ("one", "two", "three"):
        await client.deploy_game_config(name=name, host_id=host, config_id=made.config_id)
    rows = await api.fetch("SELECT deployment, array_agg(DISTINCT port) AS ports FROM ports GROUP BY 1 ORDER BY 1")
    assert [list(r["ports"]) for r in rows] == [[27100], [27000], [27001]]


@pytest.mark.parametrize(
    ("held", "wanted"), [("", ""), ("", "192.0.2.1"), ("192.0.2.1", ""), ("192.0.2.1", "192.0.2.1")]
)
async def test_a_clash_names_its_holder_wildcards_included(api: Running, held: str, wanted: str) -> None:
    host, client = await api.host(), await api.client()
    made = await config(client)
    await client.deploy_game_config(
        name="one", host_id=host, config_id=made.config_id, ports=[{"name": "game", "port": 28000, "address": held}]
    )
    wish = {"name": "game", "port": 28000, "address": wanted}
    with pytest.raises(ApiError) as clash:
        await client.deploy_game_config(name="two", host_id=host, config_id=made.config_id, ports=[wish])
    assert clash.value.refused_code == "port_taken" and clash.value.facts["deployment_id"] == 1
    assert "28000/tcp on host box-1 is held by deployment one" in str(clash.value)
    said = await client.validate_deployment(
        deployment={"name": "two", "host_id": host, "config_id": made.config_id, "ports": [wish]}
    )
    assert not said.valid and said.faults[0].code == "port_taken"
    assert (await client.list_deployments()).total == 1


async def test_other_addresses_protocols_and_hosts_do_not_clash(api: Running) -> None:
    host, other, client = await api.host(), await api.host("box-2", who="foreign"), await api.client()
    made = await config(client, ports=[{"name": "game", "protocol": "tcp"}])
    for number, (on, address) in enumerate([(host, "192.0.2.1"), (host, "192.0.2.2"), (other, "")]):
        await client.deploy_game_config(
            name=f"d{number}",
            host_id=on,
            config_id=made.config_id,
            ports=[{"name": "game", "port": 28000, "address": address}],
        )
    assert len(await api.fetch("SELECT FROM ports WHERE port = 28000")) == 3


async def test_of_many_deployments_at_once_none_shares_a_port(api: Running) -> None:
    host, client = await api.host(), await api.client()
    made = await config(client)
    await asyncio.gather(
        *(client.deploy_game_config(name=f"d{n}", host_id=host, config_id=made.config_id) for n in range(12))
    )
    rows = await api.fetch("SELECT port, protocol FROM ports")
    assert len(rows) == len({(r["port"], r["protocol"]) for r in rows}) == 24


async def test_when_no_port_is_free_it_says_so(api: Running) -> None:
    host, client = await api.host(), await api.client()
    await client.update_host(host, host={"port_range": {"first": 27000, "last": 27000}})
    made = await config(client, ports=[{"name": "game", "protocol": "tcp"}])
    await client.deploy_game_config(name="one", host_id=host, config_id=made.config_id)
    with pytest.raises(ApiError) as full:
        await client.deploy_game_config(name="two", host_id=host, config_id=made.config_id)
    assert full.value.refused_code == "ports_exhausted"


async def test_parameters_are_checked_and_all_faults_told(api: Running) -> None:
    host, client = await api.host(), await api.client()
    spec = {
        "parameters": [
            {"name": "MAX", "type": "int", "rule": {"min": 1, "max": 64}, "default": 8},
            {"name": "MODE", "type": "enum", "rule": {"choices": ["dm", "ctf"]}, "required": True},
        ]
    }
    made = await config(client, **spec)
    with pytest.raises(ApiError) as wrong:
        await client.deploy_game_config(
            name="one", host_id=host, config_id=made.config_id, parameters={"MAX": 65, "COLOUR": "blue"}
        )
    assert {e["pointer"] for e in wrong.value.errors} == {"/parameters/MAX", "/parameters/COLOUR", "/parameters/MODE"}


async def test_a_config_that_cannot_be_run_is_refused_with_every_reason(api: Running) -> None:
    client = await api.client()
    with pytest.raises(ApiError) as wrong:
        await config(client, command=[], files=[{"path": "../x", "content": ""}], readiness={"kind": "hope"})
    assert {e["pointer"] for e in wrong.value.errors} == {"/spec/command", "/spec/files/0/path", "/spec/readiness/kind"}


async def test_a_launch_is_whole_for_its_host_and_masked_for_people(database_url: str) -> None:
    place = Place("postgresql", database_url)
    async with apis.running(database_url, place, secrets_key=KEY) as api:
        host, client = await api.host(), await api.client()
        spec = {
            "command": ["run", "--password=${RCON}", "${NAME}"],
            "parameters": [{"name": "RCON", "type": "secret"}, {"name": "NAME", "default": "${RCON}"}],
            "env": {"SECRET": "${RCON}"},
        }
        made = await config(client, **spec)
        one = await client.deploy_game_config(
            name="one", host_id=host, config_id=made.config_id, parameters={"RCON": "canary-8f3"}
        )
        assert one.parameters == {"RCON": "********"}
        agent = await api.client("host")
        launch = await agent.get_launch(one.deployment_id)
        # Substitution is one literal pass: what a value holds is text.
        assert launch.argv == ["run", "--password=canary-8f3", "${RCON}"] and launch.secrets == ["canary-8f3"]
        shown = await client.get_launch(one.deployment_id)
        assert shown.argv == ["run", "--password=********", "${RCON}"] and shown.secrets == []
        assert shown.digest == launch.digest and shown.env == {"SECRET": "********"}
        # Whoever sees the rest of the launch must not be able to try out secrets against its digest.
        guess = msgspec.json.encode(msgspec.structs.replace(launch, digest="", version=0), order="sorted")
        assert hashlib.sha256(guess).hexdigest() != launch.digest
        await client.update_deployment(one.deployment_id, deployment={"labels": {"a": "b"}})
        assert (await agent.get_launch(one.deployment_id)).argv[1] == "--password=canary-8f3"
        tables = await api.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
        for table in tables:
            rows = await api.fetch(f"SELECT t::text AS text FROM {table['name']} t")
            assert not any("canary-8f3" in row["text"] for row in rows), table["name"]
        [recorded] = await api.fetch("SELECT digest, version FROM launches ORDER BY version LIMIT 1")
        assert recorded["digest"] == launch.digest


async def test_a_secret_without_a_key_file_is_refused(api: Running) -> None:
    host, client = await api.host(), await api.client()
    made = await config(client, parameters=[{"name": "RCON", "type": "secret"}])
    with pytest.raises(ApiError, match="no key for secrets"):
        await client.deploy_game_config(
            name="one", host_id=host, config_id=made.config_id, parameters={"RCON": "canary-8f3"}
        )
    assert await api.fetch("SELECT FROM deployments") == []


async def test_an_update_pins_another_revision_and_tells_the_host(api: Running) -> None:
    host, client = await api.host(), await api.client()
    made = await config(client)
    one = await client.deploy_game_config(name="one", host_id=host, config_id=made.config_id)
    await client.update_game_config(
        made.config_id, config={"spec": {"env": {"A": "2"}, "ports": [*PORTS, {"name": "rcon", "protocol": "tcp"}]}}
    )
    assert (await client.get_deployment(one.deployment_id)).config_revision == 1
    updated = await client.update_deployment(one.deployment_id, deployment={"config_revision": 2}, etag=one.etag)
    assert updated.config_revision == 2 and {e.name for e in updated.endpoints} == {"game", "query", "rcon"}
    [row] = await api.fetch("SELECT body FROM outbox WHERE type = 'manman.command.wish'")
    assert row["body"]["deployment_version"] == updated.version
    with pytest.raises(ApiError) as stale:
        await client.update_deployment(one.deployment_id, deployment={"labels": {"a": "b"}}, etag=one.etag)
    assert stale.value.refused_code == "changed_meanwhile"


async def test_only_a_parked_deployment_is_removed(api: Running) -> None:
    host, client = await api.host(), await api.client()
    one = await api.deployment(host)
    session = await client.start_session(deployment_id=one.deployment_id)

    async def refused() -> str:
        with pytest.raises(ApiError) as busy:
            await client.delete_deployment(one.deployment_id)
        assert busy.value.refused_code == "busy"
        return str(busy.value)

    assert f"session {session.session_id} is live" in await refused()
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock()")
    assert "wish is running" in await refused()
    await client.stop_deployment(one.deployment_id)
    assert "has not seen" in await refused()
    await api.fetch("UPDATE deployments SET seen_version = desired_version")
    assert (await client.delete_deployment(one.deployment_id)).status == "removing"
    assert [r["type"] for r in await api.fetch("SELECT type FROM outbox ORDER BY id DESC LIMIT 1")] == [
        "manman.command.remove"
    ]
    assert len(await api.fetch("SELECT FROM ports")) == 2, "its ports are its own until the host removed it"


async def test_what_people_do_to_a_deployment_can_be_watched_and_goes_to_no_other_domain(api: Running) -> None:
    host, client = await api.host(), await api.client()
    one = await api.deployment(host, "one")
    await client.reinstall_deployment(one.deployment_id)
    await client.delete_deployment(one.deployment_id)
    await client.delete_deployment(one.deployment_id, force=True)
    rows = await api.fetch("SELECT * FROM outbox WHERE type LIKE 'manman.deployment.%' ORDER BY id")
    told = [(r["type"], r["body"]["previous_status"], r["sequence"]) for r in rows]
    assert told == [
        ("manman.deployment.installing", None, 1),
        ("manman.deployment.installing", "ready", 2),
        ("manman.deployment.removing", "installing", 3),
        ("manman.deployment.removed", "removing", 4),
    ]
    for row in rows:
        assert row["exchange"] is None and not row["public"]
        assert (row["deployment"], row["host"]) == (one.deployment_id, host)
        assert (row["body"]["deployment"], row["body"]["deployment_id"]) == ("one", one.deployment_id)


async def test_what_is_used_is_not_deleted(api: Running) -> None:
    host, client = await api.host(), await api.client()
    one = await api.deployment(host)
    for delete in (client.delete_game(one.game_id), client.delete_game_config(one.config_id), client.delete_host(host)):
        with pytest.raises(ApiError) as used:
            await delete
        assert used.value.refused_code == "in_use" and used.value.facts["deployment_id"] == one.deployment_id


async def test_importing_an_entry_again_finds_it(api: Running) -> None:
    client = await api.client()
    first, second = await client.import_catalogue("demo"), await client.import_catalogue("demo")
    assert first.config_id == second.config_id and first.revision == second.revision == 1
    preview = await client.preview_game_config(first.config_id, ports={"game": 4000}, parameters={"NAME": "x y"})
    assert "4000" in preview.launch.argv and "x y" in preview.launch.argv
    assert [(p.name, p.value, p.origin) for p in preview.parameters] == [("NAME", "x y", "deployment")]
