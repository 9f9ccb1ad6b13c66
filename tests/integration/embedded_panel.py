"""Run by tests: a panel that has the embedded PostgreSQL of a state directory. Says lines; a line on its input ends it."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from manman.store.embedded import Embedded


async def main(state: Path) -> None:
    embedded = await Embedded.start(state)
    conn = await asyncpg.connect(embedded.dsn)
    await conn.execute("CREATE TABLE IF NOT EXISTS starts (pid int)")
    await conn.execute("INSERT INTO starts VALUES ($1)", os.getpid())
    owner = await conn.fetchval("SELECT current_user || ' ' || lower('ÄÖ')")
    print(embedded.pid, await conn.fetchval("SELECT count(*) FROM starts"), owner, flush=True)
    await conn.close()
    await asyncio.to_thread(sys.stdin.readline)
    await embedded.stop()
    print("stopped", flush=True)


asyncio.run(main(Path(sys.argv[1])))
