"""From a host's publish to the announcement on `external`, at fixed rates; this processor, (b) where it can follow, and (d), the least."""

import asyncio
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import msgspec
from harness.processes import free_port

from bench import REPEATS, Figure, median, none
from bench.places import RECORDER, Place, end, place, recording, split, start_processor
from bench.processor import PARTITIONS
from bench.world import IDS_PER_HOST, LIFECYCLE, World, stream
from manman.events import topics, topology
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

SECONDS = 10
WARM_UP = 2.0  # seconds at the begin that are not counted: connections, prepared statements
TICK = 0.002
AT_MOST_BEHIND = 30.0
RATES = (200, 500, 5000)
BEARABLE = (200,)  # what (b) can follow here
SINGLE, LEAST = "bench.baseline", "bench.least"
COMMITTED = """
    SELECT session, to_status, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM session_history
     WHERE session >= $1"""


class Said(msgspec.Struct):
    """What an announcement is known by."""

    status: str
    session_id: int = 0


@dataclass(slots=True)
class Sample:
    """Latencies of one run, in milliseconds, ascending: until announcements were heard, and until the database had committed what was
    said; how many announcements never came; acquire timeouts of the pool."""

    latencies: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    missing: int = 0
    timeouts: int = 0

    def at(self, share: float) -> float:
        """The latency that this share of the announcements did not exceed."""
        return _at(self.latencies, share)

    @property
    def mean(self) -> float:
        """The mean."""
        return sum(self.latencies) / len(self.latencies)


def measure() -> list[Figure]:
    """Percentiles for each rate, medians of several runs."""
    figures: list[Figure] = []
    for rate in RATES:
        runs, single = [], []
        for _ in range(REPEATS):
            single += [asyncio.run(run(rate, program=SINGLE))] if rate in BEARABLE else []
            runs.append(asyncio.run(run(rate)))
        figures += _figures(f"{rate:,} events/s", runs, targets=True)
        if single:
            figures += [*_figures(f"{rate:,} events/s, (b)", single, targets=False), *_beside(rate, runs, single)]
    timeouts = [r.timeouts for r in runs]
    runs = [asyncio.run(run(RATES[-1], partitions=PARTITIONS)) for _ in range(REPEATS)]
    figures += _figures(f"{RATES[-1]:,} events/s, {PARTITIONS} partitions", runs, targets=True)
    runs = [asyncio.run(run(RATES[-1], program=LEAST)) for _ in range(REPEATS)]
    figures += _figures(f"{RATES[-1]:,} events/s, (d)", runs, targets=False)
    return [*figures, none("5,000 events/s: pool acquire timeouts", timeouts)]


def _figures(what: str, runs: Sequence[Sample], *, targets: bool) -> list[Figure]:
    def one(name: str, amounts: list[float], at_most: float | None) -> Figure:
        return median(f"{what}: {name}", amounts, "ms", at_most=at_most if targets else None)

    lost = [float(r.missing) for r in runs]
    commits = [_at(r.commits, 0.99) for r in runs if r.commits]
    return [
        one("mean", [r.mean for r in runs], 10),
        one("p50", [r.at(0.5) for r in runs], 10),
        one("p95", [r.at(0.95) for r in runs], None),
        one("p99", [r.at(0.99) for r in runs], 50),
        *([one("until the transition is committed, p99", commits, 20)] if commits else []),
        *([median(f"{what}: announcements that did not come in time", lost, "")] if any(lost) else []),
    ]


def _beside(rate: int, runs: Sequence[Sample], single: Sequence[Sample]) -> list[Figure]:
    """What was measured in turns, as ratios of neighbours."""

    def one(name: str, of: Callable[[Sample], float]) -> Figure:
        ratios = [of(a) / of(b) for a, b in zip(runs, single, strict=True)]
        return median(f"{rate:,} events/s: {name}, to (b)", ratios, "times", at_most=1, target="at most 1")

    return [one("mean", lambda r: r.mean), one("p50", lambda r: r.at(0.5)), one("p99", lambda r: r.at(0.99))]


def _at(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(len(ascending) * share))]


async def run(rate: int, *, program: str | None = None, partitions: int = 1) -> Sample:
    """One run of SECONDS at a rate on a fresh place; by another `program` than the processor where one is named."""
    world = world_of(rate)
    where = await place(world)
    queues = await split(where, partitions) if partitions > 1 else [topics.EVENTS_QUEUE]
    declared = topology.processor_base() if partitions > 1 else topology.processor()
    bus = await rabbit.connect(where.broker, topology=declared + recording())
    port = free_port()
    child = _other(program, where, world) if program else start_processor(where, HEALTH_CHECK_PORT=str(port))
    try:
        for queue in queues:
            await consumed(bus, queue)
        clock = Clock(rate)
        heard = asyncio.create_task(clock.record(bus, world.announced))
        await clock.publish(bus, list(stream(world)))
        sample = await heard
        if not program:
            sample.timeouts = await asyncio.to_thread(_timeouts, port)
            sample.commits = await clock.commits(where)
        return sample
    finally:
        end(child)
        await bus.close()


def world_of(rate: int) -> World:
    """As many sessions side by side as a fifth of a second's events, so that each goes its whole way."""
    deployments = max(10, rate // 5)
    rounds = max(1, rate * SECONDS // (deployments * len(LIFECYCLE)))
    return World(deployments=deployments, rounds=rounds)


def _other(program: str, where: Place, world: World) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", program, where.broker, where.database, str(world.events)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


async def consumed(bus: rabbit.RabbitBus, queue: str = topics.EVENTS_QUEUE) -> None:
    """Wait until the program under test consumes."""
    async with asyncio.timeout(60):
        while not (await bus.depth(queue)).consumers:  # noqa: ASYNC110  # the broker tells nobody
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


def _timeouts(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(r"^\S*pool_acquire_timeouts\S* ([0-9.]+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError("/metrics does not tell the pool's timeouts")
    return int(float(found[1]))


@dataclass(slots=True)
class Clock:
    """Publishes at a rate and notes when; hears announcements and notes how long they took. `zero` is the moment from which its time
    is counted."""

    rate: int
    sent: dict[tuple[int, str], float] = field(default_factory=dict)
    heard: set[tuple[int, str]] = field(default_factory=set)
    began: float = 0.0
    zero: float = field(default_factory=lambda: time.time() - time.perf_counter())

    async def publish(self, bus: rabbit.RabbitBus, messages: Sequence[Outgoing]) -> None:
        """Everything, as much as is due at each tick."""
        done, confirms = 0, set()
        self.began = time.perf_counter()
        while done < len(messages):
            due = min(len(messages), int((time.perf_counter() - self.began) * self.rate) + 1)
            batch = messages[done:due]
            done = due
            if batch:
                now = time.perf_counter()
                for message in batch:
                    body = msgspec.json.decode(message.body, type=Said)
                    self.sent[body.session_id, body.status] = now
                confirms.add(asyncio.create_task(bus.publish(batch)))
            await asyncio.sleep(TICK)
        await asyncio.gather(*confirms)

    async def record(self, bus: rabbit.RabbitBus, count: int) -> Sample:
        """Hear `count` announcements, or as many as come."""
        sample, seen = Sample(), 0
        async with bus.consume(RECORDER, 1000) as consumer:
            while seen < count:
                batch = await consumer.get_batch(1000, wait=timedelta(seconds=AT_MOST_BEHIND))
                if not batch:
                    break
                now = time.perf_counter()
                seen += sum(self._note(sample, msgspec.json.decode(d.body, type=Said), now) for d in batch)
                await consumer.ack(batch[-1])
        sample.latencies.sort()
        sample.missing = count - seen
        return sample

    def _note(self, sample: Sample, said: Said, now: float) -> bool:
        """Whether it announces, for the first time, what was published here, and not a host or a session's host."""
        key = said.session_id, said.status
        at = self.sent.get(key)
        if at is None or key in self.heard:
            return False
        self.heard.add(key)
        if at - self.began > WARM_UP:
            sample.latencies.append((now - at) * 1000)
        return True

    async def commits(self, where: Place) -> list[float]:
        """How many milliseconds after its publish the database committed each transition, ascending; those without a row are missing."""
        conn = await asyncpg.connect(where.database)
        try:
            rows = await conn.fetch(COMMITTED, IDS_PER_HOST)
        finally:
            await conn.close()
        known = {(row["session"], row["to_status"]): row["at"] - self.zero for row in rows}
        counted = {key: at for key, at in self.sent.items() if at - self.began > WARM_UP}
        return sorted((known[key] - at) * 1000 for key, at in counted.items() if key in known)
