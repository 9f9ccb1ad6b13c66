"""The least that can be done with an event: take it, write a row of history and an event, announce it with a confirm, acknowledge it.

No lock, rule, inbox, outbox, name, index or foreign key; while a batch is announced the next one is written, as far as the prefetch
lets it come before the acknowledgement. A comparison, not a bound: with more in flight it would do more.
`python -m bench.least RABBITMQ_URL DATABASE_URL COUNT` prints seconds and CPU seconds from its first message to its last.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import msgspec

from bench.baseline import PUBLIC
from manman.events import codec, topics
from manman.events.bus import Consumer, Delivery, Outgoing
from manman.events.rabbit import bus as rabbit

TABLES = """CREATE TABLE least_history (session bigint, status text, at timestamptz);
            CREATE TABLE least_events (session bigint, type text, body json)"""
SAVE = """WITH history AS (
              INSERT INTO least_history SELECT s, w, clock() FROM unnest($1::bigint[], $2::text[]) AS u (s, w)
          )
          INSERT INTO least_events SELECT s, w, b::json FROM unnest($1::bigint[], $2::text[], $3::text[]) AS u (s, w, b)"""


async def main(broker: str, database: str, count: int) -> None:
    """Consume `count` messages and say how long it took."""
    bus = await rabbit.connect(broker)
    conn = await asyncpg.connect(database)
    await conn.execute(TABLES)
    seen, began, cpu = 0, 0.0, 0.0
    announcing: asyncio.Task[None] | None = None
    async with bus.consume(topics.EVENTS_QUEUE, 500) as consumer:
        while seen < count:
            batch = await consumer.get_batch(500, wait=timedelta(seconds=30))
            if seen == 0:
                began, cpu = time.perf_counter(), time.process_time()
            seen += len(batch)
            said = [(codec.decode(d.key, d.headers, d.body).body.session_id, d.key.split(".")[2]) for d in batch]
            bodies = [msgspec.json.encode({"session_id": session, "status": word}) for session, word in said]
            await conn.execute(SAVE, [s for s, _ in said], [w for _, w in said], [body.decode() for body in bodies])
            if announcing is not None:
                await announcing
            public = [
                Outgoing(exchange=topics.EXTERNAL, key=f"manman.session.{word}", body=body)
                for (_, word), body in zip(said, bodies, strict=True)
                if word in PUBLIC
            ]
            announcing = asyncio.create_task(announce(bus, public, consumer, batch))
        if announcing is not None:
            await announcing
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "count": seen}))
    await conn.close()
    await bus.close()


async def announce(
    bus: rabbit.RabbitBus, public: Sequence[Outgoing], consumer: Consumer, batch: Sequence[Delivery]
) -> None:
    """Publish, wait for the confirms, acknowledge."""
    await bus.publish(public)
    await consumer.ack(batch[-1])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
