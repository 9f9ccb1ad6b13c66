"""A thousand hosts and a real processor: no restart makes one of them stale, a real failure is announced of those that failed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from contract.places import Place
from harness import free_port
from integration.test_processor_outages import until_ready
from integration.test_processor_stops import program

from manman.domain.ids import HostId
from manman.events import topics
from manman.events.bus import Bus, Outgoing
from manman.store import pool as pools
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings

MANY = 1000
THRESHOLD = 5
SETTINGS = {"stale_host_threshold_seconds": THRESHOLD, "stale_host_check_interval_seconds": 0.5}
STALE = "SELECT count(*) FROM host_history WHERE to_status = 'stale'"


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    made = await pools.connect(DatabaseSettings(database_url=database_url))
    async with made.transaction() as conn:
        query = "INSERT INTO hosts (name, created_at, updated_at) SELECT 'host-' || n, clock(), clock() FROM generate_series(1, $1::int) n"
        await conn.execute(query, MANY)
    yield made
    await made.close()


class Hosts:
    """All that beat, every half second, whatever happens."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.beating = bus, range(1, MANY + 1)
        self.number = 0

    async def beat(self) -> None:
        while True:
            self.number += 1
            await self.bus.publish([self._one(host) for host in self.beating])
            await asyncio.sleep(0.5)

    def _one(self, host: int) -> Outgoing:
        body = {"host_id": host, "boot": 1, "beat": self.number}
        return Outgoing(exchange=topics.INTERNAL, key=topics.heartbeat(HostId(host)), body=msgspec.json.encode(body))


async def value(pool: Pool, query: str, *arguments: Any) -> Any:
    async with pool.acquire() as conn:
        return await conn.fetchval(query, *arguments)


async def until(pool: Pool, query: str, wanted: Any) -> None:
    """Until the query gives that."""
    async with asyncio.timeout(120):
        while await value(pool, query) != wanted:  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.2)


async def said_stale(pool: Pool) -> Sequence[Any]:
    """Whom the announcements name, and whether as a mass."""
    async with pool.acquire() as conn:
        query = "SELECT host, body FROM events WHERE type = 'manman.host.stale' ORDER BY host"
        return [(row["host"], bool(row["body"].get("mass"))) for row in await conn.fetch(query)]


@pytest.mark.timeout(300)
async def test_a_restart_makes_none_of_a_thousand_stale_and_a_failure_of_four_hundred_is_announced(
    pool: Pool, database_url: str, rabbitmq_url: str
) -> None:
    place, port = Place("rabbitmq", rabbitmq_url), free_port()
    with program(place, database_url, port, **SETTINGS):
        await until_ready(port)
        async with place.bus() as bus, asyncio.TaskGroup() as group:
            beating = group.create_task(Hosts(bus).beat())
            await until(pool, "SELECT count(*) FROM host_heartbeats WHERE online", MANY)
            beating.cancel()
    await asyncio.sleep(THRESHOLD + 2)  # killed for longer than the threshold: all of them would be silent
    with program(place, database_url, port, **SETTINGS):
        await until_ready(port)
        async with place.bus() as bus, asyncio.TaskGroup() as group:
            hosts = Hosts(bus)
            hosts.number = 1000
            beating = group.create_task(hosts.beat())
            # Until the processor could have judged them for a while.
            await until(pool, f"SELECT since < clock() - {3 * THRESHOLD} * interval '1 second' FROM pulse", True)
            assert await value(pool, STALE) == 0
            hosts.beating = range(1, 601)
            await until(pool, STALE, 400)
            await until(pool, "SELECT count(*) FROM events WHERE type = 'manman.host.stale'", 400)
            assert await said_stale(pool) == [(host, False) for host in range(601, MANY + 1)]
            assert await value(pool, "SELECT count(*) FROM host_heartbeats WHERE online") == 600
            beating.cancel()
