"""The simulation's clock and processes over real ones, so that the same agent runs in both.

`RealTime` has what `SimAgent` and `Operator` ask of `sim_time.Scheduler`; `RealProcess` what they ask of its `Process`.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from harness.sim_time import Event


class RealTime:
    """Seconds since `base` (a POSIX time, shared by all processes of a run); the machine's own clock."""

    def __init__(self, base: float, seed: object) -> None:
        self.base = base
        self.chance = random.Random(str(seed))
        self.failures: list[str] = []

    @property
    def now(self) -> float:
        return time.time() - self.base

    @property
    def at(self) -> datetime:
        return self.moment(self.now)

    def moment(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self.base + seconds, UTC)

    def bytes(self, count: int) -> bytes:
        """Chance that no other life of this process has: journals and event ids are made of it."""
        return random.SystemRandom().randbytes(count)

    def push(self, at: float, actor: object, future: "asyncio.Future[bool]", *, result: bool = False) -> None:
        def done() -> None:
            if not future.done():
                future.set_result(result)

        asyncio.get_running_loop().call_later(max(0.0, at - self.now), done)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait(self, event: Event, seconds: float) -> bool:
        """Until the event, at most so long; whether it came."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.push(self.now + seconds, None, future)
        event.add(None, future)  # type: ignore[arg-type]
        return await future


class RealProcess:
    """This process: its actors are tasks, and one that breaks is told to `broke`."""

    def __init__(self, time: RealTime, broke: Callable[[str], None]) -> None:
        self.time, self._broke = time, broke
        self.tasks: list[asyncio.Task[None]] = []

    def spawn(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(body, name=name)
        self.tasks.append(task)

        def ended(done: "asyncio.Task[None]") -> None:
            error = None if done.cancelled() else done.exception()
            if error is not None:
                self._broke(f"{name} ended by {type(error).__name__}: {error}")

        task.add_done_callback(ended)

    async def end(self) -> None:
        """Stop every actor."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


__all__ = ["RealProcess", "RealTime"]
