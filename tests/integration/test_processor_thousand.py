"""A thousand hosts and a real processor: no restart of processor, broker or database makes one of them stale; a real failure is
announced of those that failed, by the database's clock."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from contract.places import Place
from harness import Postgres, RabbitMQ, free_port
from harness.postgres import execute
from integration.test_processor_outages import until_ready
from integration.test_processor_stops import program

from manman.domain.ids import HostId
from manman.errors import Transient
from manman.events import topics
from manman.events.bus import Bus, Outgoing
from manman.store import migrate
from manman.store import pool as pools
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings

MANY = 1000
THRESHOLD, INTERVAL = 5, 0.5
SETTINGS = {"stale_host_threshold_seconds": THRESHOLD, "stale_host_check_interval_seconds": INTERVAL}
LATE = 30  # seconds that a busy machine may add
STALE = "SELECT count(*) FROM host_history WHERE to_status = 'stale'"
HEARD = f"SELECT count(*) FROM host_heartbeats WHERE online AND last_seen > clock() - {THRESHOLD} * interval '1 second'"
# Longer than it takes to mark whoever is silent: the ear is good again, and everybody could have been judged for a while.
JUDGED = f"SELECT since < clock() - {3 * THRESHOLD} * interval '1 second' AND last > clock() - interval '2 seconds' FROM pulse"


@pytest.fixture
async def own_database(own_postgres: Postgres) -> str:
    """A database whose server the test may stop."""
    execute(own_postgres.url(), "create database manman")
    await migrate.up(own_postgres.url("manman"))
    return own_postgres.url("manman")


async def register(pool: Pool) -> None:
    async with pool.transaction() as conn:
        query = "INSERT INTO hosts (name, created_at, updated_at) SELECT 'host-' || n, clock(), clock() FROM generate_series(1, $1::int) n"
        await conn.execute(query, MANY)


@pytest.fixture
async def pool(pool: Pool) -> Pool:
    await register(pool)
    return pool


class Hosts:
    """All that beat, every half second, whatever happens: one beat that cannot go out is followed by the next."""

    def __init__(self, bus: Bus, number: int = 0) -> None:
        self.bus, self.beating = bus, range(1, MANY + 1)
        self.number = number

    async def beat(self) -> None:
        while True:
            self.number += 1
            with suppress(Transient):
                await self.bus.publish([self._one(host) for host in self.beating])
            await asyncio.sleep(0.5)

    def _one(self, host: int) -> Outgoing:
        body = {"host_id": host, "boot": 1, "beat": self.number}
        key = topics.heartbeat(HostId(host))
        return Outgoing(exchange=topics.INTERNAL, key=key, body=msgspec.json.encode(body), perishable=True)


async def value(pool: Pool, query: str, *arguments: Any) -> Any:
    async with pool.acquire() as conn:
        return await conn.fetchval(query, *arguments)


async def until(pool: Pool, query: str, wanted: Any) -> None:
    """Until the query gives that, also over an outage of the database."""
    async with asyncio.timeout(120):
        while True:
            with suppress(Transient):
                if await value(pool, query) == wanted:
                    return
            await asyncio.sleep(0.2)


async def said_stale(pool: Pool) -> Sequence[Any]:
    """Whom the announcements name, and whether as a mass."""
    async with pool.acquire() as conn:
        query = "SELECT host, body FROM events WHERE type = 'manman.host.stale' ORDER BY host"
        return [(row["host"], bool(row["body"].get("mass"))) for row in await conn.fetch(query)]


async def silence(pool: Pool) -> tuple[float, float, float]:
    """By the database's clock: how long the first was silent when it was marked, how short anybody was, how long anybody was."""
    query = """
        SELECT extract(epoch FROM min(h.recorded_at) - min(b.last_seen))::float8 AS first,
               extract(epoch FROM min(h.recorded_at - b.last_seen))::float8 AS shortest,
               extract(epoch FROM max(h.recorded_at - b.last_seen))::float8 AS longest
          FROM host_history h JOIN host_heartbeats b ON b.host = h.host WHERE h.to_status = 'stale'"""
    async with pool.acquire() as conn:
        row = await conn.fetchrow(query)
    return row["first"], row["shortest"], row["longest"]


async def fail(pool: Pool, hosts: Hosts, many: int) -> None:
    """The last of them fall silent, and all of these are announced."""
    hosts.beating = range(1, MANY - many + 1)
    await until(pool, STALE, many)
    await until(pool, "SELECT count(*) FROM events WHERE type = 'manman.host.stale'", many)
    assert await value(pool, "SELECT count(*) FROM host_heartbeats WHERE online") == MANY - many


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
            hosts = Hosts(bus, number=1000)
            beating = group.create_task(hosts.beat())
            await until(pool, JUDGED, True)
            assert await value(pool, STALE) == 0
            await fail(pool, hosts, 400)
            beating.cancel()
    assert await said_stale(pool) == [(host, False) for host in range(601, MANY + 1)]
    _, shortest, longest = await silence(pool)
    assert THRESHOLD < shortest <= longest < THRESHOLD + INTERVAL + LATE


@pytest.mark.timeout(400)
async def test_restarts_of_broker_and_database_make_none_of_a_thousand_stale_and_a_failure_of_six_hundred_is_announced_as_a_mass(
    own_postgres: Postgres, own_database: str, own_rabbitmq: RabbitMQ
) -> None:
    place, port = Place("rabbitmq", own_rabbitmq.url()), free_port()
    pool = await pools.connect(DatabaseSettings(database_url=own_database))
    await register(pool)
    with program(place, own_database, port, **SETTINGS):
        await until_ready(port)
        async with place.bus() as bus, asyncio.TaskGroup() as group:
            hosts = Hosts(bus)
            beating = group.create_task(hosts.beat())
            await until(pool, HEARD, MANY)
            await asyncio.to_thread(own_rabbitmq.stop)
            await asyncio.sleep(THRESHOLD + 2)  # longer than the threshold
            await asyncio.to_thread(own_rabbitmq.start)
            await until(pool, HEARD, MANY)
            await until(pool, JUDGED, True)
            assert await value(pool, STALE) == 0
            await asyncio.to_thread(own_postgres.stop)
            await asyncio.sleep(THRESHOLD + 2)
            await asyncio.to_thread(own_postgres.start)
            await until(pool, HEARD, MANY)
            await until(pool, JUDGED, True)
            assert await value(pool, STALE) == 0
            await fail(pool, hosts, 600)
            beating.cancel()
    assert await said_stale(pool) == [(host, True) for host in range(401, MANY + 1)]
    first, shortest, longest = await silence(pool)
    assert 2 * THRESHOLD < first <= longest < 2 * THRESHOLD + INTERVAL + LATE
    assert shortest > THRESHOLD
    await pool.close()
