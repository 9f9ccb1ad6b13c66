"""Waiting for one of two things."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
GIVEN_UP_WITHIN = 5.0  # seconds


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work returns; None when `stop` was set before it ended: then it is given up."""
    doing, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((doing, stopped), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, stopped):
            task.cancel()
        await asyncio.wait((doing, stopped), timeout=GIVEN_UP_WITHIN)


async def until(event: asyncio.Event, stop: asyncio.Event, seconds: float) -> bool:
    """Wait for `event` or `stop`, at most so long; whether the event is set."""
    if event.is_set() or stop.is_set():
        return event.is_set()
    waits = [asyncio.ensure_future(one.wait()) for one in {id(e): e for e in (event, stop)}.values()]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return event.is_set()
