"""What the hosts of a world say, at a rate, persistent and confirmed, as bare frames on a socket.

`python -m bench.said RABBITMQ_URL RATE HOSTS DEPLOYMENTS ROUNDS` prints a line once it begins and one at the end, when all is
confirmed: `began`, and `ticks`, how many were said by when (`time.perf_counter`, which is one clock for all processes).
"""

import json
import sys
import time

from bench.wire import END, Confirms, before, close, connect
from bench.world import World, stream
from manman.events.bus import Outgoing

TICK = 0.002
PATIENCE = 60.0  # seconds in which the last confirm comes


def main(broker: str, rate: int, world: World) -> None:
    """As much as is due at each tick."""
    messages = [frames(message) for message in stream(world)]
    wire = connect(broker)
    confirms, ticks, done = Confirms(wire), [], 0
    began = time.perf_counter()
    print(json.dumps({"began": began}), flush=True)
    while done < len(messages):
        due = min(len(messages), int((time.perf_counter() - began) * rate) + 1)
        if due > done:
            ticks.append((due, time.perf_counter()))
            wire.sendall(b"".join(messages[done:due]))
            done = due
        confirms.take()
        time.sleep(TICK)
    until = time.perf_counter() + PATIENCE
    while confirms.count < done and time.perf_counter() < until:
        confirms.take(1.0)
    if confirms.count < done:
        sys.exit(f"only {confirms.count} of {done} messages were confirmed")
    close(wire)
    print(json.dumps({"began": began, "ticks": ticks}))


def frames(message: Outgoing) -> bytes:
    """The whole message."""
    head = before(
        message.exchange,
        message.key,
        len(message.body),
        message.headers,
        message_id=message.message_id,
        delivery_mode=2,
    )
    return head + message.body + END


if __name__ == "__main__":
    hosts, deployments, rounds = map(int, sys.argv[3:6])
    main(sys.argv[1], int(sys.argv[2]), World(hosts=hosts, deployments=deployments, rounds=rounds))
