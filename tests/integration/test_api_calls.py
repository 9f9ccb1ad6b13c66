"""The call path and the REST door: twins, strangers, what is decoded, what is told."""

import asyncio

import pytest
from contract.places import Place
from google.protobuf.message import Message
from grpc import aio
from harness import apis
from harness.apis import Running

from manman.api import definition, json
from manman.v1 import sessions_pb2


async def test_a_twin_waits_and_gets_the_same_answer(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    http = await api.http(**{"idempotency-key": "k1"})
    body = {"deployment_id": deployment.deployment_id}
    answers = await asyncio.gather(*(http.post("/v1/sessions", json=body) for _ in range(6)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.text for a in answers}) == 1
    assert sorted(a.headers.get("idempotency-replayed", "") for a in answers) == [""] + ["true"] * 5
    assert len(await api.fetch("SELECT FROM sessions")) == 1
    assert len(await api.fetch("SELECT FROM audit WHERE method = 'Sessions.StartSession'")) == 1


async def test_a_key_belongs_to_one_request_and_one_caller(api: Running) -> None:
    http = await api.http(**{"idempotency-key": "k1"})
    assert (await http.post("/v1/games", json={"name": "one"})).status_code == 201
    reused = await http.post("/v1/games", json={"name": "two"})
    assert reused.status_code == 422 and reused.json()["code"] == "key_reused"
    refused = await http.post("/v1/games", json={"name": "one"}, headers={"idempotency-key": "k2"})
    assert refused.status_code == 409
    await http.delete("/v1/games/1", headers={"idempotency-key": "k3"})
    again = await http.post("/v1/games", json={"name": "one"}, headers={"idempotency-key": "k2"})
    assert again.status_code == 201, "a refusal had no effect, so its key is free"


async def test_a_replay_holds_no_secret(api: Running) -> None:
    http = await api.http(**{"idempotency-key": "k1"})
    first = await http.post("/v1/join-tokens", json={})
    second = await http.post("/v1/join-tokens", json={})
    assert first.json()["token"].startswith("mmj_")
    assert second.json()["token"] == "" and second.json()["join_token_id"] == first.json()["join_token_id"]
    secret = first.json()["token"]
    for table in ("audit", "idempotency", "join_tokens", "outbox"):
        rows = await api.fetch(f"SELECT t::text AS text FROM {table} t")
        assert not any(secret in row["text"] for row in rows), table


async def test_requests_from_elsewhere_change_nothing(api: Running) -> None:
    http = await api.http()
    strange = [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ]
    for headers, status in strange:
        answer = await http.post("/v1/games", json={"name": "evil"}, headers=headers)
        assert answer.status_code == status, headers
        assert answer.json()["code"] == "origin_refused"
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await http.post("/v1/games", content='{"name":"evil"}', headers={"content-type": media})
        assert answer.status_code == 415
    assert await api.fetch("SELECT FROM games") == []
    for host in ("localhost:1", "[::1]:80", "192.0.2.7"):
        assert (await http.get("/v1/games", headers={"host": host})).status_code == 200
    same = await http.post(
        "/v1/games", json={"name": "fine"}, headers={"origin": api.url, "sec-fetch-site": "same-origin"}
    )
    assert same.status_code == 201


async def test_without_login_everybody_is_local_but_no_proxy_and_no_stranger(database_url: str) -> None:
    async with apis.running(database_url, Place("postgresql", database_url), auth_mode="none") as api:
        http = await api.http(None)
        assert (await http.get("/v1/whoami")).json()["kind"] == "local"
        for proxy in ("forwarded", "x-forwarded-for", "x-forwarded-port", "X-Forwarded-Server"):
            assert (await http.get("/v1/whoami", headers={proxy: "192.0.2.1"})).status_code == 403
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"host": "evil.example"}):
            assert (await http.post("/v1/games", json={"name": "evil"}, headers=headers)).status_code in (403, 421)
        assert await api.fetch("SELECT FROM games") == []


async def test_every_fault_of_a_request_is_told_at_once(api: Running) -> None:
    http = await api.http()
    answer = await http.post(
        "/v1/configs", json={"game_id": "x", "nonsense": 1, "name": "a\u0000b", "spec": {"command": [1]}}
    )
    problem = answer.json()
    assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
    assert {e["pointer"] for e in problem["errors"]} == {"/game_id", "/nonsense", "/name", "/spec/command/0"}
    assert problem["code"] == "invalid_argument" and problem["type"] == "/problems/invalid_argument"
    assert len(problem["trace_id"]) == 32


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("PUT", "/v1/games", 405, "method_not_allowed"),
        ("GET", "/v1/games/1:drain", 404, "not_found"),
        ("GET", "/v1/games?colour=blue", 400, "invalid_argument"),
        ("GET", "/v1/games/abc", 400, "invalid_argument"),
        ("GET", "/v1/games/99", 404, "not_found"),
        ("GET", "/v1/games?filter=colour%20%3D%20blue", 400, "filter_invalid"),
        ("GET", "/v1/games?page_token=zzz", 400, "page_token_invalid"),
        ("GET", "/v1/games?page_size=-1", 400, "invalid_argument"),
    ],
)
async def test_what_is_wrong_is_a_problem(api: Running, verb: str, path: str, status: int, code: str) -> None:
    answer = await (await api.http()).request(verb, path)
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, status)


async def test_bodies_have_bounds_and_must_be_json(api: Running) -> None:
    http = await api.http()
    json_headers = {"content-type": "application/json"}
    big = await http.post("/v1/games", content=b'{"name": "' + b"x" * 1024 * 1024 + b'"}', headers=json_headers)
    assert big.status_code == 413 and big.json()["code"] == "too_large"
    for text in ("{", "[1]", '"x"', "[" * 100_000):
        answer = await http.post("/v1/games", content=text, headers=json_headers)
        assert answer.status_code == 400, text[:20]


async def test_a_patch_merges_and_a_stale_etag_is_refused(api: Running) -> None:
    http = await api.http()
    made = await http.post("/v1/games", json={"name": "one", "title": "One", "labels": {"a": "1", "b": "2"}})
    assert made.headers["etag"] == '"1"'
    changed = await http.patch(
        "/v1/games/1", json={"labels": {"a": None, "c": "3"}}, headers={"if-match": made.headers["etag"]}
    )
    assert changed.json()["labels"] == {"b": "2", "c": "3"} and changed.json()["title"] == "One"
    stale = await http.patch("/v1/games/1", json={"title": None}, headers={"if-match": '"1"'})
    assert stale.status_code == 412 and stale.json()["code"] == "changed_meanwhile"
    assert (await http.patch("/v1/games/1", json={"title": None})).json()["title"] == ""
    [*_, audit] = await api.fetch("SELECT changes FROM audit WHERE method = 'Games.UpdateGame' ORDER BY id")
    assert audit["changes"]["changed"]["title"] == ["One", ""]


async def test_what_is_immutable_stays_and_what_is_output_only_is_ignored(api: Running) -> None:
    http = await api.http()
    await http.post("/v1/games", json={"name": "one"})
    config = {"game_id": 1, "name": "c", "spec": {"command": ["x"]}}
    assert (await http.post("/v1/configs", json=config)).status_code == 201
    moved = await http.patch("/v1/configs/1", json={"game_id": 2})
    assert moved.status_code == 400 and moved.json()["errors"][0]["pointer"] == "/game_id"
    kept = await http.patch("/v1/configs/1", json={"revision": 77, "description": "d"})
    assert kept.json()["revision"] == 1 and kept.json()["description"] == "d"
    newer = await http.patch("/v1/configs/1", json={"spec": {"env": {"A": "b"}}})
    assert newer.json()["revision"] == 2 and newer.json()["spec"]["command"] == ["x"]


async def test_both_doors_give_equal_answers(api: Running) -> None:
    deployment = await api.deployment(await api.host(), labels={"team": "blue"})
    await (await api.client()).start_session(deployment_id=deployment.deployment_id)
    http = await api.http()
    given = {"host_id": 1, "deployment_id": deployment.deployment_id, "session_id": 1, "game_id": 1, "config_id": 1}
    compared = 0
    async with aio.insecure_channel(api.grpc) as channel:
        for method in definition.methods().values():
            if method.changes or method.streams or "dead_letter_id" in method.variables:
                continue
            request = method.request()
            for name in method.variables:
                setattr(request, name, given[name])
            call = channel.unary_unary(
                f"/manman.v1.{method.service}/{method.rpc}",
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )
            reply: Message = await call(request, metadata=(("authorization", f"Bearer {api.keys['admin']}"),))
            answer = await http.get(method.path.format(**given))
            assert answer.status_code == 200, method.name
            mine, theirs = answer.json(), json.plain(reply)
            mine.pop("time", None), theirs.pop("time", None)
            assert mine == theirs, method.name
            compared += 1
    assert compared >= 18


async def test_a_change_by_grpc_is_the_same_change(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    async with aio.insecure_channel(api.grpc) as channel:
        call = channel.unary_unary(
            "/manman.v1.Sessions/StartSession",
            request_serializer=sessions_pb2.StartSessionRequest.SerializeToString,
            response_deserializer=sessions_pb2.Session.FromString,
        )
        metadata = (("authorization", f"Bearer {api.keys['operator']}"), ("idempotency-key", "g1"))
        request = sessions_pb2.StartSessionRequest(deployment_id=deployment.deployment_id)
        first = await call(request, metadata=metadata)
        assert await call(request, metadata=metadata) == first
        with pytest.raises(aio.AioRpcError) as refused:
            await call(request, metadata=metadata[:1])
    assert refused.value.code().name == "ALREADY_EXISTS"
    details = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert b"SESSION_LIVE" in details and str(first.session_id).encode() in details


async def test_a_caller_who_calls_too_often_is_told_to_wait(database_url: str) -> None:
    place = Place("postgresql", database_url)
    async with apis.running(database_url, place, rate_limit=1, rate_burst=5) as api:
        http = await api.http()
        answers = [await http.get("/v1/whoami") for _ in range(20)]
        codes = [a.status_code for a in answers]
        assert codes[:5] == [200] * 5 and 429 in codes
        limited = next(a for a in answers if a.status_code == 429)
        assert limited.headers["retry-after"] == "1" and limited.json()["code"] == "rate_limited"


async def test_probes_and_the_description_need_no_credential(api: Running) -> None:
    http = await api.http(None, host="probe.internal")
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/readyz")).json()["status"] == "ready"
    assert (await http.get("/metrics")).status_code == 200
    described = (await (await api.http(None)).get("/openapi.json")).json()
    assert described["openapi"] == "3.1.0"
    assert len([o for verbs in described["paths"].values() for o in verbs]) == len(definition.methods())
    for verbs in described["paths"].values():
        for operation in verbs.values():
            for response in operation["responses"].values():
                assert all("example" in content for content in response["content"].values())
