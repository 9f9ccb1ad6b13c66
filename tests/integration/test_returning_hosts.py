"""Hosts that come back together: so many in one transaction, the others with their next beats, each announced and asked once."""

import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from integration.many_rows import CATALOGUE, filled
from integration.store_rows import a_pool

from manman.domain.ids import HostId
from manman.events import topics
from manman.events.bus import Delivery
from manman.events.codec import encode_body
from manman.events.contracts import Heartbeat
from manman.observability import Seen
from manman.processor.batch import Rules
from manman.processor.heartbeats import HeartbeatConsumer
from manman.store.hosts import BACK_TOGETHER
from manman.store.pool import Pool

MANY, EACH = BACK_TOGETHER + 50, 2
HOSTS = f"INSERT INTO hosts (name, created_at, updated_at) SELECT 'host-' || n, clock(), clock() FROM generate_series(1, {MANY}) n"
GONE = f"""INSERT INTO host_heartbeats (host, boot, beat, last_seen, journal)
SELECT n, 1, 1, clock() - interval '5 min', 'before' FROM generate_series(1, {MANY}) n"""
SESSIONS = f"""
INSERT INTO deployments (id, name, host, config, config_revision, status, created_at, updated_at)
SELECT n, 'd-' || n, 1 + n % {MANY}, 1, 1, 'ready', clock(), clock() FROM generate_series(1, {MANY * EACH}) n;
INSERT INTO sessions (id, host, deployment, status, run, created_at, at, config, config_revision)
SELECT n, 1 + n % {MANY}, n, 'running', 1, clock(), clock(), 1, 1 FROM generate_series(1, {MANY * EACH}) n;
"""


async def beats(pool: Pool, number: int) -> None:
    """All of them beat, in one batch. A life of its own journal: above the known pair, and not to be asked to go above it."""
    anything: Any = None
    rules = Rules(threshold=timedelta(seconds=10), start_deadline=timedelta(seconds=120), chance=os.urandom)
    loop_time = asyncio.get_running_loop().time
    consumer = HeartbeatConsumer(anything, pool, rules, loop_time)
    said = [Heartbeat(host_id=HostId(host), boot=1, beat=number, journal_id="now") for host in range(1, MANY + 1)]
    await consumer.apply([a_delivery(one) for one in said], Seen({}))


def a_delivery(beat: Heartbeat) -> Delivery:
    return Delivery(
        tag=beat.host_id,
        exchange=topics.INTERNAL,
        key=topics.heartbeat(beat.host_id),
        body=encode_body(beat),
        headers={},
        held_since=asyncio.get_running_loop().time(),
    )


async def to_publish(pool: Pool) -> dict[str, int]:
    """How often each is said, to a host or of one."""
    query = "SELECT type, count(*) FROM outbox GROUP BY 1"
    async with pool.acquire() as conn:
        return {row["type"]: row["count"] for row in await conn.fetch(query)}


@pytest.mark.parametrize("rows", [[HOSTS], [HOSTS, GONE]], ids=["never heard", "silent for long"])
async def test_who_returns_is_announced_and_asked_and_the_rest_with_the_next_beat(
    rows: Sequence[str], database_url: str
) -> None:
    async with filled(database_url, *rows, CATALOGUE, SESSIONS):
        pass
    pool = await a_pool(database_url)
    reachable = EACH if GONE in rows else 0  # nobody was told that they are not
    for number, here in ((2, BACK_TOGETHER), (3, MANY), (4, MANY)):
        await beats(pool, number)
        said = await to_publish(pool)
        assert said.pop("manman.session.reachable", 0) == here * reachable
        assert said == {"manman.host.online": here, "manman.command.report": here}
    await pool.close()
