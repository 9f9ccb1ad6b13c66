"""Coming in and going out: one-time links, logins, keys, tokens."""

import os

from harness.apis import Running

from manman.api import identity
from manman.client import Client


async def link(api: Running) -> str:
    async with api.pool.transaction() as conn:
        return await identity.new_admin_link(conn, os.urandom)


async def test_a_link_lets_one_in_once(api: Running) -> None:
    secret = await link(api)
    http = await api.http(None)
    came = await http.post("/v1/login", json={"link": secret})
    assert came.status_code == 201 and came.json()["token"].startswith("mml_") and came.json()["role"] == "admin"
    assert (await http.post("/v1/login", json={"link": secret})).status_code == 401
    api.keys["login"] = came.json()["token"]
    me = (await (await api.http("login")).get("/v1/whoami")).json()
    assert (me["name"], me["credential"], me["kind"]) == ("admin", "login", "user")
    for table in ("logins", "audit", "idempotency"):
        rows = await api.fetch(f"SELECT t::text AS text FROM {table} t")
        assert not any(secret in r["text"] or api.keys["login"] in r["text"] for r in rows)


async def test_a_link_that_is_over_or_invented_lets_nobody_in(api: Running) -> None:
    secret = await link(api)
    await api.fetch("UPDATE logins SET expires_at = clock() - interval '1 second'")
    http = await api.http(None)
    for word in (secret, "mma_" + "x" * 43, "mml_" + secret[4:], "", "x"):
        answer = await http.post("/v1/login", json={"link": word})
        assert answer.status_code == 401 and answer.json()["code"] == "unauthenticated"


async def test_a_logout_ends_the_login_and_no_other(api: Running) -> None:
    http = await api.http(None)
    for name in ("one", "two"):
        api.keys[name] = (await http.post("/v1/login", json={"link": await link(api)})).json()["token"]
    assert (await (await api.http("one")).post("/v1/logout", json={})).status_code == 200
    assert (await (await api.http("one")).get("/v1/whoami")).status_code == 401
    assert (await (await api.http("two")).get("/v1/whoami")).status_code == 200
    assert (await (await api.http("admin")).post("/v1/logout", json={})).status_code == 200
    assert (await (await api.http("admin")).get("/v1/whoami")).status_code == 200


async def test_an_idle_login_ends(api: Running) -> None:
    http = await api.http(None)
    api.keys["login"] = (await http.post("/v1/login", json={"link": await link(api)})).json()["token"]
    await api.fetch(
        "UPDATE logins SET created_at = clock() - interval '8 days', last_used_at = NULL WHERE kind = 'login'"
    )
    assert (await (await api.http("login")).get("/v1/whoami")).status_code == 401


async def test_a_fresh_local_key_ends_the_one_before(api: Running) -> None:
    async with api.pool.transaction() as conn:
        first = await identity.new_local_key(conn, os.urandom)
    async with api.pool.transaction() as conn:
        second = await identity.new_local_key(conn, os.urandom)
    api.keys |= {"first": first, "second": second}
    assert (await (await api.http("first")).get("/v1/whoami")).status_code == 401
    async with Client(api.url, second) as client:
        me = await client.who_am_i()
    assert (me.kind, me.name, me.role) == ("service", "local", "admin")


async def test_a_key_has_no_more_than_its_owner_and_no_more_than_it_names(api: Running) -> None:
    http = await api.http("operator")
    assert "sessions.power" in (await http.get("/v1/whoami")).json()["permissions"]
    await api.fetch(
        "UPDATE api_keys SET permissions = '{deployments.view,system.operate}'"
        " WHERE user_id = (SELECT id FROM users WHERE name = 'operator-person')"
    )
    assert (await http.get("/v1/whoami")).json()["permissions"] == ["deployments.view"]
    await api.fetch("UPDATE users SET disabled_at = clock() WHERE name = 'operator-person'")
    assert (await http.get("/v1/whoami")).status_code == 401
