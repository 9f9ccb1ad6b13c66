"""Sweeps among 100,000 hosts with 300,000 live sessions: each looks up what it needs by keys, whatever the planner believes.

The sessions began after the statistics were taken, as they do in life: a plan that is good only while few are live is found out.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from integration.many_rows import AGENTS, HOSTS, MANY, filled, is_scan, nodes, plan_of

from manman.domain.ids import HostId
from manman.store import hosts, sweeps
from manman.store.pool import Connection

FILL = f"""
INSERT INTO host_heartbeats (host, online, boot, beat, last_seen, live_count, live_xor)
SELECT n, true, 1, 1, clock() + interval '1 hour', 3, n # ({MANY} + n) # (2 * {MANY} + n) FROM generate_series(1, {MANY}) n;
INSERT INTO host_samples (host, resolution, at) SELECT n, 10, clock() - interval '1 hour' FROM generate_series(1, {MANY}) n;
INSERT INTO deployments (id, name, host, config, config_revision, status, desired_version, seen_version, created_at, updated_at)
SELECT n, 'd-' || n, 1 + (n - 1) % {MANY}, 1, 1, 'ready', 1, 1, clock(), clock() FROM generate_series(1, 3 * {MANY}) n;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, ended_at, config, config_revision)
SELECT 3 * {MANY} + n, n, n, 'stopped', 1, clock(), clock(), clock(), 1, 1 FROM generate_series(1, {MANY}) n;
INSERT INTO events (epoch, position, id, type, at, key, body)
SELECT 1, n, gen_random_uuid(), 't', clock(), 'k', '{{}}' FROM generate_series(1, {MANY}) n;
ANALYZE;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, config, config_revision)
SELECT n, 1 + (n - 1) % {MANY}, n, 'running', 1, clock(), clock(), 1, 1 FROM generate_series(1, 3 * {MANY}) n;
INSERT INTO host_samples (host, resolution, at)
SELECT n, 10, date_bin('10 seconds', clock(), 'epoch') - k * interval '10 seconds'
FROM generate_series(1, {MANY}) n, generate_series(1, 3) k;
"""
TEN, DAYS = timedelta(seconds=10), timedelta(days=90)
PIECE = [50_000, 51_000]
# Of one row, or of as many as there are faults.
FEW = {
    "pulse",
    "counters",
    "installation",
    "revocations",
    "strays",
    "attempts",
    "dead_letters",
    "idempotency",
    "reports_due",
}
LIVENESS = {"host_heartbeats"}
# Each statement, its arguments, and the tables that it may read from end to end.
SWEEPS: dict[str, tuple[str, list[Any], set[str]]] = {
    "mark_offline": (hosts.sql["mark_offline"], [TEN, TEN, 1000, None], LIVENESS),
    "due_starts": (sweeps.sql["due_starts"], [TEN, 500], set()),
    "unseen_wishes": (sweeps.sql["unseen_wishes"], [TEN, 1000], set()),
    "unseen_places": (sweeps.sql["unseen_places"], [TEN, 1000], set()),
    "revocations": (sweeps.sql["revocations"], [TEN, 1000], set()),
    "hosts_to_ask": (sweeps.sql["hosts_to_ask"], [TEN, [7], 1000, 4 * TEN], LIVENESS),
    "holed": (sweeps.sql["holed"], [[5, 50_000], TEN], set()),
    "slice": (sweeps.sql["slice"], [50_000, 1000], set()),
    "hosts_that_differ": (sweeps.sql["hosts_that_differ"], [TEN, *PIECE], set()),
    "note_reports": (sweeps.sql["note_reports"], [[5], [50_000]], set()),
    "ask": (sweeps.sql["ask"], [[5, 50_000]], set()),
    "lost_hosts": (sweeps.sql["lost_hosts"], [timedelta(days=1), 100], LIVENESS),
    "forget_sessions": (sweeps.sql["forget_sessions"], [DAYS, 2000], set()),
    "forget_events": (sweeps.sql["forget_events"], [DAYS, 2000], set()),
    "forget_dead_letters": (sweeps.sql["forget_dead_letters"], [DAYS, 2000], set()),
    "forget_replies": (sweeps.sql["forget_replies"], [2000], set()),
    "forget_attempts": (sweeps.sql["forget_attempts"], [2000], set()),
    "forget_host_history": (sweeps.sql["forget_host_history"], [*PIECE, DAYS], set()),
    "forget_journals": (sweeps.sql["forget_journals"], PIECE, set()),
    "forget_samples": (sweeps.sql["forget_samples"], PIECE, set()),
    "sum_up_samples": (sweeps.sql["sum_up_samples"], [10, 60, *PIECE], set()),
}


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    async with filled(database_url, HOSTS, AGENTS, FILL) as conn:
        yield conn


def read_whole(plan: Any) -> Iterator[str]:
    """The tables that a plan reads from end to end, be it by an index."""
    for node in nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name")
        every_session = kind.startswith("Index") and table == "sessions" and "Index Cond" not in node
        if is_scan(node) or every_session:
            yield table


def read_again(plan: Any) -> Iterator[str]:
    """The tables that a plan reads from end to end for each row of something."""
    parts = plan.get("Plans", ())
    for part in parts:
        inner = plan["Node Type"] == "Nested Loop" and part["Parent Relationship"] == "Inner"
        again = (inner and part["Node Type"] != "Materialize") or part["Parent Relationship"] == "SubPlan"
        yield from read_whole(part) if again else read_again(part)


async def found(conn: Connection, look: Callable[[Any], Iterator[str]]) -> dict[str, set[str]]:
    """The tables in which each statement looks so, but those where it may."""
    tables: dict[str, set[str]] = {}
    for name, (text, arguments, allowed) in SWEEPS.items():
        tables[name] = set(look(await plan_of(conn, text, arguments))) - FEW - allowed
    return {name: whole for name, whole in tables.items() if whole}


@pytest.mark.timeout(300)
async def test_sweeps_look_up_by_keys_what_they_need(conn: Connection) -> None:
    # Before anybody counted the sessions that are live by now, and after.
    assert await found(conn, read_again) == {}
    await conn.execute("SET statement_timeout = '5s'")
    await conn.execute("UPDATE host_heartbeats SET live_xor = live_xor + 1 WHERE host IN (7, 2999)")
    differing: list[int] = []
    piece = await sweeps.slice_of_hosts(conn, HostId(0), 1000)
    while piece.last <= 3000:
        differing += await sweeps.hosts_that_differ(conn, TEN, piece)
        piece = await sweeps.slice_of_hosts(conn, piece.last, 1000)
    assert differing == [7, 2999]
    await conn.execute("SET statement_timeout = 0")
    await conn.execute("ANALYZE")
    assert await found(conn, read_whole) == {}


@pytest.mark.timeout(300)
async def test_hosts_to_ask_are_found_whether_few_or_all_of_them(conn: Connection) -> None:
    await conn.execute("SET statement_timeout = '5s'")
    await conn.execute("UPDATE host_journals SET hole_since = clock() - interval '1 minute' WHERE host = 77777")
    await conn.execute("UPDATE host_heartbeats SET returned_at = clock() WHERE host = 12")
    await conn.execute("UPDATE session_leases SET epoch = 0 WHERE host = 5")
    await conn.execute("INSERT INTO reports_due (host, since) VALUES (33, clock())")
    assert await to_ask(conn, 77) == [5, 12, 33, 77, 77777]
    # Each of them, as after a restore, and before anybody counted that.
    await conn.execute("UPDATE host_journals SET hole_since = clock() - interval '1 minute'")
    assert await to_ask(conn) == list(range(1, 1001))
    # Longest unasked first; less those that were asked lately, and those whose report is on the way.
    await conn.execute(
        """UPDATE host_heartbeats
              SET asked_at = clock() - CASE WHEN host <= 600 THEN interval '5 seconds' WHEN host <= 900 THEN interval '30 seconds'
                                            WHEN host > 99000 THEN interval '1 day' ELSE interval '1 hour' END"""
    )
    assert await to_ask(conn) == list(range(99_001, 99_101))


async def to_ask(conn: Connection, *differing: int) -> list[int]:
    hosts = [HostId(host) for host in differing]
    return [*await sweeps.hosts_to_ask(conn, TEN, hosts, most=1000, lost_after=4 * TEN)]


def test_a_table_that_is_read_for_each_row_is_seen() -> None:
    scan = {"Node Type": "Index Scan", "Relation Name": "sessions", "Parent Relationship": "Inner"}
    once = {"Node Type": "Seq Scan", "Relation Name": "hosts", "Parent Relationship": "Outer"}
    joined = {"Node Type": "Nested Loop", "Parent Relationship": "Outer", "Plans": [once, scan]}
    assert list(read_again({"Node Type": "Limit", "Plans": [joined]})) == ["sessions"]
