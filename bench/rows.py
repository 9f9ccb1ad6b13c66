"""What PostgreSQL alone needs for the rows of the measured events: (e).

The rows that the processor left behind are written once more into a fresh database, into the same tables with their indexes and keys, by
a function of the database itself, and moved from `outbox` to `events` by the relay's own statement. Nobody asks, locks, loads, decides or
sends anything; leases, journals and the processor's JSON are left out. What this schema and its outbox cost in batches of about the size
that the processor gathers; in batches of 1,000 it is a fifth less.
"""

import tempfile
from pathlib import Path

import asyncpg
import psutil

from bench.places import Place, clone
from bench.world import World, prepare
from manman.store import events

BATCH = 200
DONE = """
    SELECT row_number() OVER (ORDER BY e.position) AS k, e.id, e.type, e.exchange, e.key, e.body, e.headers, e.host, e.session,
           e.deployment, e.sequence, e.public, h.from_status, h.to_status, h.cause, h.event_id, s.run, s.begun_version
      FROM events e JOIN session_history h ON h.session = e.session AND h.number = e.sequence JOIN sessions s ON s.id = e.session
     WHERE e.type LIKE 'manman.session.%'"""
STAGE = """
    CREATE UNLOGGED TABLE stage (
        k bigint PRIMARY KEY, id uuid, type text, exchange text, key text, body json, headers json, host bigint, session bigint,
        deployment bigint, sequence bigint, public boolean, from_status text, to_status text, cause text, event_id uuid, run bigint,
        begun_version bigint);
    CREATE FUNCTION write(first bigint, past bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        UPDATE sessions s
           SET status = x.to_status, history_number = x.sequence, at = clock(), deadline_at = NULL,
               starting_at = CASE x.to_status WHEN 'starting' THEN clock() ELSE s.starting_at END,
               started_at = CASE x.to_status WHEN 'running' THEN clock() ELSE s.started_at END,
               stopping_at = CASE x.to_status WHEN 'stopping' THEN clock() ELSE s.stopping_at END,
               ended_at = CASE x.to_status WHEN 'stopped' THEN clock() END, exit_code = CASE x.to_status WHEN 'stopped' THEN 0 END,
               reason = CASE x.to_status WHEN 'stopped' THEN 'exited' END
          FROM (SELECT DISTINCT ON (session) * FROM stage WHERE k >= first AND k < past ORDER BY session, sequence DESC) x
         WHERE x.to_status <> 'pending' AND s.id = x.session
           AND NOT EXISTS (SELECT FROM stage y WHERE y.k >= first AND y.k < past AND y.session = x.session AND y.to_status = 'pending');
        INSERT INTO sessions (id, host, deployment, status, desired, run, begun_version, cause, created_at, at, progressed_at, deadline_at,
                              config, config_revision, history_number)
        SELECT session, host, deployment, to_status, 'running', run, begun_version, cause, clock(), clock(), clock(),
               clock() + interval '2 minutes', 1, 1, sequence
          FROM stage WHERE k >= first AND k < past AND to_status = 'pending';
        UPDATE deployments d SET last_run = x.run, last_session = x.session
          FROM stage x WHERE x.k >= first AND x.k < past AND x.to_status = 'pending' AND d.id = x.deployment;
        UPDATE sessions s
           SET status = x.to_status, history_number = x.sequence, at = clock(), deadline_at = NULL,
               starting_at = CASE x.to_status WHEN 'starting' THEN clock() ELSE s.starting_at END,
               started_at = CASE x.to_status WHEN 'running' THEN clock() ELSE s.started_at END,
               stopping_at = CASE x.to_status WHEN 'stopping' THEN clock() ELSE s.stopping_at END,
               ended_at = CASE x.to_status WHEN 'stopped' THEN clock() END, exit_code = CASE x.to_status WHEN 'stopped' THEN 0 END,
               reason = CASE x.to_status WHEN 'stopped' THEN 'exited' END
          FROM (SELECT DISTINCT ON (session) * FROM stage WHERE k >= first AND k < past ORDER BY session, sequence DESC) x
         WHERE x.to_status <> 'pending' AND s.id = x.session
           AND EXISTS (SELECT FROM stage y WHERE y.k >= first AND y.k < past AND y.session = x.session AND y.to_status = 'pending');
        INSERT INTO session_history (session, number, from_status, to_status, at, recorded_at, cause, event_id)
        SELECT session, sequence, from_status, to_status, clock(), clock(), cause, event_id FROM stage WHERE k >= first AND k < past;
        INSERT INTO outbox (event_id, type, exchange, key, body, headers, host, session, deployment, sequence, public, created_at)
        SELECT id, type, exchange, key, body, headers, host, session, deployment, sequence, public, clock()
          FROM stage WHERE k >= first AND k < past ORDER BY k;
    END $$"""


async def alone(done: Place, world: World) -> float:
    """Microseconds of the server's CPU for each event that the processor has done there."""
    url = clone(f"{done.database.rsplit('/', 1)[1]}_rows")
    await prepare(url, world)
    count = await _copy(done.database, url)
    conn = await asyncpg.connect(url, server_settings={"jit": "off"})
    published = None
    try:
        server = psutil.Process(await conn.fetchval("SELECT pg_backend_pid()"))
        before = server.cpu_times()
        for first in range(1, count + 1, BATCH):
            await conn.execute("SELECT write($1, $2)", first, first + BATCH)
            published = (await events.relay(conn, BATCH, published=published)).last
        after = server.cpu_times()
        if await conn.fetchval("SELECT count(*) FROM events") != count:
            raise RuntimeError("not every row was written and moved")
    finally:
        await conn.close()
    return (after.user + after.system - before.user - before.system) / count * 1e6


async def _copy(source: str, target: str) -> int:
    """What the processor did, staged in the order in which it did it; how many events."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows"
        conn = await asyncpg.connect(source)
        await conn.copy_from_query(DONE, output=file, format="binary")
        await conn.close()
        conn = await asyncpg.connect(target)
        await conn.execute(STAGE)
        await conn.copy_to_table("stage", source=file, format="binary")
        await conn.execute("ANALYZE stage")
        count: int = await conn.fetchval("SELECT count(*) FROM stage")
        await conn.close()
    return count
