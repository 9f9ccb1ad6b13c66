"""A witness: everything on `manman` and `external`, in order, into a file: `python -m faults.recorder_program URL FILE`.

It has its own way to the broker, which no fault cuts, and acknowledges what is written.
"""

import asyncio
import base64
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from manman.errors import Transient
from manman.events import topics
from manman.events.bus import Binding, Bus, Delivery, Kind, Queue, Topology
from manman.events.rabbit import bus as rabbit
from manman.observability import set_up_logs

QUEUE = "faults-recorder"
WANTED = Topology(
    exchanges=(topics.INTERNAL, topics.EXTERNAL),
    queues=(Queue(name=QUEUE, kind=Kind.QUORUM),),
    bindings=(
        Binding(queue=QUEUE, exchange=topics.INTERNAL, pattern="#"),
        Binding(queue=QUEUE, exchange=topics.EXTERNAL, pattern="#"),
    ),
)


def told(delivery: Delivery) -> dict[str, Any]:
    return {
        "at": time.time(),
        "exchange": delivery.exchange,
        "key": delivery.key,
        "id": delivery.message_id,
        "headers": dict(delivery.headers),
        "body": base64.b64encode(delivery.body).decode(),
    }


async def record(bus: Bus, file: BinaryIO) -> None:
    while True:
        try:
            await bus.wait_connected()
            async with bus.consume(QUEUE, 500) as consumer:
                while True:
                    found = await consumer.get_batch(500, wait=timedelta(seconds=1))
                    file.writelines(msgspec.json.encode(told(d)) + b"\n" for d in found)
                    file.flush()
                    if found:
                        await consumer.ack(found[-1])
        except Transient:
            await asyncio.sleep(0.2)


async def run(url: str, path: Path) -> None:
    bus = await rabbit.connect(url, name="recorder", topology=WANTED, patience=timedelta(seconds=120))
    with path.open("ab") as file:
        work = asyncio.get_running_loop().create_task(record(bus, file))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        await asyncio.gather(work, return_exceptions=True)
    await bus.close()


if __name__ == "__main__":
    set_up_logs("info", service="recorder", json=True)
    asyncio.run(run(sys.argv[1], Path(sys.argv[2])))
