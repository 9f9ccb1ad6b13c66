"""The bus on PostgreSQL reads above what it settled: an old snapshot, which keeps dead rows, does not slow it."""

import json
from datetime import timedelta
from typing import Any

import asyncpg

from manman.events.bus import Binding, Outgoing, Queue, Topology
from manman.store import bus as postgres
from manman.store import bus_consumer
from manman.store.settings import DatabaseSettings

COUNT = 5000


async def pages(conn: Any, low: int, consumer: int) -> int:
    """How many pages one fetch above `low` looks at."""
    tr = conn.transaction()
    await tr.start()
    plan = await conn.fetchval(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) " + bus_consumer.sql["fetch"], "q", low, 100, consumer
    )
    await tr.rollback()
    [top] = json.loads(plan)
    return int(top["Plan"]["Shared Hit Blocks"] + top["Plan"]["Shared Read Blocks"])


async def test_a_fetch_above_the_mark_passes_over_no_dead_rows(database_url: str) -> None:
    topology = Topology(queues=(Queue(name="q"),), bindings=(Binding(queue="q", exchange="manman", pattern="#"),))
    bus = await postgres.connect(DatabaseSettings(database_url=database_url), topology=topology)
    watcher, holder = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        old = holder.transaction(isolation="repeatable_read")
        await old.start()
        await holder.fetchval("SELECT count(*) FROM bus_messages")
        for _ in range(COUNT // 500):
            await bus.publish([Outgoing(exchange="manman", key="k", body=b"x" * 100)] * 500)
        async with bus.consume("q", 500) as consumer:
            done = 0
            while done < COUNT:
                batch = await consumer.get_batch(500, wait=timedelta(seconds=20))
                assert batch
                done += len(batch)
                await consumer.ack(batch[-1])
            low: int = await watcher.fetchval("SELECT last_value FROM bus_messages_id_seq")
            me: int = await watcher.fetchval("SELECT max(id) FROM bus_consumers")
            from_the_start = await pages(watcher, 0, me)
            above = await pages(watcher, low, me)
        assert from_the_start > 100, "the old snapshot keeps what was settled, or this test shows nothing"
        assert above < 20
        await old.rollback()
    finally:
        await watcher.close()
        await holder.close()
        await bus.close()
