"""The processor's resident memory over a million events."""

import asyncio
import time
from collections.abc import Iterator
from itertools import islice

from bench import Figure, progress
from bench.latency import consumed
from bench.places import end, memory, place, start_processor
from bench.world import World, stream
from manman.events import topics, topology
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

WORLD = World(deployments=1000, rounds=200)
EVERY = 100_000
AT_ONCE = 2000
MOST_WAITING = 10_000
PATIENCE = 120.0  # seconds in which what waits must become less
FLAT = 10  # MiB that it may differ by, once connections and caches are there


def measure() -> list[Figure]:
    """MiB after each 100,000 events; the most; what came on top after the second."""
    sizes, seconds = asyncio.run(run())
    grown = max(sizes[1:]) - sizes[1]
    return [
        *(
            Figure(what=f"after {EVERY * n:,} events", amount=size, unit="MiB")
            for n, size in enumerate(sizes, 1)
        ),
        Figure(what="the most", amount=max(sizes), unit="MiB", target="at most 150", met=max(sizes) <= 150),
        Figure(
            what=f"growth after {2 * EVERY:,} events", amount=grown, unit="MiB", target=f"at most {FLAT}", met=grown <= FLAT
        ),
        Figure(what="events a second meanwhile", amount=WORLD.events / seconds, unit="events/s"),
    ]  # fmt: skip


async def run() -> tuple[list[float], float]:
    """MiB after each EVERY events, and how many seconds all of them took."""
    where = await place(WORLD)
    bus = await rabbit.connect(where.broker, topology=topology.processor())
    child = start_processor(where)
    sizes: list[float] = []
    try:
        await consumed(bus)
        began, messages = time.perf_counter(), stream(WORLD)
        for n in range(1, WORLD.events // EVERY + 1):
            await _apply(bus, islice(messages, EVERY))
            sizes.append(memory(child))
            progress(f"{n * EVERY:,} events after {time.perf_counter() - began:.0f} s: {sizes[-1]:.1f} MiB")
        return sizes, time.perf_counter() - began
    finally:
        end(child)
        await bus.close()


async def _apply(bus: rabbit.RabbitBus, messages: Iterator[Outgoing]) -> None:
    """Publish all of them, never far ahead, and wait until they are taken."""
    while batch := list(islice(messages, AT_ONCE)):
        await bus.publish(batch)
        await _until(bus, MOST_WAITING)
    await _until(bus, 0)


async def _until(bus: rabbit.RabbitBus, most: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await bus.depth(topics.EVENTS_QUEUE)).ready > most:  # noqa: ASYNC110  # the broker tells nobody
            await asyncio.sleep(0.05)
