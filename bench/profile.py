"""Where the processor's CPU time goes under full load."""

import asyncio
import json
import tempfile
from dataclasses import replace
from pathlib import Path

from bench import Figure
from bench.places import RECORDER, Cost, Place, cost, end, load, place, recording, start_processor
from bench.processor import WORLD
from bench.world import stream
from manman.events.rabbit import bus as rabbit

ROUNDS = 8
PARTS = {
    "reading and writing AMQP (pika and the bus)": ("pika", "manman.events.rabbit"),
    "understanding messages": ("manman.events.codec", "manman.events.envelope", "manman.events.topics", "manman.processor.arrivals"),
    "deciding (fold and rules)": ("manman.processor.fold", "manman.processor.world", "manman.domain"),
    "announcements": ("manman.events.announce", "manman.events.outbox"),
    "loading and saving (asyncpg and the store)": ("asyncpg", "manman.store", "manman.processor.batch"),
}  # fmt: skip


def measure() -> list[Figure]:
    """Shares of the processor's own CPU, and of the three programs together."""
    counts, spent = asyncio.run(_run())
    total = sum(counts.values())
    figures = []
    for what, rooms in PARTS.items():
        mine = sum(n for name, n in counts.items() if name.startswith(rooms))
        figures.append(Figure(what=f"processor: {what}", amount=100 * mine / total, unit="%"))
    figures.append(Figure(what="processor: all else", amount=100 - sum(f.amount for f in figures), unit="%"))
    every = spent.client + spent.database + spent.broker
    named = {"the processor": spent.client, "its database connections": spent.database, "the broker": spent.broker}
    figures += [Figure(what=f"of all three: {who}", amount=100 * s / every, unit="%") for who, s in named.items()]
    return figures


async def _run() -> tuple[dict[str, int], Cost]:
    world = replace(WORLD, rounds=ROUNDS)
    where = await place(world)
    await load(where.broker, stream(world))
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "counts.json"
        spent = await _to_the_end(where, world.announced, str(told))
        return json.loads(told.read_text())["modules"], spent


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
