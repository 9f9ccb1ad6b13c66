"""This replica's share of the partitions: consumed side by side, taken and given away as replicas come and go.

Every second, with its lease, a replica reads who else lives and which generations there are; what follows for it is a pure function
(`domain.partitions.share`). Two replicas may think for a second that a partition is theirs: the broker lets one of them consume
(single active consumer), the database fences both. Giving away: the batch is finished and acknowledged, the channel closed.
"""

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from manman.domain import partitions as rules
from manman.domain.partitions import Generation, Part
from manman.errors import Transient
from manman.events import topics, topology
from manman.events.bus import Bus, Topology
from manman.observability import get_logger, metrics
from manman.processor.backoff import Backoff
from manman.processor.consumer import EventConsumer
from manman.processor.marks import Mark
from manman.processor.order import Place
from manman.store import leadership, partitions
from manman.store.pool import Connection, Pool

log = get_logger(__name__)
SERVICE = "processor"


@dataclass(slots=True)
class Marks:
    """Notes the marks that consumers meet, and looks into the inbox for them."""

    pool: Pool

    async def ended(self, mark: Mark) -> None:
        """All before this mark is settled."""
        async with self.pool.transaction() as conn:
            await partitions.end(conn, mark.generation, mark.partition, mark.mark)

    async def settled(self, places: Sequence[Place]) -> set[Place]:
        """Which of these numbers are in the inbox."""
        async with self.pool.acquire() as conn:
            return await partitions.settled(conn, places)


@dataclass(slots=True)
class Consuming:
    """One partition that is being consumed until `stop`."""

    consumer: EventConsumer
    stop: asyncio.Event
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Share:
    """What one replica consumes. `events` is the name that all queues begin with, `consumer` makes one for a queue."""

    bus: Bus
    events: str
    holder: str
    consumer: Callable[[str], EventConsumer]
    backoff: Callable[[], Backoff]
    parts: frozenset[Part] = frozenset()
    note: str | None = "not asked yet"
    consuming: dict[str, Consuming] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    # ---- what is mine ---------------------------------------------------------------------------------

    async def renew(self, conn: Connection, *, severed: bool) -> bool:
        """Say that this replica lives, and see what that makes its own: nothing, where it is `severed` from the broker and others are
        there. Whether it stays."""
        live = {replica.holder for replica in await leadership.replicas(conn, SERVICE)}
        stays = not severed or live <= {self.holder}
        if stays:
            facts = {"machine": platform.node(), "pid": os.getpid()}
            await leadership.enter(conn, SERVICE, self.holder, facts=facts)
        else:
            await self.leave(conn)
        self.know(await partitions.begun(conn), sorted(live | {self.holder} if stays else live - {self.holder}))
        return stays

    async def leave(self, conn: Connection) -> None:
        """Go, so that the others need not wait for the lease to end."""
        await leadership.leave(conn, SERVICE, self.holder)

    def know(self, begun: Sequence[Generation], live: Sequence[str]) -> None:
        """What the database said."""
        if not begun:
            return  # the leader begins the first one at once
        parts = rules.share(begun, live, self.holder)
        self.note = _note(begun, parts, len(live))
        newest = begun[-1]
        metrics.gauge("processor_replicas", len(live))
        metrics.gauge("partitions", newest.partitions)
        metrics.gauge("partitions_generation", newest.number)
        metrics.gauge("partitions_draining", len(begun) - 1)
        metrics.gauge("partitions_owned", len(parts))
        if parts != self.parts:
            names = [self.queue_of(part) for part in sorted(parts)]
            log.info("partitions_assigned", queues=names, replicas=len(live), holder=self.holder)
            self.parts = parts
            self.changed.set()

    def queue_of(self, part: Part) -> str:
        """The queue of a partition."""
        return topics.partition(self.events, part.generation, part.number, part.partitions)

    def paused(self) -> str | None:
        """For readiness: why something is not consumed now."""
        said = ((queue, one.consumer.paused or one.consumer.held_up) for queue, one in self.consuming.items())
        return "; ".join(f"{queue}: {why}" for queue, why in said if why) or None

    def leaderless(self) -> str | None:
        """For readiness: what the broker has no leader for, and what to do."""
        said = (one.consumer.leaderless for one in self.consuming.values() if one.consumer.leaderless)
        return "; ".join(said) or None

    # ---- consuming it ---------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Consume what is mine until `stop`; returns when every channel is closed."""
        ending = asyncio.create_task(stop.wait())
        ending.add_done_callback(lambda _: self.changed.set())
        try:
            async with asyncio.TaskGroup() as group:
                while not stop.is_set():
                    self.changed.clear()
                    self._adapt(group)
                    await self.changed.wait()
                self._give_away(set(self.consuming))
        finally:
            ending.cancel()

    def _adapt(self, group: asyncio.TaskGroup) -> None:
        mine = {self.queue_of(part) for part in self.parts}
        self._give_away(self.consuming.keys() - mine)
        for queue in sorted(mine - self.consuming.keys()):
            one = self.consuming[queue] = Consuming(self.consumer(queue), asyncio.Event())
            one.task = group.create_task(self._consume(queue, one), name=queue)

    def _give_away(self, queues: set[str]) -> None:
        for queue in queues:
            self.consuming[queue].stop.set()

    async def _consume(self, queue: str, one: Consuming) -> None:
        """One partition; what is given away and taken again at once is first closed, then opened."""
        try:
            await self._make_queue(queue, one.stop)
            if not one.stop.is_set():
                await one.consumer.run(one.stop)
        finally:
            del self.consuming[queue]
            self.changed.set()

    async def _make_queue(self, queue: str, stop: asyncio.Event) -> None:
        """The queue alone: its route is the leader's. Raises what makes that impossible for ever."""
        backoff = self.backoff()
        while not stop.is_set():
            try:
                await self.bus.declare(Topology(queues=(topology.event_queue(queue),)), lasting=False)
                return
            except Transient as error:
                one = self.consuming[queue].consumer
                one.paused = str(error)
                await backoff.wait(stop)


def _note(begun: Sequence[Generation], parts: frozenset[Part], live: int) -> str | None:
    """For readiness: what is not as usual."""
    draining = ", ".join(str(one.number) for one in begun[:-1] if not one.drained)
    if draining:
        return f"generation {begun[-1].number} waits until generation {draining} is drained"
    if not parts:
        return f"{live} replicas share {begun[-1].partitions} partition(s): none is this one's"
    return None
