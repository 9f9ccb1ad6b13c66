"""The raw limit: consume and acknowledge, doing nothing.

`python -m bench.drain RABBITMQ_URL COUNT [QUEUE]` prints how many came, and seconds and CPU seconds from the first to the last; what
does not come within 5 s was dropped.
"""

import asyncio
import json
import sys
import time
from datetime import timedelta

from manman.events import topics
from manman.events.rabbit import bus as rabbit


async def main(broker: str, count: int, queue: str = topics.EVENTS_QUEUE) -> None:
    """Consume `count` messages and say how long it took."""
    bus = await rabbit.connect(broker)
    seen, began, cpu, ended = 0, 0.0, 0.0, 0.0
    async with bus.consume(queue, 500) as consumer:
        while seen < count:
            batch = await consumer.get_batch(500, wait=timedelta(seconds=5 if seen else 60))
            if not batch:
                break
            if seen == 0:
                began, cpu = time.perf_counter(), time.process_time()
            seen += len(batch)
            await consumer.ack(batch[-1])
            ended = time.perf_counter()
    print(json.dumps({"seconds": ended - began, "cpu": time.process_time() - cpu, "count": seen}))
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4]))
