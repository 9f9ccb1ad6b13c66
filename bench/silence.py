"""Hosts that beat and then no longer do: how long after its last beat each of them is announced as stale."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import msgspec

from bench import REPEATS, Figure, median, none, progress
from bench.beats import close, connect, frames, template
from bench.latency import consumed
from bench.places import RECORDER, end, place, recording, start_processor
from bench.world import World
from manman.events import topics, topology
from manman.events.rabbit import bus as rabbit

BEATS_EVERY = 3.0  # as an agent does
BEATING, LISTENING = 15.0, 30.0  # seconds before they fall silent, and after
TICK = 0.05
STALE = "manman.host.stale"
# Hosts, how many of them fall silent, and how many seconds it may take.
CASES = ((10, 1, 13), (1_000, 400, 13), (5_000, 2_000, 13), (5_000, 3_000, 23))
HEARD = "UPDATE host_heartbeats SET boot = 1, live_count = 0, last_seen = clock()"


class Said(msgspec.Struct):
    """Whom an announcement is about."""

    host_id: int


@dataclass(slots=True)
class Run:
    """When each host beat last, and when it was announced, in seconds of one clock."""

    silent: range
    last: dict[int, float]
    stale: dict[int, float]

    @property
    def longest(self) -> float:
        """Of those that fell silent, until the last of them was announced."""
        return max(self.stale.get(host, float("inf")) - self.last[host] for host in self.silent)

    @property
    def wrongly(self) -> int:
        """Hosts that are announced though they beat."""
        return len(self.stale.keys() - set(self.silent))


def measure() -> list[Figure]:
    """For several sizes, up to a failure of most hosts at once."""
    figures = []
    for hosts, silent, most in CASES:
        runs = []
        for _ in range(REPEATS):
            runs.append(asyncio.run(run(hosts, silent)))
            progress(f"{silent:,} of {hosts:,} hosts: {runs[-1].longest:.1f} s")
        what = f"{silent:,} of {hosts:,} hosts fall silent"
        figures += [
            median(f"{what}: the longest, until announced", [r.longest for r in runs], "s", at_most=most),
            none(f"{what}: announced though they beat, the most", [r.wrongly for r in runs]),
        ]
    return figures


async def run(hosts: int, silent: int) -> Run:
    """One run on a fresh place; the last `silent` ones fall silent together."""
    where = await place(World(hosts=hosts, deployments=1))
    conn = await asyncpg.connect(where.database)
    await conn.execute(HEARD)
    await conn.close()
    bus = await rabbit.connect(where.broker, topology=topology.processor() + recording())
    child = start_processor(where)
    try:
        await consumed(bus, topics.HEARTBEAT_QUEUE)
        told = Run(range(hosts - silent + 1, hosts + 1), {}, {})
        beating = asyncio.create_task(asyncio.to_thread(beat, where.broker, hosts, told))
        async with bus.consume(RECORDER, 1000) as consumer:
            while not beating.done():
                batch = await consumer.get_batch(1000, wait=timedelta(seconds=1))
                now = time.monotonic()
                for delivery in batch:
                    if delivery.key == STALE:
                        told.stale.setdefault(msgspec.json.decode(delivery.body, type=Said).host_id, now)
                if batch:
                    await consumer.ack(batch[-1])
        await beating
        return told
    finally:
        await asyncio.to_thread(end, child)
        await bus.close()


def beat(broker: str, hosts: int, told: Run) -> None:
    """All hosts in turn, once in each interval; in the end only those that do not fall silent."""
    templates = [template(host, sessions=0) for host in range(1, hosts + 1)]
    wire = connect(broker)
    began, done = time.monotonic(), 0
    while (now := time.monotonic()) < began + BEATING + LISTENING and len(told.stale) < len(told.silent):
        due = int((now - began) / BEATS_EVERY * hosts)
        for n in range(done, due):
            host = 1 + n % hosts
            if host not in told.silent or now < began + BEATING:
                wire.sendall(frames(templates, n, n + 1))
                told.last[host] = now
        done = due
        time.sleep(TICK)
    close(wire)
