"""How a bus keeps its connection and how its tasks end, also those of the one on PostgreSQL; of AMQP it knows nothing."""

from __future__ import annotations

import asyncio

from manman.domain.ids import Chance
from manman.errors import ManManError
from manman.events.bus import QueueLocked

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds; the longest stays below one silence threshold
LOCKED_DELAY = 1.0
GOOD_WHILE = LONGEST_DELAY * 2  # seconds of a connection, after which its end is the first failure
PATIENCE_SECONDS = 15.0
TRIES = 2


def pause(failures: int, why: ManManError | None, chance: Chance) -> float:
    """Seconds until the next try: growing and jittered; each second where another connection holds a queue of its own, which may be
    its dead predecessor and goes soon."""
    if isinstance(why, QueueLocked):
        return LOCKED_DELAY
    longest: float = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, 10))
    return longest * (0.5 + int.from_bytes(chance(4), "big") / 2**33)


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancels it and waits until it has ended; one that a dead peer holds up is cancelled again, and then left alone."""
    for _ in range(TRIES):
        if task is None or task.done():
            break
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    if task is not None and task.done():
        unheard(task)


def unheard(task: asyncio.Task[None]) -> None:
    """Nobody asks any more how this task ended; what matters of it was told."""
    if not task.cancelled():
        task.exception()
