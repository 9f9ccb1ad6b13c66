"""Changes the number of partitions, step by step: one leader, its state in the database, each step repeatable.

`domain.partitions.next_step` says what is next. The broker is acted on first, then it is noted: a leader that dies in between leaves
a step that the next one makes again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

import msgspec

from manman.domain.partitions import MOST, Do, Generation, Step, may_act, next_step
from manman.errors import Unavailable
from manman.events import topics, topology
from manman.events.bus import Bus, Outcome, Outgoing, QueueMissing, Unsupported
from manman.observability import acts, get_logger, observe
from manman.processor.leading import Lease
from manman.processor.marks import Mark
from manman.store import partitions
from manman.store.partitions import State

log = get_logger(__name__)
BOUND_AGAIN_EVERY = 10.0  # seconds: a broker that lost its definitions gets them again
FORGOTTEN_MOST = 32
"""How many changes a restored database may have forgotten, at most; each one that is looked for costs a question of the broker."""


@dataclass(slots=True)
class Repartitioning:
    """The leader's part of a change. `refused` is why the broker cannot have what was asked for; said once."""

    lease: Lease
    bus: Bus
    events: str
    loop_time: Callable[[], float]
    refused: str | None = None
    bound: tuple[int, int, float] | None = None  # which generation in which epoch, and when it was bound (again)
    looked: int | None = None  # the epoch in which the broker has no generation that the database does not know

    async def step(self) -> bool:
        """Make the next step if there is one; whether it was made."""
        async with self.lease.transaction() as conn:
            state = await partitions.state(conn, self.lease.name)
        await self._bind_again(state)
        step = await self._forgotten(state) or next_step(state.wanted, state.begun, state.now, led_for=state.led_for)
        if step is None:
            self.refused = None
            return False
        try:
            await self._make(step, {one.number: one for one in state.begun})
        except Unsupported as error:
            self._refuse(error)
            return False
        self.refused = None
        return True

    def _refuse(self, error: Unsupported) -> None:
        if self.refused is None:
            log.error("partitions_refused", reason=error.detail, hint=error.hint)
        self.refused = f"{error.detail}; {error.hint}"

    async def _make(self, step: Step, begun: dict[int, Generation]) -> None:
        act = acts.CHANGE_PARTITIONS
        with observe(act, step=step.do.value, generation=str(step.number), of=str(step.partitions)):
            match step.do:
                case Do.BEGIN:
                    if step.partitions > 1:
                        await self.bus.require_hashing()
                case Do.BIND:
                    await self._bind(step.number, step.partitions)
                case Do.UNBIND:
                    await self.bus.unbind(topology.event_route(self.events, step.number, step.partitions))
                case Do.MARK:
                    await self._mark(begun[step.number])
                case Do.NOTE_DRAINED | Do.CLOSE | Do.REOPEN:
                    pass
                case Do.DELETE:
                    step = await self._delete(step)
                case other:
                    assert_never(other)
            async with self.lease.transaction() as conn:
                await partitions.note(conn, step)

    async def _bind_again(self, state: State) -> None:
        """The way that is bound now is bound, whatever became of the broker, and at once where the database was restored."""
        bound = [one for one in state.begun if one.bound_at is not None]
        if not bound:
            return
        newest, now = bound[-1], self.loop_time()
        known = (newest.number, state.epoch)
        if self.bound is None or self.bound[:2] != known or now - self.bound[2] > BOUND_AGAIN_EVERY:
            await self._bind(newest.number, newest.partitions)
            self.bound = *known, now

    async def _forgotten(self, state: State) -> Step | None:
        """A generation that a restored database has forgotten is begun again: what hosts say is routed there, and somebody must
        consume it before its number and its queues are used anew."""
        if self.looked == state.epoch or not may_act(state.led_for) or not state.begun:
            return None
        first = state.begun[-1].number + 1
        if not any(one.partitions == 1 for one in state.begun) and await self._waiting(self.events) is not None:
            return self._found(first, 1)
        for number in range(first, first + FORGOTTEN_MOST):
            count = 0
            while await self._waiting(topics.partition(self.events, number, count, MOST)) is not None:
                count += 1
            if count > 1:
                return self._found(number, count)
        self.looked = state.epoch
        return None

    def _found(self, number: int, count: int) -> Step:
        hint = "its queues are emptied and taken away, then there are as many as were asked for"
        log.warning("partitions_found", generation=number, partitions=count, hint=hint)
        return Step(do=Do.BEGIN, number=number, partitions=count)

    async def _bind(self, number: int, count: int) -> None:
        wanted = topology.event_queues(self.events, number, count) + topology.event_route(self.events, number, count)
        await self.bus.declare(wanted, lasting=False)

    def _queues(self, number: int, count: int) -> list[str]:
        return [topics.partition(self.events, number, n, count) for n in range(count)]

    async def _mark(self, old: Generation) -> None:
        """A mark at each end that is not reached; a queue that somebody deleted is made again, empty."""
        await self.bus.declare(topology.event_queues(self.events, old.number, old.partitions), lasting=False)
        queues = self._queues(old.number, old.partitions)
        marks = [
            Outgoing(
                exchange=topics.DEFAULT,
                key=queues[n],
                body=msgspec.json.encode(Mark(generation=old.number, partition=n, mark=old.round)),
                mandatory=True,
            )
            for n, reached in enumerate(old.ended)
            if reached < old.round
        ]
        if set(await self.bus.publish(marks)) != {Outcome.CONFIRMED}:
            raise Unavailable(f"the broker did not take the marks of generation {old.number}")

    async def _delete(self, step: Step) -> Step:
        """Remove what is empty and unbound; what came too late nevertheless is consumed first."""
        queues = self._queues(step.number, step.partitions)
        if any(await asyncio.gather(*(self._waiting(queue) for queue in queues))):
            return Step(do=Do.REOPEN, number=step.number, partitions=step.partitions)
        if step.partitions > 1:
            await self.bus.delete_exchange(topics.partitions_exchange(step.number))
        for queue in queues:
            await self.bus.delete_queue(queue)
        return step

    async def _waiting(self, queue: str) -> int | None:
        """How many messages wait there; None where there is no such queue."""
        try:
            return (await self.bus.depth(queue)).ready
        except QueueMissing:
            return None
