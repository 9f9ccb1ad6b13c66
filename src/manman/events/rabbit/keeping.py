"""How tasks of a bus end, also of the one on PostgreSQL; of AMQP it knows nothing."""

from __future__ import annotations

import asyncio

PATIENCE_SECONDS = 15.0
TRIES = 2


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
