"""The raw limit: consume and acknowledge, doing nothing.

`python -m bench.drain RABBITMQ_URL COUNT` prints seconds and CPU seconds from its first message to its last.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta

from manman.events import topics
from manman.events.rabbit import bus as rabbit


async def main(broker: str, count: int) -> None:
    """Consume `count` messages and say how long it took."""
    bus = await rabbit.connect(broker)
    seen, began, cpu = 0, 0.0, 0.0
    async with bus.consume(topics.EVENTS_QUEUE, 500) as consumer:
        while seen < count:
            batch = await consumer.get_batch(500, wait=timedelta(seconds=30))
            if seen == 0:
                began, cpu = time.perf_counter(), time.process_time()
            seen += len(batch)
            await consumer.ack(batch[-1])
    print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "count": seen}))
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
