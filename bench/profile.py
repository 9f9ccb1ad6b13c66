"""Where the processor's CPU time goes under full load, and its database's time."""

import asyncio
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import asyncpg

from bench import Figure
from bench.places import RECORDER, Cost, Place, cost, end, load, place, recording, start_processor
from bench.processor import WORLD
from bench.world import stream
from manman.events.rabbit import bus as rabbit
from manman.store import batches, events

ROUNDS = 8
PARTS = {
    "reading and writing AMQP (pika and the bus)": ("pika", "manman.events.rabbit"),
    "understanding messages": ("manman.events.codec", "manman.events.envelope", "manman.events.topics", "manman.processor.arrivals"),
    "deciding (fold and rules)": ("manman.processor.fold", "manman.processor.world", "manman.domain"),
    "announcements": ("manman.events.announce", "manman.events.outbox"),
    "loading and saving (asyncpg and the store)": ("asyncpg", "manman.store", "manman.processor.batch"),
}  # fmt: skip
LOADS, RELAY, SAVES, REST = (
    "locking and loading a batch's rows",
    "numbering events and handing them over (relay)",
    "saving a batch: inbox, sessions, histories, outbox",
    "all else",
)


def measure() -> list[Figure]:
    """Shares of the processor's own CPU, of its database's time by what it is asked, and of the three programs together."""
    counts, spent, asked = asyncio.run(_run())
    total = sum(counts.values())
    figures = []
    for what, rooms in PARTS.items():
        mine = sum(n for name, n in counts.items() if name.startswith(rooms))
        figures.append(Figure(what=f"processor: {what}", amount=100 * mine / total, unit="%"))
    figures.append(Figure(what="processor: all else", amount=100 - sum(f.amount for f in figures), unit="%"))
    figures += [
        Figure(what=f"database: {what}", amount=100 * t / sum(asked.values()), unit="%") for what, t in asked.items()
    ]
    every = spent.client + spent.database + spent.broker
    named = {"the processor": spent.client, "its database connections": spent.database, "the broker": spent.broker}
    figures += [Figure(what=f"of all three: {who}", amount=100 * s / every, unit="%") for who, s in named.items()]
    return figures


async def _run() -> tuple[dict[str, int], Cost, dict[str, float]]:
    world = replace(WORLD, rounds=ROUNDS)
    where = await place(world)
    await load(where.broker, stream(world))
    await _count(where)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "counts.json"
        spent = await _to_the_end(where, world.announced, str(told))
        return json.loads(told.read_text())["modules"], spent, await _asked(where)


async def _count(where: Place) -> None:
    """From now on whoever connects to this database has its statements counted."""
    conn = await asyncpg.connect(where.database)
    name = where.database.rsplit("/", 1)[1]
    await conn.execute(
        f"CREATE EXTENSION pg_stat_statements; ALTER DATABASE {name} SET pg_stat_statements.track = 'top'"
    )
    await conn.close()


async def _asked(where: Place) -> dict[str, float]:
    """Milliseconds that its statements took, by what they are for."""
    conn = await asyncpg.connect(where.database)
    rows = await conn.fetch(
        """SELECT query, total_exec_time AS took FROM pg_stat_statements
            WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    )
    await conn.close()
    took = dict.fromkeys((SAVES, LOADS, RELAY, REST), 0.0)
    for row in rows:
        took[_purpose(row["query"])] += row["took"]
    return took


def _purpose(query: str) -> str:
    """What a statement is for. Its text is counted as it was sent, constants left out, of which ours have few at the begin."""
    if query.startswith("WITH part_0"):
        return SAVES
    begin = query[:60]
    if begin in events.sql["relay"]:
        return RELAY
    return LOADS if any(begin in text for text in batches.sql.values()) else REST


async def _to_the_end(where: Place, announced: int, target: str) -> Cost:
    recorder = await rabbit.connect(where.broker, topology=recording())
    child = start_processor(where, "bench.sampled", target)
    seen, before = 0, Cost(0, 0, 0)
    try:
        async with recorder.consume(RECORDER, 1000) as consumer:
            while seen < announced:
                batch = await consumer.get_batch(1000)
                if not seen:
                    before = cost(child, where)
                seen += len(batch)
                await consumer.ack(batch[-1])
        return cost(child, where).since(before)
    finally:
        end(child)
        await recorder.close()
