"""Joining: tokens, and Register on a real broker and on the database."""

import asyncio
import hashlib
import os

import pytest
from contract.places import Place
from harness import apis
from harness.apis import Running
from harness.rabbitmq import ask

from manman.api.callers import Kind, make
from manman.client import ApiError
from manman.domain.ids import HostId
from manman.errors import ManManError, Unavailable
from manman.events import credentials, topics
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

KEY = make(Kind.HOST_KEY, os.urandom)
FACTS = {
    "name": "box-1",
    "host_key_hash": hashlib.sha256(KEY.encode()).hexdigest(),
    "agent_version": "1.0",
    "addresses": ["192.0.2.1"],
    "broker_password_hash": credentials.password_hash("broker-password", b"salt"),
}


async def token(api: Running, **given: object) -> str:
    return (await (await api.client()).create_join_token(**given)).token


async def test_a_repeat_with_the_same_token_and_hashes_is_harmless(api: Running) -> None:
    word, http = await token(api), await api.http(None)
    answers = await asyncio.gather(*(http.post("/v1/hosts:register", json={"token": word} | FACTS) for _ in range(4)))
    assert {a.status_code for a in answers} == {201} and len({a.text for a in answers}) == 1
    assert [dict(r) for r in await api.fetch("SELECT used FROM join_tokens")] == [{"used": 1}]
    assert len(await api.fetch("SELECT FROM hosts")) == 1
    host = answers[0].json()["host_id"]
    queues = [r["name"] for r in await api.fetch("SELECT name FROM bus_queues")]
    assert topics.host_commands(HostId(host)) in queues
    api.keys["host"] = KEY
    assert (await (await api.http("host")).get("/v1/whoami")).json()["host_id"] == host


@pytest.mark.parametrize("spoil", ["unknown", "used", "revoked", "over"])
async def test_a_token_that_is_no_good_lets_no_machine_in(api: Running, spoil: str) -> None:
    word, client, http = await token(api), await api.client(), await api.http(None)
    match spoil:
        case "unknown":
            word = "mmj_" + "x" * 43
        case "used":
            other = FACTS | {"name": "other", "host_key_hash": "ab" * 32}
            assert (await http.post("/v1/hosts:register", json={"token": word} | other)).status_code == 201
        case "revoked":
            await client.revoke_join_token((await client.list_join_tokens()).join_tokens[0].join_token_id)
        case _:
            await api.fetch("UPDATE join_tokens SET expires_at = clock() - interval '1 second'")
    before = len(await api.fetch("SELECT FROM hosts"))
    answer = await http.post("/v1/hosts:register", json={"token": word} | FACTS)
    assert answer.status_code == 401 and len(await api.fetch("SELECT FROM hosts")) == before


async def test_one_token_for_two_machines_at_once_admits_one(api: Running) -> None:
    word, http = await token(api), await api.http(None)
    facts = [FACTS | {"name": f"box-{n}", "host_key_hash": f"{n:064x}"} for n in range(6)]
    answers = await asyncio.gather(*(http.post("/v1/hosts:register", json={"token": word} | one) for one in facts))
    assert sorted(a.status_code for a in answers) == [201] + [401] * 5


async def test_a_name_that_is_taken_and_facts_that_are_wrong_are_told(api: Running) -> None:
    await api.host("box-1")
    http = await api.http(None)
    taken = await http.post("/v1/hosts:register", json={"token": await token(api)} | FACTS)
    assert taken.status_code == 409 and taken.json()["code"] == "already_exists"
    wrong = FACTS | {"host_key_hash": "zz", "broker_password_hash": "AA=="}
    answer = await http.post("/v1/hosts:register", json={"token": await token(api)} | wrong)
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/host_key_hash", "/broker_password_hash"}
    assert {r["used"] for r in await api.fetch("SELECT used FROM join_tokens ORDER BY id DESC LIMIT 2")} == {0}


async def test_a_token_bound_to_a_host_lets_it_join_anew(api: Running) -> None:
    host = await api.host("box-1")
    http = await api.http(None)
    word = await token(api, host_id=host)
    again = await http.post("/v1/hosts:register", json={"token": word} | FACTS)
    assert again.status_code == 201 and again.json()["host_id"] == host


async def test_a_host_on_a_broker_gets_a_user_that_speaks_for_itself_only(
    database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str
) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    given = {"rabbitmq_url": rabbitmq_url, "broker_admin_url": rabbitmq_admin_url}
    async with apis.running(database_url, place, **given) as api:
        http = await api.http(None)
        joined = (await http.post("/v1/hosts:register", json={"token": await token(api)} | FACTS)).json()
        assert (
            "@" not in joined["rabbitmq_url"] and joined["broker_user"] == f"{joined['vhost']}.host.{joined['host_id']}"
        )
        try:
            scheme, _, rest = joined["rabbitmq_url"].partition("://")
            mine = await rabbit.connect(f"{scheme}://{joined['broker_user']}:broker-password@{rest}")
            try:
                await mine.publish(
                    [Outgoing(exchange="manman", key=f"status.host.online.{joined['host_id']}", body=b"{}")]
                )
                for key in ("status.host.online.999", f"command.host.{joined['host_id']}.stop", "status.host.online"):
                    with pytest.raises(ManManError):
                        await mine.publish([Outgoing(exchange="manman", key=key, body=b"{}")])
                    async with asyncio.timeout(20):
                        await mine.wait_connected()
                async with mine.consume(topics.host_commands(HostId(joined["host_id"])), 10) as consumer:
                    assert consumer is not None
            finally:
                await mine.close()
        finally:
            ask(rabbitmq_admin_url, "DELETE", f"/api/users/{joined['broker_user'].replace('/', '%2F')}")


async def test_without_the_brokers_management_no_token_is_used_up(database_url: str, rabbitmq_url: str) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    async with apis.running(database_url, place, rabbitmq_url=rabbitmq_url) as api:
        answer = await (await api.http(None)).post("/v1/hosts:register", json={"token": await token(api)} | FACTS)
        assert answer.status_code == 409 and "BROKER_ADMIN_URL" in answer.json()["detail"]
    away = "http://guest:guest@127.0.0.1:1"
    async with apis.running(database_url, place, rabbitmq_url=rabbitmq_url, broker_admin_url=away) as api:
        client = await api.client_without()
        with pytest.raises(Unavailable):
            await client.register_host(token=await token(api), **FACTS)
        assert {r["used"] for r in await api.fetch("SELECT used FROM join_tokens")} == {0}
        assert await api.fetch("SELECT FROM hosts") == []


async def test_draining_tells_the_host_and_deleting_needs_an_empty_one(api: Running) -> None:
    host, client = await api.host(), await api.client()
    assert (await client.drain_host(host)).draining
    assert not (await client.undrain_host(host)).draining
    bodies = [r["body"] for r in await api.fetch("SELECT body FROM outbox WHERE key LIKE '%.host' ORDER BY id")]
    assert [b["draining"] for b in bodies] == [True, False]
    assert bodies[0]["host_version"] < bodies[1]["host_version"]
    await client.delete_host(host)
    assert await api.fetch("SELECT FROM outbox WHERE exchange = 'manman'") == []
    with pytest.raises(ApiError) as gone:
        await client.get_host(host)
    assert gone.value.refused_code == "not_found"
