"""The one statement that finds and marks silent hosts, among 10, 10,000 and 100,000."""

import asyncio
import time
import uuid
from datetime import timedelta

import asyncpg

from bench import Figure, median
from bench.places import clone
from bench.world import World, prepare
from manman.store import hosts
from manman.store import pool as pools
from manman.store.settings import DatabaseSettings

SIZES = {10: 5.0, 10_000: 5.0, 100_000: 25.0}
TRIES = 15
SILENT = 5
THRESHOLD = timedelta(seconds=10)


def measure() -> list[Figure]:
    """Milliseconds of the statement, with nobody silent and with a few; rolled back each time."""
    return [figure for size, most in SIZES.items() for figure in asyncio.run(_among(size, most))]


async def _among(size: int, most: float) -> list[Figure]:
    url = await asyncio.to_thread(clone, f"detection_{uuid.uuid4().hex[:8]}")
    await prepare(url, World(hosts=size, deployments=1))
    conn = await pools.single(DatabaseSettings(database_url=url))
    try:
        await conn.execute("UPDATE host_heartbeats SET last_seen = clock() + interval '1 day'")
        await conn.execute(
            """INSERT INTO pulse (last, since) VALUES (clock() + interval '1 day', clock() - interval '1 day')
               ON CONFLICT (singleton) DO UPDATE SET last = excluded.last, since = excluded.since"""
        )
        await conn.execute("VACUUM ANALYZE")
        nobody = [await _once(conn, 0) for _ in range(TRIES)]
        await conn.execute(
            "UPDATE host_heartbeats SET last_seen = clock() - interval '1 hour' WHERE host <= $1", SILENT
        )
        some = [await _once(conn, SILENT) for _ in range(TRIES)]
    finally:
        await conn.close()
    return [
        median(f"{size:,} hosts, nobody silent", nobody, "ms", at_most=most),
        median(f"{size:,} hosts, {SILENT} of them marked", some, "ms", at_most=most),
    ]


async def _once(conn: asyncpg.Connection, expected: int) -> float:
    change = conn.transaction()
    await change.start()
    try:
        begin = time.perf_counter()
        marked = await hosts.mark_offline(conn, THRESHOLD)
        spent = time.perf_counter() - begin
    finally:
        await change.rollback()
    if len(marked) != expected:
        raise RuntimeError(f"{len(marked)} hosts were marked, not {expected}")
    return spent * 1000
