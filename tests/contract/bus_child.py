"""A process on a bus, to be killed: `python -m contract.bus_child PLACE consume QUEUE PREFETCH` | `own QUEUE` | `publish KEY COUNT`."""

import asyncio
import json
import sys
from datetime import timedelta

from contract.places import Place

from manman.events import topics
from manman.events.bus import Bus, Kind, Outgoing, Queue, Topology

SAID, sys.stdout = sys.stdout, sys.stderr  # the log must not come between what is said


def say(text: str) -> None:
    print(text, file=SAID, flush=True)


async def consume(bus: Bus, queue: str, prefetch: int) -> None:
    """Takes as much as it may, acks nothing, says each batch's bodies."""
    async with bus.consume(queue, prefetch) as consumer:
        say("consuming")
        while True:
            batch = await consumer.get_batch(prefetch, timedelta(milliseconds=200))
            say(" ".join(delivery.body.decode() for delivery in batch))


async def own(bus: Bus, queue: str) -> None:
    """Holds an exclusive queue."""
    await bus.declare(Topology(queues=(Queue(name=queue, kind=Kind.EXCLUSIVE),)))
    say("owning")
    await asyncio.Event().wait()


async def publish(bus: Bus, key: str, count: int) -> None:
    """Publishes numbers one by one and says each that was confirmed."""
    for n in range(count):
        [outcome] = await bus.publish([Outgoing(exchange=topics.INTERNAL, key=key, body=str(n).encode())])
        say(f"{n} {outcome}")


async def main(place: Place, words: list[str]) -> None:
    async with place.bus() as bus:
        match words:
            case ["consume", queue, prefetch]:
                await consume(bus, queue, int(prefetch))
            case ["own", queue]:
                await own(bus, queue)
            case ["publish", key, count]:
                await publish(bus, key, int(count))


asyncio.run(main(Place(**json.loads(sys.argv[1])), sys.argv[2:]))
