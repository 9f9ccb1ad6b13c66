"""Runs `manman processor` and samples where its CPU time goes: every 2 ms of it, by the kernel's profiling timer.

`python -m bench.sampled FILE`: as the service, from the environment; at the end FILE holds counts by place, as JSON.
"""

import collections
import json
import signal
import sys
from pathlib import Path
from types import FrameType

EVERY = 0.002
counts: collections.Counter[str] = collections.Counter()
deepest: collections.Counter[str] = collections.Counter()


def note(_: int, frame: FrameType | None) -> None:
    """Whose time it is: the innermost module of ours or of a third party's; and the innermost function."""
    if frame is not None:
        deepest[f"{_module(frame)}:{frame.f_code.co_name}"] += 1
    while frame is not None:
        name = _module(frame)
        if name.split(".")[0] in ("manman", "pika", "asyncpg", "msgspec", "structlog", "prometheus_client"):
            counts[name] += 1
            return
        frame = frame.f_back
    counts["the rest"] += 1


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def main(target: str) -> None:
    """The service with the timer running."""
    from manman.__main__ import main as command

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
    sys.argv = ["manman", "processor"]
    try:
        command()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        Path(target).write_text(json.dumps({"modules": counts, "functions": deepest}))


if __name__ == "__main__":
    main(sys.argv[1])
