"""The event processor beside the one-at-a-time design and the raw limit, on the same stream in one run."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import psutil

from bench import REPEATS, Figure, median, rows
from bench.places import RECORDER, Cost, Place, cost, end, load, place, recording, split, start_processor
from bench.report import MOST
from bench.world import World, stream
from manman.events import topology
from manman.events.rabbit import bus as rabbit

WORLD = World()
BASELINE_EVENTS = 3000
PARTITIONS = 2
LONG = {"PREFETCH": "2000", "BATCH_MAX": "1000"}


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: how many messages in how many seconds, and what was spent on them. `memory` is in MiB."""

    events: int
    seconds: float
    spent: Cost
    memory: float = 0.0

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.events / self.seconds

    def each(self, seconds: float) -> float:
        """Microseconds a message."""
        return seconds / self.events * 1e6


def measure() -> list[Figure]:
    """Rounds of (c) limit, (a) this processor, also with partitions and with long batches, (b) one at a time, (d) least, (e) rows."""
    rounds = [asyncio.run(one_round()) for _ in range(REPEATS)]
    limit, ours, split, long, single, least = ([runs[i] for runs, _ in rounds] for i in range(6))
    alone = [written for _, written in rounds]
    against_b = [a.rate / b.rate for a, b in zip(ours, single, strict=True)]
    against_c = [a.rate / c.rate for a, c in zip(ours, limit, strict=True)]
    least_against_b = [d.rate / b.rate for d, b in zip(least, single, strict=True)]
    least_against_c = [d.rate / c.rate for d, c in zip(least, limit, strict=True)]
    parts = [(e, a.each(a.spent.broker), c.each(c.spent.client)) for e, a, c in zip(alone, ours, limit, strict=True)]
    most = [psutil.cpu_count() * 1e6 / sum(part) for part in parts]
    return [
        _rate("(a) this processor", ours),
        _rate(f"(a) with {PARTITIONS} partitions, all with the one processor", split),
        _rate(f"(a) with {' '.join(f'{name}={value}' for name, value in LONG.items())}", long),
        _rate("(b) one at a time, a transaction and a confirmed publish each", single),
        _rate("(c) consume and acknowledge, doing nothing", limit),
        _rate("(d) the least that can be done with an event", least),
        median("ratio (a) / (b)", against_b, "times", at_least=40),
        median("ratio (a) / (c)", against_c, "times", at_least=1 / 3, target="at least 1/3"),
        median("ratio (d) / (b)", least_against_b, "times"),
        median("ratio (d) / (c)", least_against_c, "times"),
        median("(a): CPU of the processor", [r.each(r.spent.client) for r in ours], "µs/event", at_most=60),
        median("(a): CPU of its database connections", [r.each(r.spent.database) for r in ours], "µs/event"),
        median("(a): CPU of the broker", [r.each(r.spent.broker) for r in ours], "µs/event"),
        median("(e) the rows of an event alone, written by the database itself: its CPU", alone, "µs/event"),
        median(MOST, most, "events/s"),
        median(f"{MOST}, to (b)", [m / b.rate for m, b in zip(most, single, strict=True)], "times"),
        median(f"{MOST}, to (c)", [m / c.rate for m, c in zip(most, limit, strict=True)], "times"),
        median("(b): CPU of the program", [r.each(r.spent.client) for r in single], "µs/event"),
        median("(c): CPU of the program", [r.each(r.spent.client) for r in limit], "µs/event"),
        median("(a): resident memory at the end", [r.memory for r in ours], "MiB", at_most=150),
    ]


def _rate(what: str, runs: Sequence[Run]) -> Figure:
    return median(what, [run.rate for run in runs], "events/s")


async def one_round() -> tuple[tuple[Run, ...], float]:
    """Fresh database and vhost for each of the six; and what the first of ours' rows cost alone."""
    limit, where = await _limit(), await place(WORLD)
    mine = await ours(WORLD, where=where)
    written = await rows.alone(where, WORLD)
    split, long = await ours(WORLD, PARTITIONS), await ours(WORLD, **LONG)
    return (limit, mine, split, long, await _single(), await _least()), written


async def _limit() -> Run:
    where = await place(replace(WORLD, hosts=1, deployments=1))
    count = await load(where.broker, stream(WORLD))
    told = _told(await asyncio.to_thread(_run, "bench.drain", where.broker, str(count)))
    if told.events != count:
        raise RuntimeError(f"only {told.events} of {count} messages came")
    return told


async def _single() -> Run:
    where = await place(WORLD)
    small = replace(WORLD, rounds=1)
    await load(where.broker, (m for m, _ in zip(stream(small), range(BASELINE_EVENTS), strict=False)))
    return _told(await asyncio.to_thread(_run, "bench.baseline", where.broker, where.database, str(BASELINE_EVENTS)))


async def _least() -> Run:
    where = await place(WORLD)
    count = await load(where.broker, stream(WORLD), declare=topology.processor() + recording())
    return _told(await asyncio.to_thread(_run, "bench.least", where.broker, where.database, str(count)))


async def ours(world: World, partitions: int = 1, where: Place | None = None, **settings: str) -> Run:
    """From the first message on `external` to the last, with everything on: history, inbox, outbox, confirms."""
    where = where or await place(world)
    if partitions > 1:
        await split(where, partitions)
        await load(where.broker, stream(world), declare=topology.processor_base())
    else:
        await load(where.broker, stream(world))
    recorder = await rabbit.connect(where.broker, topology=recording())
    child = start_processor(where, **settings)
    seen, began, last = 0, 0.0, 0.0
    before = Cost(0, 0, 0)
    try:
        async with recorder.consume(RECORDER, 1000) as consumer:
            while seen < world.announced:
                batch = await consumer.get_batch(1000, wait=timedelta(seconds=60))
                if not batch:
                    raise RuntimeError(f"only {seen} of {world.announced} announcements came")
                last = time.perf_counter()
                if seen == 0:
                    began, before = last, cost(child, where)
                seen += len(batch)
                await consumer.ack(batch[-1])
        memory = psutil.Process(child.pid).memory_info().rss / 2**20
        # What came before the first announcement is in neither the time nor the cost.
        counted = world.events - world.before_the_first
        return Run(counted, last - began, cost(child, where).since(before), memory)
    finally:
        end(child)
        await recorder.close()


def _run(module: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True, timeout=600
    ).stdout


def _told(text: str) -> Run:
    said = json.loads(text.strip().splitlines()[-1])
    return Run(said["count"], said["seconds"], Cost(said["cpu"], 0, 0))
