"""How many heartbeats a second are taken beside 1,000 events a second."""

import asyncio
import json
import sys
import time

from bench import REPEATS, Figure, median
from bench.latency import Clock, consumed
from bench.places import end, place, recording, start_processor
from bench.world import World, stream
from manman.events import topics, topology
from manman.events.rabbit import bus as rabbit

HOSTS = 10_000
RATE, SECONDS = 20_000, 10
EVENTS = 1_000
WORLD = World(hosts=HOSTS, deployments=200, rounds=EVENTS * SECONDS // (200 * 5))


def measure() -> list[Figure]:
    """Heartbeats a second until the last was taken, and what the events beside them took."""
    runs = [asyncio.run(run()) for _ in range(REPEATS)]
    return [
        median(f"heartbeats taken beside {EVENTS:,} events/s", [r[0] for r in runs], "beats/s", at_least=RATE),
        median("their publisher's own rate", [r[1] for r in runs], "beats/s"),
        median("most that waited in the queue", [r[2] for r in runs], "beats"),
        median(f"{EVENTS:,} events/s beside them: p50", [r[3] for r in runs], "ms"),
        median(f"{EVENTS:,} events/s beside them: p99", [r[4] for r in runs], "ms"),
    ]


async def run() -> tuple[float, float, float, float, float]:
    """Taken and offered beats a second, the longest queue, p50 and p99 of the events in milliseconds."""
    where = await place(WORLD)
    bus = await rabbit.connect(where.broker, topology=topology.processor() + recording())
    child = start_processor(where)
    try:
        await consumed(bus)
        clock = Clock(EVENTS)
        heard = asyncio.create_task(clock.record(bus, WORLD.announced))
        begin = time.perf_counter()
        words = ["bench.beats", where.broker, *map(str, (HOSTS, RATE, SECONDS))]
        beats = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
        events = asyncio.create_task(clock.publish(bus, list(stream(WORLD))))
        told = asyncio.create_task(beats.communicate())
        deepest = 0
        while not await _waiting(bus) and not told.done():
            await asyncio.sleep(0.01)  # the publisher's own start is not the processor's time
            begin = time.perf_counter()
        while not told.done() or await _waiting(bus):
            deepest = max(deepest, await _waiting(bus))
            await asyncio.sleep(0.1)
        spent = time.perf_counter() - begin
        said = json.loads(next(line for line in (await told)[0].splitlines() if line.startswith(b"{")))
        await events
        sample = await heard
        return said["count"] / spent, said["count"] / said["seconds"], deepest, sample.at(0.5), sample.at(0.99)
    finally:
        end(child)
        await bus.close()


async def _waiting(bus: rabbit.RabbitBus) -> int:
    return (await bus.depth(topics.HEARTBEAT_QUEUE)).ready
