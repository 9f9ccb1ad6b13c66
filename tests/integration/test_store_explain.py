"""Every statement of a hot path finds its rows by an index, among 100,000 of each kind; only sweeps look at everything."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from integration.many_rows import (
    AGENTS,
    CATALOGUE,
    HEARD,
    HOSTS,
    MANY,
    SESSION_HISTORY,
    filled,
    is_scan,
    nodes,
    plan_of,
)
from integration.store_rows import AT

from manman.store import (
    batches,
    callers,
    events,
    heartbeats,
    hosts,
    outbox,
    power,
    save,
    session_leases,
    sessions,
)
from manman.store.pool import Connection
from manman.store.sql import rows as as_rows

# Rows that are there once.
SMALL = {"installation", "counters", "pulse", "leases", "roles", "games", "game_configs", "config_revisions", "strays"}
IDS = [5, 50_000, 99_999]
JOURNALS = ["j", "j", "j"]
FILL = f"""
INSERT INTO deployments (id, name, host, config, config_revision, status, created_at, updated_at, last_session)
SELECT n, 'd-' || n, n, 1, 1, 'ready', clock() + n * interval '1 ms', clock() + n * interval '1 ms', n FROM generate_series(1, {MANY}) n;
INSERT INTO ports (deployment, name, host, port, protocol) SELECT n, 'game', n, 27000, 'udp' FROM generate_series(1, {MANY}) n;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, started_at, ended_at, config, config_revision)
SELECT n, n, n, CASE WHEN n % 2 = 0 THEN 'running' ELSE 'stopped' END, 1, clock() + n * interval '1 ms', clock(),
       clock() + n * interval '1 ms', CASE WHEN n % 2 = 1 THEN clock() + n * interval '1 ms' END, 1, 1
FROM generate_series(1, {MANY}) n;
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
    "hosts.update_last_seen": (hosts.sql["update_last_seen"], [IDS, IDS, IDS, IDS, IDS, ["journal"] * 3, 250]),
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
    "power.standing": (power.sql["standing"], [5]),
    "batches.deployment_names": (batches.sql["deployment_names"], [IDS]),
    "callers.login": (callers.sql["login"], [b"x" * 32]),
    "callers.api_key": (callers.sql["api_key"], [b"x" * 32]),
    "callers.host_key": (callers.sql["host_key"], [b"x" * 32]),
}


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    async with filled(database_url, HOSTS, HEARD, AGENTS, CATALOGUE, SESSION_HISTORY, FILL) as conn:
        yield conn


def scans(plan: Any) -> set[str]:
    """The tables that a plan reads from end to end."""
    return {node["Relation Name"] for node in nodes(plan) if is_scan(node)}


@pytest.mark.timeout(300)
async def test_no_hot_statement_reads_a_table_from_end_to_end(conn: Connection) -> None:
    found = {
        name: scans(await plan_of(conn, text, arguments)) - SMALL for name, (text, arguments) in STATEMENTS.items()
    }
    assert {name: tables for name, tables in found.items() if tables} == {}


def test_a_scan_is_seen_where_there_is_one() -> None:
    inner = {"Node Type": "Hash Join", "Plans": [{"Node Type": "Seq Scan", "Relation Name": "sessions"}]}
    assert scans({"Node Type": "Limit", "Plans": [inner]}) == {"sessions"}
