"""What it costs to understand a message and to write one."""

import json
import time
from collections.abc import Callable

from pika import frame, spec

from bench import Figure
from manman.events import codec
from manman.events.bus import Outgoing
from manman.events.rabbit import frames

HEADERS = {
    "cloudEvents:specversion": "1.0",
    "cloudEvents:id": "01900000-0000-7000-8000-000000000001",
    "cloudEvents:source": "/hosts/7/k3J",
    "cloudEvents:type": "manman.status.session.running",
    "cloudEvents:time": "2026-01-31T12:00:00Z",
    "cloudEvents:sequence": "12",
}
BODY = json.dumps({"session_id": 4, "status": "running"}).encode()
KEY = "status.session.running.7"
ROUNDS = 50_000


def measure() -> list[Figure]:
    """Decode and encode of a session status with its attributes, one after another."""
    message = codec.decode(KEY, HEADERS, BODY)
    return [
        Figure(
            what="decode a session status with headers",
            amount=each(lambda: codec.decode(KEY, HEADERS, BODY)),
            unit="µs",
        ),
        Figure(what="decode a plain body", amount=each(lambda: codec.decode(KEY, {}, BODY)), unit="µs"),
        Figure(what="encode", amount=each(lambda: codec.encode(message)), unit="µs"),
        *on_the_wire(),
    ]


def on_the_wire() -> list[Figure]:
    """The same message from AMQP frames and to them, without the socket."""
    sent = Outgoing(exchange="manman", key=KEY, body=BODY, headers=HEADERS, message_id=HEADERS["cloudEvents:id"])
    writer, out = frames.Writer(1, "guest", 1 << 17), []
    writer.message(out, sent, None)
    said = frame.Method(1, spec.Basic.Deliver("m", 1, False, sent.exchange, sent.key)).marshal()
    data = said + b"".join(out[1:])
    end = len(said) - 1

    def write() -> None:
        out.clear()
        writer.message(out, sent, None)

    return [
        Figure(what="read its frames", amount=each(lambda: frames.delivery(data, 0, end, 1 << 17, 0.0)), unit="µs"),
        Figure(what="write its frames", amount=each(write), unit="µs"),
    ]


def each(act: Callable[[], object]) -> float:
    """Microseconds of CPU an act takes, over ROUNDS of it."""
    begin = time.process_time()
    for _ in range(ROUNDS):
        act()
    return (time.process_time() - begin) / ROUNDS * 1e6
