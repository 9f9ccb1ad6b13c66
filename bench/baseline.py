"""The one-at-a-time design, with the same libraries: prefetch 1, one small transaction a message, a confirmed publish after it.

`python -m bench.baseline RABBITMQ_URL DATABASE_URL COUNT` prints seconds and CPU seconds from its first message to its last.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import Any

import asyncpg

from manman.events import codec, topics
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

PUBLIC = ("running", "stopped", "crashed")
INSERT = """INSERT INTO sessions (id, host, deployment, status, desired, run, created_at, at, config, config_revision, history_number)
            VALUES ($1, $2, $3, 'pending', 'running', 1, clock(), clock(), 1, 1, 1)"""
UPDATE = """UPDATE sessions SET status = $2, at = clock(), history_number = history_number + 1,
                   started_at = CASE WHEN $2 = 'running' THEN clock() ELSE started_at END,
                   ended_at = CASE WHEN $2 IN ('stopped', 'crashed') THEN clock() END
             WHERE id = $1 RETURNING history_number"""
HISTORY = """INSERT INTO session_history (session, number, from_status, to_status, at, recorded_at, cause)
             VALUES ($1, $2, $3, $4, clock(), clock(), 'host')"""


async def main(broker: str, database: str, count: int) -> None:
    """Consume `count` messages and say how long it took."""
    bus = await rabbit.connect(broker)
    conn = await asyncpg.connect(database)
    began = cpu = 0.0
    async with bus.consume(topics.EVENTS_QUEUE, 1) as consumer:
        for n in range(count):
            delivery = (await consumer.get_batch(1, wait=timedelta(seconds=30)))[0]
            if n == 0:
                began, cpu = time.perf_counter(), time.process_time()
            body = codec.decode(delivery.key, delivery.headers, delivery.body).body
            word = delivery.key.split(".")[2]
            async with conn.transaction():
                await moved(conn, body, word)
            if word in PUBLIC:
                said = {"session_id": body.session_id, "status": word, "deployment_id": body.deployment_id}
                message = Outgoing(exchange="external", key=f"manman.session.{word}", body=json.dumps(said).encode())
                await bus.publish([message])
            await consumer.ack(delivery)
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "count": count}))
    await conn.close()
    await bus.close()


async def moved(conn: Any, body: Any, word: str) -> int:
    """The session where its host says that it is, and its history; the number of that."""
    before = await conn.fetchval("SELECT status FROM sessions WHERE id = $1 FOR UPDATE", body.session_id)
    number = 1
    if before is None:
        await conn.execute(INSERT, body.session_id, body.host_id, body.deployment_id)
    else:
        number = await conn.fetchval(UPDATE, body.session_id, word)
    await conn.execute(HISTORY, body.session_id, number, before, word)
    return number


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
