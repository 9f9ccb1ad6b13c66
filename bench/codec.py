"""What it costs to understand a message and to write one."""

import json
import time
from collections.abc import Callable

from bench import Figure
from manman.events import codec

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
    ]


def each(act: Callable[[], object]) -> float:
    """Microseconds an act takes, over ROUNDS of it."""
    begin = time.perf_counter()
    for _ in range(ROUNDS):
        act()
    return (time.perf_counter() - begin) / ROUNDS * 1e6
