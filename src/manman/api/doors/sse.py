"""Messages as server-sent events."""

from __future__ import annotations

from google.protobuf.message import Message

from manman.api import json
from manman.v1 import events_pb2, logs_pb2

HEADERS = {
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    # Told explicitly, so that no proxy compresses (and thereby holds back) a stream.
    "content-encoding": "identity",
}
FIRST = b"retry: 1000\n\n"
HEARTBEAT = b": still here\n\n"
HEARTBEAT_SECONDS = 15.0


def frame(message: Message) -> bytes:
    """One event: `event` is what is said, `id` where a reader resumes, `data` the message as JSON."""
    name, key = named(message)
    lines = [f"id: {key}"] if key else []
    lines += [f"event: {name}", "data: " + json.write(message).decode()]
    return ("\n".join(lines) + "\n\n").encode()


def named(message: Message) -> tuple[str, str]:
    """(event name, id) of a message of any stream; an empty id keeps the reader's last one."""
    match message:
        case events_pb2.WatchEventsResponse():
            said = message.WhichOneof("said") or "event"
            return said, getattr(getattr(message, said), "cursor", "")
        case logs_pb2.LogBatch():
            return ("bye" if message.bye else "lines"), str(message.last or "")
        case _:
            return "message", ""


def resume(request: Message, last: str) -> None:
    """Moves a stream's request behind the last event that its reader has; what is no number or cursor is ignored."""
    match request:
        case events_pb2.WatchEventsRequest() if last:
            request.after = last
        case logs_pb2.StreamLogsRequest() if last.isascii() and last.isdigit() and len(last) < 19:
            setattr(request, "from", int(last) + 1)
        case _:
            return
