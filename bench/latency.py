"""From a host's publish to the announcement on `external`, at fixed rates; this processor, (b) where it can follow, and (d), the least."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

import asyncpg
import msgspec
from harness.processes import free_port

from bench import REPEATS, Figure, median, none
from bench.baseline import PUBLIC
from bench.places import RECORDER, Place, end, place, recording, split, start_processor
from bench.processor import PARTITIONS
from bench.world import IDS_PER_HOST, LIFECYCLE, World, keys
from manman.events import topics, topology
from manman.events.rabbit import bus as rabbit

SECONDS = 10
WARM_UP = 2.0  # seconds at the begin that are not counted: connections, prepared statements
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
        clock = Clock(rate, world)
        heard = asyncio.create_task(clock.record(bus))
        await clock.publish(where.broker)
        sample = clock.timed(await heard)
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
    """Has a world's messages published at a rate and notes when each was; hears announcements and notes how long they took. `zero` is
    the moment from which its time is counted, `begun` set once the first is published."""

    rate: int
    world: World
    sent: dict[tuple[int, str], float] = field(default_factory=dict)
    heard: dict[tuple[int, str], float] = field(default_factory=dict)
    began: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    zero: float = field(default_factory=lambda: time.time() - time.perf_counter())

    async def publish(self, broker: str) -> None:
        """Everything, by a process of its own; returns when all is confirmed."""
        world = self.world
        words = ["bench.said", broker, *map(str, (self.rate, world.hosts, world.deployments, world.rounds))]
        child = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        first = await child.stdout.readline()
        self.began = json.loads(first or b'{"began": 0}')["began"]
        self.begun.set()  # also where it failed: nobody waits for it
        last = await child.stdout.read()
        if await child.wait():
            raise RuntimeError("what publishes has failed")
        moments = ((at, due) for due, at in json.loads(last)["ticks"])
        self._note(iter(keys(world)), moments)

    def _note(self, said: Iterator[tuple[int, str]], moments: Iterable[tuple[float, int]]) -> None:
        done = 0
        for at, due in moments:
            self.sent.update((key, at) for key in islice(said, due - done))
            done = due

    async def record(self, bus: rabbit.RabbitBus) -> Sample:
        """Hear all announcements of what is published, or as many as come."""
        wanted = {(session, word) for session, word in keys(self.world) if word in PUBLIC}
        async with bus.consume(RECORDER, 1000) as consumer:
            while len(self.heard) < len(wanted):
                batch = await consumer.get_batch(1000, wait=timedelta(seconds=AT_MOST_BEHIND))
                if not batch and self.begun.is_set():
                    break
                now = time.perf_counter()
                for one in batch:
                    said = msgspec.json.decode(one.body, type=Said)
                    key = said.session_id, said.status
                    if key in wanted:  # and no host, or that a host is back
                        self.heard.setdefault(key, now)
                if batch:
                    await consumer.ack(batch[-1])
        return Sample(missing=len(wanted) - len(self.heard))

    def counted(self) -> dict[tuple[int, str], float]:
        """What was published after the begin, and when."""
        return {key: at for key, at in self.sent.items() if at - self.began > WARM_UP}

    def timed(self, sample: Sample) -> Sample:
        """The same with latencies, once all is published."""
        took = ((self.heard[key] - at) * 1000 for key, at in self.counted().items() if key in self.heard)
        sample.latencies = sorted(took)
        if not sample.latencies:
            raise RuntimeError("nothing of what was published was announced")
        return sample

    async def commits(self, where: Place) -> list[float]:
        """How many milliseconds after its publish the database committed each transition, ascending; those without a row are missing."""
        conn = await asyncpg.connect(where.database)
        try:
            rows = await conn.fetch(COMMITTED, IDS_PER_HOST)
        finally:
            await conn.close()
        known = {(row["session"], row["to_status"]): row["at"] - self.zero for row in rows}
        return sorted((known[key] - at) * 1000 for key, at in self.counted().items() if key in known)
