"""Databases with 100,000 rows of each noun, and what PostgreSQL would do to answer a statement there."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from manman.store.pool import Connection, single
from manman.store.settings import DatabaseSettings

MANY = 100_000
HOSTS = f"""
INSERT INTO hosts (id, name, created_at, updated_at) SELECT n, 'host-' || n, clock(), clock() FROM generate_series(1, {MANY}) n;
INSERT INTO host_history (host, number, to_status, at, recorded_at, cause)
SELECT n, 1, 'online', clock(), clock(), 'heard' FROM generate_series(1, {MANY}) n;
"""
# Heartbeats and figures of a moment.
HEARD = f"""
INSERT INTO host_heartbeats (host, online, boot, beat, last_seen) SELECT n, true, 1, 1, clock() FROM generate_series(1, {MANY}) n;
INSERT INTO host_samples (host, resolution, at) SELECT n, 10, clock() FROM generate_series(1, {MANY}) n;
"""
# What the control plane keeps of each agent.
AGENTS = f"""
INSERT INTO session_leases (host) SELECT n FROM generate_series(1, {MANY}) n;
INSERT INTO host_journals (host, journal, seen, last_used) SELECT n, 'j', '{{[1,100]}}', clock() FROM generate_series(1, {MANY}) n;
"""
CATALOGUE = """
INSERT INTO games (id, name, created_at, updated_at) VALUES (1, 'g', clock(), clock());
INSERT INTO game_configs (id, game, name, created_at, updated_at) VALUES (1, 1, 'c', clock(), clock());
INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock());
"""
SESSION_HISTORY = f"""
INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)
SELECT n, 1, 'pending', clock(), clock(), 'x' FROM generate_series(1, {MANY}) n;
"""


@contextlib.asynccontextmanager
async def filled(url: str, *statements: str) -> AsyncIterator[Connection]:
    """A connection to the database after these statements, without triggers and foreign keys, which would take a minute."""
    conn = await single(DatabaseSettings(database_url=url), statement_timeout="0")
    try:
        await conn.execute("SET session_replication_role = replica")
        for statement in statements:
            await conn.execute(statement)
        yield conn
    finally:
        await conn.close()


async def plan_of(conn: Connection, text: str, arguments: Sequence[Any] = ()) -> Any:
    """PostgreSQL's plan for a statement: `Node Type`, `Relation Name`, `Plans` …"""
    (row,) = await conn.fetch(f"EXPLAIN (FORMAT JSON) {text}", *arguments)
    return row[0][0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    """A plan and all of its parts."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def is_scan(node: Any) -> bool:
    """Whether a part of a plan reads its table from end to end."""
    return node["Node Type"] in ("Seq Scan", "Parallel Seq Scan")
