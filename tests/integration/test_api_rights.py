"""Every method and route × every role × own and foreign: what is not allowed is refused, through both doors."""

from typing import Any

import grpc
import pytest
from grpc import aio
from harness.apis import Running

from manman.api import definition
from manman.api.authenticating import permit
from manman.api.definition import Method
from manman.api.usecases import streams, use_cases

METHODS = definition.methods()
CALLERS = ("admin", "operator", "viewer", "host", "nobody", "wrong")
# Which numbers stand in a route: they exist, so that only the right decides.
HELD: dict[str, frozenset[str]] = {
    "viewer": frozenset({"deployments.view", "logs.view", "games.view", "hosts.view"}),
    "operator": frozenset(
        {
            "deployments.view",
            "logs.view",
            "games.view",
            "hosts.view",
            "hosts.edit",
            "sessions.power",
            "sessions.console",
            "deployments.edit",
            "deployments.create",
        }
    ),
}


def expected(method: Method, who: str) -> str:
    """ "allowed", "permission_denied" or "unauthenticated", by the table of permissions."""
    permission = method.needs.permission
    if permission == "public":
        return "allowed"
    if who in ("nobody", "wrong"):
        return "unauthenticated"
    if who == "host":
        return "allowed" if method.needs.agent else "permission_denied"
    if who == "admin" or permission == "self":
        return "allowed"
    return "allowed" if permission in HELD[who] else "permission_denied"


def code_of(answer: Any) -> str:
    """The outcome as far as rights go."""
    code = answer.json().get("code", "") if answer.headers["content-type"] == "application/problem+json" else ""
    return code if code in ("permission_denied", "unauthenticated") else "allowed"


async def ids(api: Running) -> dict[str, str]:
    host = await api.host()
    await api.host("box-2", who="foreign")
    deployment = await api.deployment(host)
    client = await api.client()
    session = await client.start_session(deployment_id=deployment.deployment_id)
    return {
        "host_id": str(host),
        "deployment_id": str(deployment.deployment_id),
        "session_id": str(session.session_id),
        "game_id": str(deployment.game_id),
        "config_id": str(deployment.config_id),
        "join_token_id": "1",
        "dead_letter_id": "999",
        "entry": "demo",
    }


async def test_every_route_refuses_whoever_lacks_its_permission(api: Running) -> None:
    numbers = await ids(api)
    api.keys["wrong"] = "mmk_" + "x" * 43
    seen = set()
    for name, method in METHODS.items():
        if method.streams:
            continue
        path = method.path.format(**numbers)
        for who in CALLERS:
            # A join token or link that is unknown is `unauthenticated` too: public methods are not about rights.
            if method.needs.permission == "public":
                continue
            http = await api.http(None if who == "nobody" else who)
            # An unknown field makes the request invalid, so that nothing is changed by whoever may.
            body = {"json": {"nonsense": 1}} if method.body else {}
            given = {} if method.body else {"params": {"nonsense": "1"}}
            wanted = expected(method, who)
            # What is decoded before rights are looked at is told first; so those who may not are asked properly.
            if wanted != "allowed":
                body, given = ({"json": {}} if method.body else {}), {}
            answer = await http.request(method.verb.upper(), path, **body, **given)
            assert code_of(answer) == wanted, (name, who, answer.status_code, answer.text)
            seen.add((name, who))
            await http.aclose()
    unary = [m for m in METHODS.values() if not m.streams and m.needs.permission != "public"]
    assert len(seen) == len(unary) * len(CALLERS)


async def test_every_stream_refuses_whoever_lacks_its_permission(api: Running) -> None:
    numbers = await ids(api)
    api.keys["wrong"] = "mmk_" + "x" * 43
    for name, method in METHODS.items():
        if not method.streams:
            continue
        for who in CALLERS:
            http = await api.http(None if who == "nobody" else who)
            async with http.stream("GET", method.path.format(**numbers)) as answer:
                kind = answer.headers["content-type"].partition(";")[0]
                assert (kind == "text/event-stream") == (expected(method, who) == "allowed"), (name, who)
            await http.aclose()


async def test_grpc_refuses_the_same(api: Running) -> None:
    await ids(api)
    api.keys["wrong"] = "mmk_" + "x" * 43
    async with aio.insecure_channel(api.grpc) as channel:
        for name, method in METHODS.items():
            if method.streams or method.needs.permission == "public":
                continue
            call = channel.unary_unary(
                f"/manman.v1.{method.service}/{method.rpc}",
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )
            for who in CALLERS:
                wanted = expected(method, who)
                if wanted == "allowed":
                    continue
                metadata = () if who == "nobody" else (("authorization", f"Bearer {api.keys[who]}"),)
                with pytest.raises(aio.AioRpcError) as refused:
                    await call(method.request(), metadata=metadata)
                status = grpc.StatusCode[wanted.upper()]
                assert refused.value.code() is status, (name, who, refused.value.details())


async def test_a_foreign_hosts_key_learns_nothing(api: Running) -> None:
    numbers = await ids(api)
    own, foreign = await api.http("host"), await api.http("foreign")
    launch = f"/v1/deployments/{numbers['deployment_id']}/launch"
    assert (await own.get(launch)).status_code == 200
    assert (await foreign.get(launch)).status_code == 404
    assert (await own.get(f"/v1/hosts/{numbers['host_id']}")).status_code == 200
    assert (await foreign.get(f"/v1/hosts/{numbers['host_id']}")).status_code == 404
    assert (await foreign.post("/v1/sessions", json={"deployment_id": 1})).status_code == 403


@pytest.mark.parametrize("prefix", ["mml_", "mmk_", "mmh_", "mmj_", "mma_", ""])
async def test_no_kind_of_credential_is_accepted_for_another(api: Running, prefix: str) -> None:
    await api.host()
    for who in ("admin", "host"):
        secret = api.keys[who][4:]
        if api.keys[who].startswith(prefix) and prefix:
            continue
        api.keys["swapped"] = prefix + secret
        http = await api.http("swapped")
        assert (await http.get("/v1/whoami")).status_code == 401


async def test_setting_a_field_asks_for_its_own_permission(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    http = await api.http("operator")
    path = f"/v1/deployments/{deployment.deployment_id}"
    assert (await http.patch(path, json={"labels": {"team": "blue"}})).status_code == 200
    refused = await http.patch(path, json={"overrides": {"env": {"LD_PRELOAD": "x"}}})
    assert refused.status_code == 403 and "deployments.override" in refused.json()["detail"]
    cleared = await http.patch(path, json={"overrides": None})
    assert cleared.status_code == 403


def test_every_method_has_a_use_case_and_a_permission() -> None:
    import manman.api.service  # noqa: F401 - binds them

    assert {n for n, m in METHODS.items() if not m.streams} == use_cases.keys()
    assert {n for n, m in METHODS.items() if m.streams} == streams.keys()
    assert callable(permit)


async def test_a_role_without_rights_sees_nothing(api: Running) -> None:
    await ids(api)
    await api.fetch("UPDATE users SET role = NULL WHERE name = 'viewer-person'")
    http = await api.http("viewer")
    for path in ("/v1/sessions", "/v1/hosts", "/v1/events", "/v1/games", "/v1/dead-letters"):
        assert (await http.get(path)).status_code == 403
    assert (await http.get("/v1/whoami")).json()["permissions"] == []
