"""A replica of several is killed, or freezes, under load: how long what hosts say waits for the others, and that nothing is lost."""

import asyncio
import signal
from dataclasses import dataclass

from bench import REPEATS, Figure, median, none, progress
from bench.latency import Clock, consumed
from bench.places import end, place, recording, split, start_processor
from bench.world import LIFECYCLE, World
from manman.events import topology
from manman.events.rabbit import bus as rabbit

REPLICAS, PARTITIONS, RATE, SECONDS = 3, 4, 500, 25
HOSTS = 100
WORLD = World(hosts=HOSTS, deployments=HOSTS, rounds=RATE * SECONDS // (HOSTS * len(LIFECYCLE)))
SHARED_OUT = 10.0  # seconds within which replicas share the partitions
STRIKES_AFTER = 6.0
KINDS = {"is killed": signal.SIGKILL, "freezes": signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Run:
    """The longest that an announcement took, in seconds; how many never came, and how many transitions have no row."""

    longest: float
    missing: int


def measure() -> list[Figure]:
    """The one that is struck leads everything and consumes partitions."""
    figures = []
    for what, number in KINDS.items():
        runs = []
        for _ in range(REPEATS):
            runs.append(asyncio.run(run(number)))
            progress(f"the leader {what}: {runs[-1].longest:.1f} s")
        figures += [
            median(f"the leader {what}: the longest, until announced", [r.longest for r in runs], "s", at_most=10),
            none(f"the leader {what}: events and announcements lost, the most", [r.missing for r in runs]),
        ]
    return figures


async def run(number: signal.Signals) -> Run:
    """One run on a fresh place."""
    where = await place(WORLD)
    queues = await split(where, PARTITIONS)
    bus = await rabbit.connect(where.broker, topology=topology.processor_base() + recording())
    first = start_processor(where)
    children = [first]
    try:
        for queue in queues:
            await consumed(bus, queue)
        children += [start_processor(where) for _ in range(REPLICAS - 1)]
        await asyncio.sleep(SHARED_OUT)
        clock = Clock(RATE, WORLD)
        heard = asyncio.create_task(clock.record(bus))
        said = asyncio.create_task(clock.publish(where.broker))
        await clock.begun.wait()
        await asyncio.sleep(STRIKES_AFTER)
        first.send_signal(number)
        await said
        sample = clock.timed(await heard)
        lost = len(clock.counted()) - len(await clock.commits(where))
        return Run(sample.latencies[-1] / 1000, sample.missing + lost)
    finally:
        first.kill()
        first.wait()
        for child in children[1:]:
            await asyncio.to_thread(end, child)
        await bus.close()
