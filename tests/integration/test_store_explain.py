"""Every statement of a hot path finds its rows by an index, among 100,000 of each kind; only sweeps look at everything."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from integration.store_rows import AT, a_pool

from manman.store import (
    batches,
    callers,
    events,
    heartbeats,
    hosts,
    listed,
    lists,
    outbox,
    power,
    save,
    session_leases,
    sessions,
)
from manman.store.lists import Page, Term
from manman.store.pool import Connection
from manman.store.sql import rows as as_rows

MANY = 100_000
# Rows that are there once.
SMALL = {"installation", "counters", "pulse", "leases", "roles", "games", "game_configs", "config_revisions", "strays"}
IDS = [5, 50_000, 99_999]
JOURNALS = ["j", "j", "j"]
# Without triggers and foreign keys, which would take a minute.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO hosts (id, name, created_at, updated_at) SELECT n, 'host-' || n, clock(), clock() FROM generate_series(1, {MANY}) n;
INSERT INTO host_heartbeats (host, online, boot, beat, last_seen) SELECT n, true, 1, 1, clock() FROM generate_series(1, {MANY}) n;
INSERT INTO session_leases (host) SELECT n FROM generate_series(1, {MANY}) n;
INSERT INTO host_history (host, number, to_status, at, recorded_at, cause)
SELECT n, 1, 'online', clock(), clock(), 'heard' FROM generate_series(1, {MANY}) n;
INSERT INTO host_samples (host, resolution, at) SELECT n, 10, clock() FROM generate_series(1, {MANY}) n;
INSERT INTO host_journals (host, journal, seen, last_used) SELECT n, 'j', '{{[1,100]}}', clock() FROM generate_series(1, {MANY}) n;
INSERT INTO games (id, name, created_at, updated_at) VALUES (1, 'g', clock(), clock());
INSERT INTO game_configs (id, game, name, created_at, updated_at) VALUES (1, 1, 'c', clock(), clock());
INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{{}}', clock());
INSERT INTO deployments (id, name, host, config, config_revision, status, created_at, updated_at, last_session)
SELECT n, 'd-' || n, n, 1, 1, 'ready', clock() + n * interval '1 ms', clock() + n * interval '1 ms', n FROM generate_series(1, {MANY}) n;
INSERT INTO ports (deployment, name, host, port, protocol) SELECT n, 'game', n, 27000, 'udp' FROM generate_series(1, {MANY}) n;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, started_at, ended_at, config, config_revision)
SELECT n, n, n, CASE WHEN n % 2 = 0 THEN 'running' ELSE 'stopped' END, 1, clock() + n * interval '1 ms', clock(),
       clock() + n * interval '1 ms', CASE WHEN n % 2 = 1 THEN clock() + n * interval '1 ms' END, 1, 1
FROM generate_series(1, {MANY}) n;
INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)
SELECT n, 1, 'pending', clock(), clock(), 'x' FROM generate_series(1, {MANY}) n;
INSERT INTO events (epoch, position, id, type, at, key, body, deployment)
SELECT 1, n, gen_random_uuid(), 't', clock(), 'k', '{{}}', n FROM generate_series(1, {MANY}) n;
UPDATE counters SET value = {MANY} - 10;
INSERT INTO outbox (event_id, type, exchange, key, body, created_at)
SELECT gen_random_uuid(), 't', CASE WHEN n % 2 = 0 THEN 'manman' ELSE 'external' END, 'k', '{{}}', clock()
FROM generate_series(1, {MANY}) n;
INSERT INTO users (id, kind, name, role, created_at, updated_at)
SELECT n, 'person', 'u-' || n, 'viewer', clock(), clock() FROM generate_series(1, {MANY}) n;
INSERT INTO logins (user_id, kind, hash, created_at, expires_at)
SELECT n, 'login', sha256(n::text::bytea), clock(), clock() + interval '1 day' FROM generate_series(1, {MANY}) n;
INSERT INTO host_keys (host, hash, created_at) SELECT n, sha256(n::text::bytea), clock() FROM generate_series(1, {MANY}) n;
INSERT INTO api_keys (user_id, name, hash, created_at)
SELECT n, 'k', sha256(n::text::bytea), clock() FROM generate_series(1, {MANY}) n;
ANALYZE;
"""
NOTHING: list[Any] = [None] * 3
SESSIONS = [{"id": n, "status": "running", "desired": "running", "number": n, "at": AT} for n in IDS]
STATEMENTS: dict[str, tuple[str, list[Any]]] = {
    "hosts.update_status_and_last_seen": (
        hosts.sql["update_status_and_last_seen"],
        [IDS, [True] * 3, IDS, IDS, [AT] * 3, NOTHING, NOTHING, NOTHING],
    ),
    "hosts.update_last_seen": (hosts.sql["update_last_seen"], [IDS, IDS, IDS, IDS, IDS, ["journal"] * 3]),
    "hosts.add_history": (
        hosts.sql["add_history"],
        [IDS, ["online"] * 3, ["offline"] * 3, [AT] * 3, ["x"] * 3, NOTHING],
    ),
    "sessions.update_status": (sessions.sql["update_status"], [as_rows(SESSIONS), timedelta(1)]),
    "sessions.update_session_start": (sessions.sql["update_session_start"], [as_rows(SESSIONS)]),
    "sessions.update_session_end": (sessions.sql["update_session_end"], [as_rows(SESSIONS)]),
    "batches.read_hosts": (batches.sql["read_hosts"], [IDS]),
    "batches.lock_hosts": (batches.sql["lock_hosts"], [IDS]),
    "batches.make_heartbeats": (batches.sql["make_heartbeats"], [IDS]),
    "batches.make_journals": (batches.sql["make_journals"], [IDS, JOURNALS]),
    "batches.lock_journals": (batches.sql["lock_journals"], [IDS, JOURNALS, IDS]),
    "batches.lock_leases": (batches.sql["lock_leases"], [IDS]),
    "batches.lock_deployments": (batches.sql["lock_deployments"], [IDS, IDS]),
    "batches.lock_sessions": (batches.sql["lock_sessions"], [IDS, IDS, IDS, IDS, IDS, IDS]),
    "batches.session_names": (batches.sql["session_names"], [IDS]),
    "batches.host_names": (batches.sql["host_names"], [IDS]),
    "batches.live_on_hosts": (batches.sql["live_on_hosts"], [IDS]),
    "batches.lock_live_on_hosts": (batches.sql["live_on_hosts"] + " FOR SHARE", [IDS]),
    "save.update_journals": (
        save.sql["update_journals"],
        [as_rows([{"host": n, "journal": "j", "seen": "{[1,5]}", "whole": True} for n in IDS])],
    ),
    "save.update_deployments": (
        save.sql["update_deployments"],
        [as_rows([{"id": n, "status": "ready", "desired": "running", "detail": "", "number": n} for n in IDS])],
    ),
    "session_leases.set": (session_leases.sql["set"], [as_rows([{"host": n, "ids": "{[1,5]}"} for n in IDS])]),
    "heartbeats.told": (heartbeats.sql["told"], [IDS, JOURNALS, IDS]),
    "outbox.commands": (outbox.sql["commands"], [500, []]),
    "outbox.remove": (outbox.sql["remove"], [IDS]),
    "events.relay": (events.sql["relay"], ["relay", "a", 99_000, 500]),
    "power.standing": (power.sql["standing"], [5, 5]),
    "batches.deployment_names": (batches.sql["deployment_names"], [IDS]),
    "callers.login": (callers.sql["login"], [b"x" * 32]),
    "callers.api_key": (callers.sql["api_key"], [b"x" * 32]),
    "callers.host_key": (callers.sql["host_key"], [b"x" * 32]),
}
TEN = timedelta(seconds=10)
LISTS: dict[str, tuple[str, Page, list[Any]]] = {
    "hosts by name": ("hosts", Page(order="name", id="host_id", after=("host-5", 5)), [TEN]),
    "deployments by name": ("deployments", Page(order="name", id="deployment_id", after=("d-5", 5)), [TEN]),
    "deployments of a host": (
        "deployments",
        Page(order="deployment_id", id="deployment_id", terms=[Term(column="host_id", op="=", values=(5,))]),
        [TEN],
    ),
    "sessions by id": (
        "sessions",
        Page(order="session_id", id="session_id", descending=True, after=(5000, 5000)),
        [TEN],
    ),
    "sessions by creation": (
        "sessions",
        Page(order="created_at", id="session_id", descending=True, after=(datetime(2030, 1, 1, tzinfo=UTC), 5)),
        [TEN],
    ),
    "sessions of a deployment": (
        "sessions",
        Page(
            order="session_id",
            id="session_id",
            descending=True,
            terms=[Term(column="deployment_id", op="=", values=(5,))],
        ),
        [TEN],
    ),
    "sessions of a host": (
        "sessions",
        Page(order="session_id", id="session_id", descending=True, terms=[Term(column="host_id", op="=", values=(5,))]),
        [TEN],
    ),
}


class Noted:
    """Takes the place of a connection to see which statements a page asks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, text: str, *arguments: Any) -> list[Any]:
        self.asked.append((text, arguments))
        return []

    async def fetchval(self, text: str, *arguments: Any) -> int:
        return 0  # the total counts up to 10,000 rows: it may look at all of fewer


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    pool = await a_pool(database_url, most=1)
    async with pool.acquire() as conn:
        await conn.execute("SET statement_timeout = 0")
        await conn.execute(FILL)
        yield conn
    await pool.close()


def scans(plan: Any) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if plan.get("Node Type") in ("Seq Scan", "Parallel Seq Scan"):
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scans(part)


async def explained(conn: Connection, text: str, arguments: list[Any]) -> set[str]:
    (row,) = await conn.fetch(f"EXPLAIN (FORMAT JSON) {text}", *arguments)
    return set(scans(row[0][0]["Plan"])) - SMALL


@pytest.mark.timeout(300)
async def test_no_hot_statement_reads_a_table_from_end_to_end(conn: Connection) -> None:
    found = {name: await explained(conn, text, arguments) for name, (text, arguments) in STATEMENTS.items()}
    for name, (noun, page, arguments) in LISTS.items():
        noted = Noted()
        await lists.page(noted, listed.sql[noun], page, *arguments)
        for text, given in noted.asked:
            found[name] = await explained(conn, text, list(given))
    assert {name: tables for name, tables in found.items() if tables} == {}


def test_a_scan_is_seen_where_there_is_one() -> None:
    inner = {"Node Type": "Hash Join", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "sessions"}]}
    assert list(scans({"Node Type": "Limit", "Plans": [inner]})) == ["sessions"]
