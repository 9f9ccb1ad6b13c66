"""Heartbeats of many hosts at a rate.

`python -m bench.beats RABBITMQ_URL HOSTS RATE SECONDS` prints how many it published, in how many seconds.
"""

import asyncio
import json
import sys
import time

from manman.domain.ids import HostId
from manman.events import envelope, topics
from manman.events.bus import Outgoing
from manman.events.rabbit import bus as rabbit

TICK = 0.01
MOST_OPEN = 20  # publishes without their confirms


async def main(broker: str, hosts: int, rate: int, seconds: int) -> None:
    """One beat of each host after the other, round and round."""
    bus = await rabbit.connect(broker)
    total, done, confirms = rate * seconds, 0, set[asyncio.Task[object]]()
    began = time.perf_counter()
    while done < total:
        due = min(total, int((time.perf_counter() - began) * rate))
        batch = [beat(n % hosts + 1, n // hosts + 2) for n in range(done, due)]
        done = due
        if batch:
            confirms.add(asyncio.create_task(bus.publish(batch)))
        if len(confirms) > MOST_OPEN:
            _, confirms = await asyncio.wait(confirms, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(TICK)
    await asyncio.gather(*confirms)
    print(json.dumps({"seconds": time.perf_counter() - began, "count": done}))
    await bus.close()


def beat(host: int, number: int) -> Outgoing:
    """As an agent says it, with the figures of an idle machine."""
    body = (
        f'{{"host_id":{host},"boot":1,"beat":{number},"sessions":{{"total":0,"pending":0,"starting":0,"running":0,'
        '"stopping":0},"live":{"count":0,"xor":0},"cpu":0.01}'
    )
    return Outgoing(
        exchange=topics.INTERNAL,
        key=topics.heartbeat(HostId(host)),
        body=body.encode(),
        headers={envelope.HOST: str(host)},
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
