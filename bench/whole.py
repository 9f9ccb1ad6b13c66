"""(f): the one-at-a-time design of (b), with all that an effect of exactly once and events for others need: the journal's settled
numbers, names, and a numbered event, each by a statement of its own in the message's transaction.

`python -m bench.whole RABBITMQ_URL DATABASE_URL COUNT` takes COUNT messages.
"""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

import asyncpg

from bench.baseline import PUBLIC, moved
from manman.events import codec, topics
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

LOCK = "SELECT seen @> $3::bigint FROM host_journals WHERE host = $1 AND journal = $2 FOR UPDATE"
MAKE = "INSERT INTO host_journals (host, journal, last_used) VALUES ($1, $2, clock())"
SETTLE = """UPDATE host_journals SET seen = seen + int8multirange(int8range($3::bigint, $3::bigint + 1)), last_used = clock()
             WHERE host = $1 AND journal = $2"""
NAMES = """SELECT g.name AS game, c.name AS config, d.name AS deployment, h.name AS host
             FROM deployments d JOIN hosts h ON h.id = d.host JOIN game_configs c ON c.id = d.config JOIN games g ON g.id = c.game
            WHERE d.id = $1"""
NUMBER = "UPDATE counters SET value = value + 1 WHERE name = 'events' RETURNING value"
EVENT = """INSERT INTO events (epoch, position, id, type, at, exchange, key, body, host, session, deployment, sequence, public)
           VALUES (1, $1, gen_random_uuid(), $2, clock(), 'external', $2, $3::text::json, $4, $5, $6, $7, true)"""


async def main(broker: str, database: str, count: int) -> None:
    """Take `count` messages, one after the other."""
    bus = await rabbit.connect(broker)
    conn = await asyncpg.connect(database)
    async with bus.consume(topics.EVENTS_QUEUE, 1) as consumer:
        for _ in range(count):
            delivery = (await consumer.get_batch(1, wait=timedelta(seconds=30)))[0]
            message = codec.decode(delivery.key, delivery.headers, delivery.body)
            async with conn.transaction():
                said = await applied(conn, message, delivery.key.split(".")[2])
            if said is not None:
                await bus.publish([said])
            await consumer.ack(delivery)
    await conn.close()
    await bus.close()


async def applied(conn: Any, message: Any, word: str) -> Outgoing | None:
    """All rows of one message; what others hear of it."""
    body, event = message.body, message.attributes
    journal = body.host_id, event.journal_id
    settled = await conn.fetchval(LOCK, *journal, event.sequence)
    if settled:
        return None
    if settled is None:
        await conn.execute(MAKE, *journal)
    number = await moved(conn, body, word)
    await conn.execute(SETTLE, *journal, event.sequence)
    names = dict(await conn.fetchrow(NAMES, body.deployment_id))
    told = json.dumps({"session_id": body.session_id, "status": word, "deployment_id": body.deployment_id} | names)
    position, key = await conn.fetchval(NUMBER), f"manman.session.{word}"
    await conn.execute(EVENT, position, key, told, body.host_id, body.session_id, body.deployment_id, number)
    return Outgoing(exchange=topics.EXTERNAL, key=key, body=told.encode()) if word in PUBLIC else None


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
