"""Virtual time for a simulation: one actor runs at a time, and where it waits, the seed decides who is next.

An actor is a coroutine of a process; it gives way only at `Scheduler.sleep` and `Scheduler.wait`, and a statement that the database
makes wait parks it too. Processes crash (their actors end where they wait) and freeze (their actors miss time).

The scheduler itself sends each coroutine on, inside the one task that it runs in: a turn costs no turn of the event loop, unless the
actor asks something of the world (a statement), and then nobody else moves.
"""

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import coroutine
from typing import Any

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Current:
    """Whose turn it is."""

    def __init__(self) -> None:
        self.actor: Actor | None = None

    def get(self) -> "Actor":
        """The actor that has the turn; called by nobody else."""
        assert self.actor is not None
        return self.actor


ACTOR = Current()


class Parking:
    """One wait of an actor, over once it is `done`."""

    __slots__ = ("_done", "result")

    def __init__(self) -> None:
        self._done = False
        self.result = False

    def done(self) -> bool:
        return self._done

    def end(self, result: bool) -> None:
        self._done, self.result = True, result


@coroutine
def give_way(parking: Parking) -> Generator[Parking, None, bool]:
    """Let others have their turn until this wait is over; what ended it."""
    yield parking
    return parking.result


@dataclass(eq=False)
class Process:
    """What crashes and freezes as one. `attached` is told when it crashes."""

    name: str
    time: "Scheduler"
    dead: bool = False
    frozen: bool = False
    actors: list["Actor"] = field(default_factory=list)
    missed: list["Waiting"] = field(default_factory=list)
    attached: list[Any] = field(default_factory=list)

    def spawn(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        """Add an actor; it runs for the first time when the scheduler comes to it."""
        actor = Actor(f"{self.name}.{name}", self, body)
        self.actors.append(actor)
        self.time.push(self.time.now, actor, Parking())

    async def crash(self) -> None:
        """End every actor where it waits; what is attached (connections) ends with it."""
        self.dead = True
        for held in self.attached:
            await held.crashed()
        for actor in self.actors:
            await self.time.end(actor)

    def thaw(self) -> None:
        """Go on after a freeze: what was missed is due now."""
        self.frozen = False
        for waiting in self.missed:
            self.time.push(self.time.now, waiting.actor, waiting.parking)
        self.missed.clear()


@dataclass(eq=False, slots=True)
class Actor:
    """One coroutine of a process."""

    name: str
    process: Process
    body: Coroutine[Any, Any, None]
    begun: bool = False
    over: bool = False


@dataclass(eq=False, slots=True)
class Waiting:
    """An actor's turn, or a call of the simulation itself."""

    actor: Actor | None = None
    parking: Any = None
    call: Callable[[], Awaitable[None]] | None = None
    result: bool = False


class Event:
    """Something that actors wait for; `notify` gives each of them a turn soon."""

    def __init__(self, time: "Scheduler") -> None:
        self._time = time
        self._waiting: list[tuple[Any, Any]] = []

    def add(self, actor: Any, parking: Any) -> None:
        self._waiting.append((actor, parking))

    def notify(self) -> None:
        """Wake whoever waits, each after a small span of its own."""
        waiting, self._waiting = self._waiting, []
        for actor, parking in waiting:
            if not parking.done():
                self._time.push(self._time.now + self._time.chance.uniform(0, 0.002), actor, parking, result=True)


class Scheduler:
    """The virtual clock (`now`, in seconds from the beginning) and the one chance of a simulation."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)
        self.failures: list[str] = []
        self.turns = 0
        self._heap: list[tuple[float, int, Waiting]] = []
        self._numbers = itertools.count()

    @property
    def at(self) -> datetime:
        """The moment as a time of day."""
        return self.moment(self.now)

    def moment(self, seconds: float) -> datetime:
        return BEGIN + timedelta(microseconds=round(seconds * 1_000_000))

    def bytes(self, count: int) -> bytes:
        """Chance, as the product wants it."""
        return self.chance.randbytes(count)

    def push(self, at: float, actor: Actor | None, parking: Any, *, result: bool = False) -> None:
        heapq.heappush(self._heap, (at, next(self._numbers), Waiting(actor, parking, None, result)))

    def call_at(self, at: float, call: Callable[[], Awaitable[None]]) -> None:
        """Have the simulation itself do something at a moment, between two turns."""
        heapq.heappush(self._heap, (at, next(self._numbers), Waiting(call=call)))

    # ---- what actors call

    async def sleep(self, seconds: float) -> None:
        """Give way for a span of virtual time."""
        await self._park(seconds, None)

    async def wait(self, event: Event, seconds: float) -> bool:
        """Give way until the event, at most so long; whether it came."""
        return await self._park(seconds, event)

    def _park(self, seconds: float, event: Event | None) -> Any:
        actor = ACTOR.get()
        if actor.process.dead:
            raise asyncio.CancelledError
        parking = Parking()
        self.push(self.now + seconds, actor, parking)
        if event is not None:
            event.add(actor, parking)
        return give_way(parking)

    # ---- the loop

    async def run_until(self, end: float) -> None:
        """Give turns until the virtual time is over."""
        while self._heap and self._heap[0][0] <= end:
            at, _, waiting = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            actor = waiting.actor
            if actor is None:
                if waiting.call is not None:
                    await waiting.call()
            elif not (waiting.parking.done() or actor.process.dead):
                if actor.process.frozen:
                    actor.process.missed.append(waiting)
                    continue
                self.turns += 1
                waiting.parking.end(waiting.result)
                await self._go(actor, None)
        self.now = end

    async def end(self, actor: Actor) -> None:
        """Cancel an actor where it waits."""
        if actor.over:
            return
        if not actor.begun:
            actor.over = True
            actor.body.close()
            return
        await self._go(actor, asyncio.CancelledError())

    @coroutine
    def _go(self, actor: Actor, error: BaseException | None) -> Generator[Any, Any, None]:
        """Send an actor on until it waits or ends; what it asks of the event loop goes through to there."""
        before, ACTOR.actor, actor.begun = ACTOR.actor, actor, True
        try:
            while True:
                asked = actor.body.send(None) if error is None else actor.body.throw(error)
                if type(asked) is Parking:
                    return
                error = None
                try:
                    yield asked
                except BaseException as said:
                    error = said
        except StopIteration:
            actor.over = True
        except asyncio.CancelledError:
            actor.over = True
            if not actor.process.dead:
                raise
        except Exception as failed:
            actor.over = True
            self.failures.append(f"{actor.name} ended by {type(failed).__name__}: {failed}")
        finally:
            ACTOR.actor = before


__all__ = ["ACTOR", "BEGIN", "Actor", "Event", "Parking", "Process", "Scheduler", "Waiting", "give_way"]
