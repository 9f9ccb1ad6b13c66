"""A new epoch on request: versions and positions and ids go on above everything that was, and no lease of before is believed."""

import asyncio
import os
import subprocess
import sys

import asyncpg
from contract.places import Place
from harness.apis import running


async def test_an_api_that_starts_on_a_restored_database_begins_a_new_epoch(
    database_url: str, rabbitmq_url: str
) -> None:
    conn = await asyncpg.connect(database_url)
    try:
        before = await conn.fetchval("SELECT epoch FROM installation")
        for begun in (before, before, before + 1):
            if begun > before:
                await conn.execute("UPDATE installation SET timeline_id = timeline_id - 1")
            async with running(database_url, Place("rabbitmq", rabbitmq_url)):
                assert await conn.fetchval("SELECT epoch FROM installation") == begun
    finally:
        await conn.close()


async def test_migrate_epoch_begins_the_next_one(database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    try:
        await conn.execute("INSERT INTO hosts (name, created_at, updated_at) VALUES ('attic', clock(), clock())")
        await conn.execute("UPDATE session_leases SET ids = '{[1,50]}'")
        before = await conn.fetchval("SELECT epoch FROM installation")
        said = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "manman", "migrate", "epoch"],
            env=os.environ | {"DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert said.stdout.strip() == f"epoch {before + 1} begins"
        assert await conn.fetchval("SELECT epoch FROM installation") == before + 1
        assert await conn.fetchval("SELECT l.epoch < i.epoch FROM session_leases l, installation i")
        assert await conn.fetchval("SELECT nextval(pg_get_serial_sequence('hosts', 'id'))") > 10_000
        assert await conn.fetchval("SELECT nextval(pg_get_serial_sequence('deployments', 'id'))") > 10_000
        assert await conn.fetchval("SELECT nextval(pg_get_serial_sequence('sessions', 'id'))") > 1_000_000
    finally:
        await conn.close()
