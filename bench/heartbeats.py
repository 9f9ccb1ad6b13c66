"""How many heartbeats a second are taken beside 1,000 events a second, and what that leaves of their table."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass

import asyncpg

from bench import REPEATS, Figure, median
from bench.beats import FIRST_BEAT, JOURNAL, WRITTEN
from bench.latency import Clock, consumed
from bench.places import Cost, Place, cost, end, place, recording, start_processor
from bench.report import LEAST
from bench.world import World
from manman.events import topics, topology
from manman.events.rabbit import bus as rabbit

HOSTS = 10_000
RATE, OFFERED, SECONDS = 20_000, 24_000, 10
LAST_BEAT = FIRST_BEAT + OFFERED * SECONDS // HOSTS - 1
EVENTS = 1_000
WORLD = World(hosts=HOSTS, deployments=200, rounds=EVENTS * SECONDS // (200 * 5))
TABLE = """
    SELECT n_tup_upd AS updates, n_tup_hot_upd AS in_place, n_dead_tup AS dead, pg_total_relation_size(relid) AS bytes
      FROM pg_stat_user_tables WHERE relname = 'host_heartbeats'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run showed; `table` are TABLE's figures before and after it."""

    taken: float
    offered: float
    deepest: int
    p50: float
    p99: float
    spent: Cost
    beats: int
    table: tuple[dict[str, int], dict[str, int]]

    @property
    def in_place(self) -> float:
        """The share of updates that were HOT, in percent."""
        before, after = self.table
        return 100 * (after["in_place"] - before["in_place"]) / max(1, after["updates"] - before["updates"])


def measure() -> list[Figure]:
    """Heartbeats a second until the last was taken, and what the events beside them took."""
    least_of_all = [asyncio.run(least()) for _ in range(REPEATS)]
    runs = [asyncio.run(run()) for _ in range(REPEATS)]
    each = [(r.spent.client / r.beats, r.spent.database / r.beats, r.spent.broker / r.beats) for r in runs]
    return [
        median(f"heartbeats taken beside {EVENTS:,} events/s", [r.taken for r in runs], "beats/s", at_least=RATE),
        median(LEAST, least_of_all, "beats/s"),
        median("their publisher's own rate", [r.offered for r in runs], "beats/s"),
        median("most that waited in the queue", [r.deepest for r in runs], "beats"),
        median(f"{EVENTS:,} events/s beside them: p50", [r.p50 for r in runs], "ms"),
        median(f"{EVENTS:,} events/s beside them: p99", [r.p99 for r in runs], "ms"),
        median("CPU of the processor, all of it shared by the beats", [1e6 * e[0] for e in each], "µs/beat"),
        median("CPU of its database connections, likewise", [1e6 * e[1] for e in each], "µs/beat"),
        median("CPU of the broker, likewise", [1e6 * e[2] for e in each], "µs/beat"),
        median("updates of liveness rows in place (HOT)", [r.in_place for r in runs], "%"),
        median("liveness table and its index before", [r.table[0]["bytes"] / 2**20 for r in runs], "MiB"),
        median("liveness table and its index after", [r.table[1]["bytes"] / 2**20 for r in runs], "MiB"),
        median("dead rows in it after", [r.table[1]["dead"] for r in runs], "rows"),
    ]


async def least() -> float:
    """Beats a second of twice the offer where nobody does anything with them: what the broker and this machine can carry."""
    where = await place(WORLD)
    bus = await rabbit.connect(where.broker, topology=topology.processor())
    words = [where.broker, str(2 * RATE * (SECONDS // 2)), topics.HEARTBEAT_QUEUE]
    drain = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.drain", *words, stdout=asyncio.subprocess.PIPE
    )
    await consumed(bus, topics.HEARTBEAT_QUEUE)
    words = ["bench.beats", where.broker, *map(str, (HOSTS, 2 * RATE, SECONDS // 2))]
    beats = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.DEVNULL)
    await beats.wait()
    said = json.loads((await drain.communicate())[0].splitlines()[-1])
    await bus.close()
    return float(said["count"] / said["seconds"])


async def run() -> Run:
    """One run on a fresh place."""
    where = await place(WORLD)
    await _written(where)
    before = await _table(where)
    bus = await rabbit.connect(where.broker, topology=topology.processor() + recording())
    child = start_processor(where)
    try:
        await consumed(bus)
        clock = Clock(EVENTS, WORLD)
        heard = asyncio.create_task(clock.record(bus))
        events = asyncio.create_task(clock.publish(where.broker))
        await clock.begun.wait()
        words = ["bench.beats", where.broker, *map(str, (HOSTS, OFFERED, SECONDS))]
        spent = cost(child, where)
        beats = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
        told = asyncio.create_task(beats.communicate())
        deepest = 0
        while not told.done() or await _waiting(bus):
            deepest = max(deepest, await _waiting(bus))
            await asyncio.sleep(0.2)
        await _applied(where)
        until, spent = time.perf_counter(), cost(child, where).since(spent)
        said = json.loads(next(line for line in (await told)[0].splitlines() if line.startswith(b"{")))
        await events
        sample = clock.timed(await heard)
    finally:
        end(child)
        await bus.close()
    return Run(
        taken=said["count"] / (until - said["began"]),
        offered=said["count"] / said["seconds"],
        deepest=deepest,
        p50=sample.at(0.5),
        p99=sample.at(0.99),
        spent=spent,
        beats=said["count"],
        table=(before, await _table(where)),
    )


async def _written(where: Place) -> None:
    """Every host's journal is settled up to what its beats say."""
    conn = await asyncpg.connect(where.database)
    await conn.execute(
        "INSERT INTO host_journals (host, journal, seen, last_used) SELECT id, $1, int8multirange(int8range(1, $2)), clock() FROM hosts",
        JOURNAL,
        WRITTEN + 1,
    )
    await conn.execute("ANALYZE")
    await conn.close()


async def _applied(where: Place) -> None:
    """Wait until every host's last beat is in its row: what left the queue is not yet taken. Raises `TimeoutError` where one never is."""
    conn = await asyncpg.connect(where.database)
    try:
        async with asyncio.timeout(30):
            while await conn.fetchval("SELECT min(beat) FROM host_heartbeats") < LAST_BEAT:  # noqa: ASYNC110  # rows tell nobody
                await asyncio.sleep(0.05)
    finally:
        await conn.close()


async def _table(where: Place) -> dict[str, int]:
    conn = await asyncpg.connect(where.database)
    found = dict(await conn.fetchrow(TABLE))
    await conn.close()
    return found


async def _waiting(bus: rabbit.RabbitBus) -> int:
    return (await bus.depth(topics.HEARTBEAT_QUEUE)).ready
