"""5,000 simulated hosts with 150,000 sessions, held for ten minutes (`--seconds`): memory flat, nobody stale, nothing refused."""

import asyncio
import json
import sys
from typing import Any

import asyncpg

from bench import Figure, none, progress
from bench import seconds as wanted
from bench.latency import consumed
from bench.places import cost, end, memory, place, start_processor
from bench.world import World
from manman.events import topics, topology
from manman.events.rabbit import bus as rabbit

HOSTS, SESSIONS = 5_000, 30
HELD = HOSTS * SESSIONS
FLAT = 10  # MiB
LOOKS_EVERY = 2.0
TELLS_EVERY = 15  # looks
FILL = """
    INSERT INTO sessions (id, host, deployment, status, run, begun_version, created_at, at, started_at, config, config_revision,
                          deployment_version, history_number)
    SELECT id, host, id, 'running', 1, 1, clock(), clock(), clock(), 1, 1, version, 1 FROM deployments;
    INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)
    SELECT id, 1, 'running', clock(), clock(), 'host' FROM sessions WHERE status = 'running';
    UPDATE deployments SET desired_version = 1, seen_version = 1, seen_deployment_version = version, last_run = 1, last_session = id;
    UPDATE host_heartbeats SET live_count = 0, last_seen = clock();
    SELECT setval(pg_get_serial_sequence('sessions', 'id'), 100000000000)"""
FOUND = """
    SELECT (SELECT count(*) FROM host_history WHERE to_status = 'stale') AS stale,
           (SELECT count(*) FROM dead_letters) AS letters, (SELECT count(*) FROM strays) AS strays,
           (SELECT count(*) FROM sessions WHERE status = 'running') AS running,
           (SELECT count(*) FROM sessions WHERE status = 'crashed') AS crashed,
           (SELECT count(*) FROM host_heartbeats WHERE online AND last_seen > clock() - interval '10 seconds') AS heard,
           (SELECT count(*) FROM outbox) AS waiting"""


def measure() -> list[Figure]:
    """What was left after it, and the processor's memory over it."""
    seconds = wanted(usually=600)
    found, said, looks, share = asyncio.run(run(seconds))
    sizes = [size for size, _ in looks]
    settled = sizes[len(sizes) // 5 :]
    waiting = max(waits for _, waits in looks[len(looks) // 5 :])
    grown = max(settled) - settled[0]

    return [
        Figure(what="held for", amount=seconds, unit="s"),
        Figure(what="sessions running at the end", amount=found["running"], unit="", target=f"{HELD:,}", met=found["running"] == HELD),
        Figure(what="hosts heard at the end", amount=found["heard"], unit="", target=f"{HOSTS:,}", met=found["heard"] == HOSTS),
        none("hosts called stale", [found["stale"]]),
        none("dead letters", [found["letters"]]),
        none("strays", [found["strays"]]),
        none("sessions crashed", [found["crashed"]]),
        none("rows left in the outbox", [found["waiting"]]),
        Figure(what="messages in the queue of events, the most after the first fifth", amount=waiting, unit=""),
        Figure(what="heartbeats", amount=said.get("beats", 0), unit=""),
        Figure(what="reports asked for", amount=said.get("report", 0), unit=""),
        Figure(what="sessions that ended and were followed by the next", amount=said.get("turns", 0), unit=""),
        Figure(what="resident memory, the most", amount=max(sizes), unit="MiB", target="at most 150", met=max(sizes) <= 150),
        Figure(what="its growth after the first fifth", amount=grown, unit="MiB", target=f"at most {FLAT}", met=grown <= FLAT),
        Figure(what="CPU of the processor, of one core", amount=share, unit="%"),
    ]  # fmt: skip


async def run(seconds: int) -> tuple[dict[str, int], dict[str, Any], list[tuple[float, int]], float]:
    """What the database says after it, what the agents say, MiB and messages that wait each two seconds, and the processor's share of a
    core."""
    where = await place(World(hosts=HOSTS, deployments=HELD))
    await _fill(where.database)
    bus = await rabbit.connect(where.broker, topology=topology.processor())
    child = start_processor(where)
    looks: list[tuple[float, int]] = []
    try:
        await consumed(bus)
        words = ["bench.agents", where.broker, *map(str, (HOSTS, SESSIONS, seconds))]
        agents = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
        told, before = asyncio.create_task(agents.communicate()), cost(child, where)
        while not told.done():
            size, waiting = memory(child), (await bus.depth(topics.EVENTS_QUEUE)).ready
            looks.append((size, waiting))
            if len(looks) % TELLS_EVERY == 0:
                progress(f"{len(looks) * LOOKS_EVERY:.0f} of {seconds} s: {size:.1f} MiB, {waiting} messages wait")
            await asyncio.wait([told], timeout=LOOKS_EVERY)
        if agents.returncode:
            raise RuntimeError(f"the simulated agents ended with {agents.returncode}")
        found = await _found(where.database)
        spent = cost(child, where).since(before)
        said = json.loads(next(line for line in told.result()[0].splitlines() if line.startswith(b"{")))
        return found, said, looks, 100 * spent.client / seconds
    finally:
        end(child)
        await bus.close()


async def _fill(database: str) -> None:
    conn = await asyncpg.connect(database)
    await conn.execute("SET session_replication_role = replica")
    await conn.execute("DELETE FROM sessions")
    await conn.execute("DELETE FROM session_history")
    await conn.execute(FILL)
    await conn.execute("ANALYZE")
    await conn.close()


async def _found(database: str) -> dict[str, int]:
    """As soon as what was said last is applied, within a few seconds."""
    conn = await asyncpg.connect(database)
    try:
        for _ in range(10):
            found = dict(await conn.fetchrow(FOUND))
            if found["running"] == HELD and not found["waiting"]:
                break
            await asyncio.sleep(0.5)
        return found
    finally:
        await conn.close()
