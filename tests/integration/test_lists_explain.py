"""Every list in every order and scope, among 100,000 rows of each noun: a page comes from an index, and nothing is sorted whole."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from integration.many_rows import CATALOGUE, HEARD, HOSTS, MANY, SESSION_HISTORY, filled, is_scan, nodes, plan_of

from manman.api import configs, dead_letters, deployments, events, filters, games, hosts, sessions
from manman.api.pages import List
from manman.store import listed, lists
from manman.store.pool import Connection

NOW = datetime(2030, 1, 1, tzinfo=UTC)
# Rows that are there once, or as many as the catalogue has.
SMALL = {"installation", "counters", "games", "game_configs", "config_revisions"}
FILL = f"""
INSERT INTO deployments (id, name, host, config, config_revision, status, created_at, updated_at, last_session)
SELECT n, 'd-' || n, 1 + n % 5000, 1, 1, 'ready', clock() + n * interval '1 ms', clock(), n FROM generate_series(1, {MANY}) n;
INSERT INTO ports (deployment, name, host, port, protocol)
SELECT n, 'game', 1 + n % 5000, 20000 + n / 5000, 'udp' FROM generate_series(1, {MANY}) n;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, ended_at, config, config_revision)
SELECT n, 1 + n % 5000, n, CASE WHEN n % 4 > 0 THEN 'running' WHEN n % 8 > 0 THEN 'stopped' ELSE 'crashed' END, 1,
       clock() + n * interval '1 ms', clock(), CASE WHEN n % 4 = 0 THEN clock() + n * interval '1 ms' END, 1, 1
FROM generate_series(1, {MANY}) n;
INSERT INTO crash_reports (session, created_at) SELECT n, clock() FROM generate_series(1, {MANY}) n;
INSERT INTO deployment_history (deployment, number, to_status, at, recorded_at, cause)
SELECT n, 1, 'ready', clock(), clock(), 'x' FROM generate_series(1, {MANY}) n;
INSERT INTO events (epoch, position, id, type, at, key, body, deployment)
SELECT 1, n, gen_random_uuid(), 't', clock(), 'k', '{{}}', n % 5000 FROM generate_series(1, {MANY}) n;
INSERT INTO dead_letters (key, body, reason, at) SELECT 'k', '', 'malformed', clock() FROM generate_series(1, {MANY}) n;
INSERT INTO join_tokens (hash, created_at, expires_at)
SELECT sha256(n::text::bytea), clock(), clock() FROM generate_series(1, {MANY}) n;
ANALYZE;
"""
SILENCE = (timedelta(seconds=10),)
# A list, the parameters of its own SQL, and the scopes that people look at: filters, besides none.
LISTS: dict[str, tuple[List, tuple[Any, ...], list[str]]] = {
    "hosts": (hosts.HOSTS, SILENCE, ["host_id = 5", "name = host-5"]),
    "deployments": (deployments.DEPLOYMENTS, SILENCE, ["host_id = 5", "name = d-5", "deployment_id = (5, 6)"]),
    "sessions": (
        sessions.SESSIONS,
        SILENCE,
        ["host_id = 5", "deployment_id = 5", "live = true", "status = crashed AND ended_at > -24h"],
    ),
    "games": (games.GAMES, (), ["name = g"]),
    "configs": (configs.CONFIGS, (), ["game_id = 1"]),
    "dead letters": (dead_letters.LETTERS, (), ["open = true"]),
    "events, newest first": (events.NEWEST, (), ["deployment_id = 5"]),
    "events, onward": (events.ONWARD, (), ["deployment_id = 5"]),
}
NUMBERED = {
    "host_history": [5, 0, 51],
    "deployment_history": [5, 0, 51],
    "session_history": [5, 0, 51],
    "config_revisions": [1, 0, 51],
    "join_tokens": [0, 51],
    "ports_of_host": [5],
    "crash_tail": [5],
}


class Noted:
    """Takes the place of a connection to see which statement a page asks; the total counts up to 10,000 rows and may look."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, text: str, *arguments: Any) -> list[Any]:
        self.asked.append((text, arguments))
        return []

    async def fetchval(self, text: str, *arguments: Any) -> int:
        return 0


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    async with filled(database_url, HOSTS, HEARD, CATALOGUE, SESSION_HISTORY, FILL) as conn:
        yield conn


def orders(one: List) -> list[str]:
    """What may stand in `order_by`, both ways; and nothing, which is the list's own."""
    return ["", *(f"{name} {way}" for name in sorted(filters.orderable(one.noun)) for way in ("asc", "desc"))]


def keys(one: List, order: str) -> list[Any]:
    """Where a page may begin: at the start, and after a row."""
    match order:
        case "name":
            value: Any = "host-5"
        case "created_at" | "updated_at" | "ended_at" | "at":
            value = NOW
        case _:
            value = 5
    return [None, (value, 5)]


async def statements() -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Every list's page in every order and scope, from its start and from a later place."""
    noted, found = Noted(), dict[str, tuple[str, tuple[Any, ...]]]()
    for name, (one, arguments, scopes) in LISTS.items():
        for scope in ("", *scopes):
            for order in orders(one):
                request = SimpleNamespace(filter=scope, order_by=order, page_size=50, page_token="")
                asked = one.asked(request, NOW)
                for key in keys(one, asked.order):
                    await lists.page(noted, one.query, replace(asked, after=key), *arguments)
                    found[f"{name} | {scope} | {order} | after {key}"] = noted.asked[-1]
    return found | {name: (listed.sql[name], tuple(given)) for name, given in NUMBERED.items()}


def wasteful(plan: Any) -> Iterator[str]:
    """What a page should not do: read a table from end to end, or sort more than a few pages."""
    for node in nodes(plan):
        if is_scan(node) and node["Relation Name"] not in SMALL:
            yield f"reads all of {node['Relation Name']}"
        if node["Node Type"] == "Sort" and node["Plans"][0]["Plan Rows"] > MANY / 50:
            yield f"sorts {node['Plans'][0]['Plan Rows']} rows by {node['Sort Key']}"


@pytest.mark.timeout(300)
async def test_a_page_of_any_list_comes_from_an_index(conn: Connection) -> None:
    found = {
        name: list(wasteful(await plan_of(conn, text, arguments)))
        for name, (text, arguments) in (await statements()).items()
    }
    assert len(found) > 100
    assert {name: why for name, why in found.items() if why} == {}


async def test_waste_is_seen_where_there_is_some(database_url: str) -> None:
    async with filled(database_url) as conn:
        scan = await plan_of(conn, "SELECT FROM sessions WHERE detail = 'x'")
        sort = await plan_of(conn, f"SELECT n FROM generate_series(1, {MANY}) n ORDER BY n LIMIT 50")
    assert list(wasteful(scan)) == ["reads all of sessions"]
    assert list(wasteful(sort)) == [f"sorts {MANY} rows by ['n']"]
