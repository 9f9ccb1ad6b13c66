"""Virtual time for a simulation: one actor runs at a time, and where it waits, the seed decides who is next.

An actor is a coroutine of a process; it gives way only at `Scheduler.sleep` and `Scheduler.wait`, and a statement that the database
makes wait parks it too. Processes crash (their actors end where they wait) and freeze (their actors miss time).
"""

import asyncio
import contextvars
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ACTOR: contextvars.ContextVar["Actor"] = contextvars.ContextVar("actor")


@dataclass(eq=False)
class Process:
    """What crashes and freezes as one. `ended` is called when it crashes, `failures` are bugs of its actors."""

    name: str
    time: "Scheduler"
    dead: bool = False
    frozen: bool = False
    actors: list["Actor"] = field(default_factory=list)
    missed: list["Waiting"] = field(default_factory=list)
    attached: list[Any] = field(default_factory=list)

    def spawn(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        """Add an actor; it runs for the first time when the scheduler comes to it."""
        actor = Actor(name=f"{self.name}.{name}", process=self)
        self.actors.append(actor)
        self.time.begin(actor, body)

    async def crash(self) -> None:
        """End every actor where it waits; what is attached (connections) ends with it."""
        self.dead = True
        for held in self.attached:
            await held.crashed()
        for actor in self.actors:
            if actor.task is not None and not actor.task.done():
                actor.task.cancel()
        await asyncio.gather(*(a.task for a in self.actors if a.task is not None), return_exceptions=True)

    def thaw(self) -> None:
        """Go on after a freeze: what was missed is due now."""
        self.frozen = False
        for waiting in self.missed:
            self.time.push(self.time.now, waiting.actor, waiting.future)
        self.missed.clear()


@dataclass(eq=False)
class Actor:
    """One coroutine of a process."""

    name: str
    process: Process
    task: asyncio.Task[None] | None = None


@dataclass(order=True)
class Waiting:
    """An actor's turn, or a call of the simulation itself."""

    at: float
    number: int
    actor: Actor | None = field(compare=False, default=None)
    future: "asyncio.Future[bool] | None" = field(compare=False, default=None)
    call: Callable[[], Awaitable[None]] | None = field(compare=False, default=None)
    result: bool = field(compare=False, default=False)


class Event:
    """Something that actors wait for; `notify` gives each of them a turn soon."""

    def __init__(self, time: "Scheduler") -> None:
        self._time = time
        self._waiting: list[tuple[Actor, asyncio.Future[bool]]] = []

    def add(self, actor: Actor, future: "asyncio.Future[bool]") -> None:
        self._waiting.append((actor, future))

    def notify(self) -> None:
        """Wake whoever waits, each after a small span of its own."""
        waiting, self._waiting = self._waiting, []
        for actor, future in waiting:
            if not future.done():
                self._time.push(self._time.now + self._time.chance.uniform(0, 0.002), actor, future, result=True)


class Scheduler:
    """The virtual clock (`now`, in seconds from the beginning) and the one chance of a simulation."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.failures: list[str] = []
        self.turns = 0
        self.after_turn: Callable[[], Awaitable[None]] | None = None
        self._heap: list[Waiting] = []
        self._numbers = itertools.count()
        self._idle = asyncio.Event()

    @property
    def at(self) -> datetime:
        """The moment as a time of day."""
        return self.moment(self.now)

    def moment(self, seconds: float) -> datetime:
        return BEGIN + timedelta(microseconds=round(seconds * 1_000_000))

    def bytes(self, count: int) -> bytes:
        """Chance, as the product wants it."""
        return self.chance.randbytes(count)

    def push(
        self, at: float, actor: Actor | None, future: "asyncio.Future[bool] | None", *, result: bool = False
    ) -> None:
        heapq.heappush(self._heap, Waiting(at, next(self._numbers), actor, future, result=result))

    def call_at(self, at: float, call: Callable[[], Awaitable[None]]) -> None:
        """Have the simulation itself do something at a moment, between two turns."""
        heapq.heappush(self._heap, Waiting(at, next(self._numbers), call=call))

    def begin(self, actor: Actor, body: Coroutine[Any, Any, None]) -> None:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.push(self.now, actor, future)

        async def run() -> None:
            ACTOR.set(actor)
            try:
                await future
            except asyncio.CancelledError:
                body.close()
                raise
            await body

        def ended(task: "asyncio.Task[None]") -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self.failures.append(f"{actor.name} ended by {type(error).__name__}: {error}")
            self._idle.set()

        actor.task = asyncio.get_running_loop().create_task(run(), name=actor.name)
        actor.task.add_done_callback(ended)

    # ---- what actors call

    async def sleep(self, seconds: float) -> None:
        """Give way for a span of virtual time."""
        await self._park(seconds, None)

    async def wait(self, event: Event, seconds: float) -> bool:
        """Give way until the event, at most so long; whether it came."""
        return await self._park(seconds, event)

    async def parked(self, future: "asyncio.Future[bool]") -> None:
        """Give way until somebody pushes this future."""
        self._idle.set()
        await future

    async def _park(self, seconds: float, event: Event | None) -> bool:
        actor = ACTOR.get()
        if actor.process.dead:
            raise asyncio.CancelledError
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.push(self.now + seconds, actor, future)
        if event is not None:
            event.add(actor, future)
        self._idle.set()
        return await future

    # ---- the loop

    async def run_until(self, end: float) -> None:
        """Give turns until the virtual time is over."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        while self._heap and self._heap[0].at <= end:
            waiting = heapq.heappop(self._heap)
            self.now = max(self.now, waiting.at)
            if waiting.call is not None:
                await waiting.call()
                await asyncio.sleep(0)
            elif waiting.future is not None and waiting.actor is not None:
                await self._turn(waiting, waiting.actor, waiting.future)
        self.now = end

    async def _turn(self, waiting: Waiting, actor: Actor, future: "asyncio.Future[bool]") -> None:
        if future.done() or actor.process.dead:
            return
        if actor.process.frozen:
            actor.process.missed.append(waiting)
            return
        self.turns += 1
        self._idle.clear()
        future.set_result(waiting.result)
        await self._idle.wait()
        if self.after_turn is not None:
            await self.after_turn()
