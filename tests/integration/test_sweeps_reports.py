"""Who is asked for a report, and when: so many within a threshold, whoever waited longest first, nobody never. By the database's clock,
which these tests set."""

from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from integration.store_rows import a_pool

from manman.domain.ids import HostId
from manman.processor.batch import Rules
from manman.processor.sweeps.reports import ASKED_MOST, LOST_AFTER, Differing, missing
from manman.store import sweeps
from manman.store.pool import Connection

pytestmark = pytest.mark.both_postgres
MANY = 1000
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TEN, EVERY = timedelta(seconds=10), timedelta(seconds=2)
RULES = Rules(threshold=TEN, start_deadline=timedelta(minutes=2), chance=lambda many: bytes(many))
CLOCK = """
CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
 AS $$SELECT current_setting('test.now')::timestamptz$$"""
# Each of them can be heard, and of each something has been missing for an hour.
FILL = f"""
INSERT INTO hosts (name, created_at, updated_at) SELECT 'host-' || n, clock(), clock() FROM generate_series(1, {MANY}) n;
UPDATE host_heartbeats SET online = true, boot = 1, beat = 1, last_seen = 'infinity';
INSERT INTO host_journals (host, journal, hole_since, last_used)
SELECT id, 'j', clock() - interval '1 hour', clock() FROM hosts"""
FILLED = "UPDATE host_journals SET hole_since = NULL WHERE host = ANY ($1::bigint[])"
EVERYBODY = [HostId(n) for n in range(1, MANY + 1)]


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Connection]:
    pool = await a_pool(database_url, most=1)
    async with pool.acquire() as conn:
        await conn.execute(CLOCK)
        await at(conn, timedelta(0))
        await conn.execute(FILL)
        yield conn
    await pool.close()


async def at(conn: Connection, later: timedelta) -> None:
    """It is so much later than the beginning."""
    await conn.execute("SELECT set_config('test.now', $1, false)", (BEGAN + later).isoformat())


async def answered(conn: Connection, hosts: Collection[HostId]) -> None:
    """Their reports were applied."""
    await conn.execute(FILLED, hosts)
    await sweeps.note_reports(conn, due=(), came=hosts)


async def sweep(conn: Connection, later: timedelta, differing: Collection[HostId] = ()) -> list[HostId]:
    """The hosts that the sweep asks at this time."""
    await at(conn, later)
    before = await conn.fetchval("SELECT coalesce(max(id), 0) FROM outbox")
    told = await missing(conn, RULES, set(differing))
    rows = await conn.fetch("SELECT host FROM outbox WHERE id > $1 AND type = 'manman.command.report'", before)
    asked = [row["host"] for row in rows]
    holed = await conn.fetchval("SELECT count(hole_since) FROM host_journals WHERE host = ANY ($1::bigint[])", asked)
    assert told == {"asked": len(rows), "holes": holed}
    return sorted(HostId(host) for host in asked)


def most_within_a_threshold(asked: dict[timedelta, list[HostId]]) -> int:
    return max(sum(len(hosts) for later, hosts in asked.items() if last - TEN < later <= last) for last in asked)


async def test_of_a_thousand_hosts_at_most_250_are_asked_in_a_threshold_the_longest_unasked_first_and_all_in_four(
    conn: Connection,
) -> None:
    # The higher its number the longer ago a host was asked; the last fifty never were.
    await conn.execute("UPDATE host_heartbeats SET asked_at = clock() - host * interval '1 minute' WHERE host <= 950")
    asked: dict[timedelta, list[HostId]] = {}
    for later in (EVERY * n for n in range(20)):
        asked[later] = await sweep(conn, later)
        await answered(conn, asked[later])
    turns = [hosts for hosts in asked.values() if hosts]
    assert turns == [EVERYBODY[750:], EVERYBODY[500:750], EVERYBODY[250:500], EVERYBODY[:250]]
    assert most_within_a_threshold(asked) == ASKED_MOST == 250


async def test_hosts_that_never_answer_keep_nobody_from_being_asked(conn: Connection) -> None:
    asked = {later: await sweep(conn, later) for later in (EVERY * n for n in range(5 * 4 * LOST_AFTER))}
    assert list(chain.from_iterable(asked.values())) == EVERYBODY
    assert most_within_a_threshold(asked) == ASKED_MOST
    assert await sweep(conn, 4 * LOST_AFTER * TEN) == EVERYBODY[:250]


async def test_a_host_counts_until_it_has_answered_or_is_asked_again(conn: Connection) -> None:
    first = await sweep(conn, timedelta(0))
    assert first == EVERYBODY[:250]
    await answered(conn, first[:50])
    assert await sweep(conn, TEN - EVERY) == []
    assert await sweep(conn, TEN) == EVERYBODY[250:300]
    assert await sweep(conn, 2 * TEN) == []
    await answered(conn, first[50:])
    assert await sweep(conn, 2 * TEN) == EVERYBODY[300:500]
    await answered(conn, EVERYBODY[300:])
    # Nobody else is left: what may have been lost is asked for again, as soon as the bound allows.
    assert await sweep(conn, 3 * TEN - EVERY) == []
    assert await sweep(conn, 3 * TEN) == EVERYBODY[250:300]
    assert await sweep(conn, 4 * TEN - EVERY) == []
    assert await sweep(conn, 4 * TEN) == EVERYBODY[250:300]


async def test_hosts_that_differ_wait_within_the_same_bound(conn: Connection) -> None:
    await answered(conn, EVERYBODY[100:])
    await conn.execute("UPDATE host_heartbeats SET live_count = 1 WHERE host > 200")
    differing = Differing()
    assert await differing.step(conn, RULES) == {"asked": ASKED_MOST, "holes": 100, "more": 1}
    assert differing.found == set(EVERYBODY[350:])
    await answered(conn, EVERYBODY)
    assert await sweep(conn, TEN, differing.found) == EVERYBODY[350:600]
    await answered(conn, EVERYBODY)
    # What agrees when it is compared again waits no longer.
    await conn.execute("UPDATE host_heartbeats SET live_count = 0 WHERE host <= 990")
    await at(conn, 3 * TEN)
    assert await differing.step(conn, RULES) == {"asked": 0, "holes": 0, "more": 0}
    assert await differing.step(conn, RULES) == {"asked": 10, "holes": 0, "more": 1}
    assert not differing.found


async def test_a_report_that_is_wanted_is_asked_for_until_one_came(conn: Connection) -> None:
    await answered(conn, EVERYBODY)
    await sweeps.note_reports(conn, due=[HostId(7), HostId(8)])
    assert await sweep(conn, TEN) == [7, 8]
    await answered(conn, [HostId(8)])
    assert await sweep(conn, 2 * TEN - EVERY) == []
    assert await sweep(conn, 2 * TEN) == [7]
    assert await sweep(conn, 3 * TEN) == [7]
    await answered(conn, [HostId(7)])
    assert await sweep(conn, 4 * TEN) == []
