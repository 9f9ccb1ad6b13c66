"""A broker in memory with the promises of `manman.events.bus`, under a simulation's time, and the faults that the promises allow.

Nothing is lost from a confirmed publish to its ack; order per publisher and queue, also of what returns; a single active consumer;
attempts, TTL, bounds; exclusive queues go some time after their owner. A confirm may get lost, a message may come twice.
"""

import asyncio
import itertools
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from harness.sim_time import Event, Process, Scheduler
from manman.errors import ManManError, Unavailable
from manman.events import topics
from manman.events.bus import (
    PATIENCE,
    Delivery,
    Depth,
    Kind,
    Outcome,
    Outgoing,
    Overflow,
    Queue,
    QueueLocked,
    QueueMissing,
    Topology,
)

EXCLUSIVE_HELD = 8.0  # seconds at most that a dead connection holds its exclusive queue
FROZEN_SEEN_AFTER = 6.7
IDLE = 10.0  # seconds that an idle consumer is let sleep: whatever concerns it wakes it
CANCELLED_HELD = 10.0  # where a consumer only cancels: its channel, and what it had, lives on
SIGNS = ("health.heartbeat.", "status.host.online.")


@dataclass(eq=False)
class Entry:
    """A message in a queue."""

    number: int
    message: Outgoing
    expires: float | None
    attempts: int = 0


@dataclass(eq=False)
class Held:
    """A queue with what it holds and who consumes it, first come first."""

    spec: Queue
    news: Event
    ready: list[Entry] = field(default_factory=list)
    consumers: list["Consumer"] = field(default_factory=list)
    owner: "Bus | None" = None
    life: int = 0

    def is_of(self, bus: "Bus | None") -> bool:
        """Whether this very connection may use it: an earlier one of the same process may hold it still."""
        return self.owner is bus and bus is not None and self.life == bus.life


@dataclass(eq=False)
class Broker:
    """`published` is what reached `external`, in order: (seconds, message). `beats` are heartbeats that were acked: (body, seconds
    of their delivery, seconds of their ack); `heard` is when the processor last got a sign of life of a host.

    `doubles` is the chance that a message comes again, later; `reorders` that a host's message comes later than it should; `loses`
    that a command is lost. `only_cancel` switches the promise off that a closing consumer's messages return at once and first.
    """

    time: Scheduler
    down: bool = False
    doubles: float = 0.0
    reorders: float = 0.0
    reordered: bool = False
    loses: float = 0.0
    refuses: bool = False
    only_cancel: bool = False
    messages: int = 0
    exchanges: set[str] = field(default_factory=set)
    queues: dict[str, Held] = field(default_factory=dict)
    bindings: list[tuple[str, str, str]] = field(default_factory=list)
    hashing: dict[str, str] = field(default_factory=dict)
    links: list[tuple[str, str, str]] = field(default_factory=list)
    ring: int = 0
    published: list[tuple[float, Outgoing]] = field(default_factory=list)
    beats: list[tuple[bytes, float, float]] = field(default_factory=list)
    heard: dict[int, float] = field(default_factory=dict)
    buses: list["Bus"] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def declare(self, topology: Topology, owner: "Bus | None") -> None:
        """Make what is missing."""
        self.exchanges |= set(topology.exchanges)
        self.hashing |= {one.name: one.header for one in topology.hash_exchanges}
        for queue in topology.queues:
            known = self.queues.get(queue.name)
            if known is not None and known.spec.kind is Kind.EXCLUSIVE and not known.is_of(owner):
                raise QueueLocked(f"queue {queue.name} is held by another connection")
            if known is None:
                held = Held(queue, Event(self.time))
                if queue.kind is Kind.EXCLUSIVE and owner is not None:
                    held.owner, held.life = owner, owner.life
                self.queues[queue.name] = held
        self.bindings = list(dict.fromkeys([*self.bindings, *_bindings(topology)]))
        self.links = list(dict.fromkeys([*self.links, *_links(topology)]))

    def unbind(self, topology: Topology) -> None:
        """Take these ways away."""
        self.bindings = [one for one in self.bindings if one not in _bindings(topology)]
        self.links = [one for one in self.links if one not in _links(topology)]

    def wanting(self, exchange: str, message: Outgoing) -> list[str]:
        """The queues that a message goes to, each once."""
        if exchange == topics.DEFAULT:
            return [message.key] if message.key in self.queues else []
        bound = [(pattern, q) for source, pattern, q in self.bindings if source == exchange and q in self.queues]
        if exchange in self.hashing:
            value = f"{self.ring} {message.headers.get(self.hashing[exchange], '')}"
            return [bound[zlib.crc32(value.encode()) % len(bound)][1]] if bound else []
        found = [q for pattern, q in bound if topics.matches(pattern, message.key)]
        for target, source, pattern in self.links:
            if source == exchange and topics.matches(pattern, message.key):
                found += self.wanting(target, message)
        return list(dict.fromkeys(found))

    def route(self, message: Outgoing) -> Outcome:
        """One message to every queue that wants it."""
        self.messages += 1
        if message.exchange == topics.EXTERNAL:
            # Another subscriber's full queue refuses; this one has got it.
            self.published.append((self.time.now, message))
            return Outcome.NACKED if self.refuses else Outcome.CONFIRMED
        wanting = self.wanting(message.exchange, message)
        if self.loses and message.key.startswith("command.") and self.time.chance.random() < self.loses:
            return Outcome.CONFIRMED
        if self.reorders and message.key.startswith("status.") and self.time.chance.random() < self.reorders:
            self.reordered = True
            self._again(message, wanting)
            return Outcome.CONFIRMED
        refused = False
        for name in wanting:
            refused |= not self.put(self.queues[name], message)
        if refused:
            return Outcome.NACKED
        if self.doubles and self.time.chance.random() < self.doubles:
            self._again(message, wanting)
        return Outcome.UNROUTABLE if message.mandatory and not wanting else Outcome.CONFIRMED

    def put(self, queue: Held, message: Outgoing) -> bool:
        """At the end of a queue; False when it is full and refuses."""
        most = queue.spec.max_length
        if most is not None and len(queue.ready) >= most:
            if queue.spec.overflow is Overflow.REJECT_PUBLISH:
                return False
            queue.ready.pop(0)
        spans = [span for span in (message.ttl, queue.spec.ttl) if span is not None]
        expires = self.time.now + min(spans).total_seconds() if spans else None
        queue.ready.append(Entry(next(self._numbers), message, expires))
        queue.news.notify()
        return True

    def _again(self, message: Outgoing, queues: list[str]) -> None:
        async def later() -> None:
            for name in queues:
                if name in self.queues:
                    self.put(self.queues[name], message)

        self.time.call_at(self.time.now + self.time.chance.uniform(0, 8), later)

    def take(self, queue: Held, most: int) -> list[Entry]:
        """The oldest messages that are not too old."""
        taken: list[Entry] = []
        while queue.ready and len(taken) < most:
            entry = queue.ready.pop(0)
            if entry.expires is None or entry.expires > self.time.now:
                taken.append(entry)
        return taken

    def returned(self, queue: Held, entries: list[Entry]) -> None:
        """Back to where they were, in order."""
        for entry in entries:
            entry.attempts += 1
        queue.ready = sorted([*entries, *queue.ready], key=lambda e: e.number)
        queue.news.notify()

    def restart(self) -> None:
        """The broker goes and comes back: connections are gone, queues stay, but exclusive ones; its hash rings are built anew."""
        self.down = True
        self.ring += 1
        for name in [n for n, queue in self.queues.items() if queue.owner is not None]:
            del self.queues[name]
        for bus in list(self.buses):
            bus.lose()

    def wake(self, name: str) -> None:
        """Let whoever waits at a queue look up: its process wants something else of it."""
        if name in self.queues:
            self.queues[name].news.notify()

    def purge(self, name: str) -> None:
        """Somebody empties a queue."""
        self.queues[name].ready.clear()


def _bindings(topology: Topology) -> list[tuple[str, str, str]]:
    return [(one.exchange, one.pattern, one.queue) for one in topology.bindings]


def _links(topology: Topology) -> list[tuple[str, str, str]]:
    return [(one.exchange, one.source, one.pattern) for one in topology.links]


@dataclass(eq=False)
class Bus:
    """One process's connection. `cut_until`: its way to the broker is closed until then."""

    broker: Broker
    process: Process
    cut_until: float = 0.0
    life: int = 0
    closed: bool = False
    consumers: list["Consumer"] = field(default_factory=list)
    user_id: str | None = None
    trouble: ManManError | None = None
    lose_confirms: int = 0
    locks: dict[str, Topology] = field(default_factory=dict)
    locked_in: int = -1

    def __post_init__(self) -> None:
        self.process.attached.append(self)
        self.broker.buses.append(self)

    @property
    def time(self) -> Scheduler:
        return self.broker.time

    @property
    def connected(self) -> bool:
        return not self.broker.down and self.time.now >= self.cut_until

    async def crashed(self) -> None:
        """The process is gone: its socket closes."""
        self.lose()
        self.broker.buses.remove(self)

    def cut(self, seconds: float) -> None:
        """The way is closed for a while."""
        self.cut_until = max(self.cut_until, self.time.now + seconds)
        self.lose()

    def lose(self) -> None:
        """The connection is gone; what its consumers had returns; exclusive queues go some time later."""
        self.life += 1
        for consumer in list(self.consumers):
            consumer.leave()
        for name, queue in list(self.broker.queues.items()):
            if queue.owner is self:
                self.time.call_at(
                    self.time.now + self.time.chance.uniform(0.01, EXCLUSIVE_HELD), self._gone(name, queue)
                )

    def _gone(self, name: str, queue: Held) -> Callable[[], Any]:
        async def go() -> None:
            if self.broker.queues.get(name) is queue:
                del self.broker.queues[name]

        return go

    async def point(self) -> None:
        """A turn; raises when there is no connection."""
        await self.time.sleep(self.time.chance.uniform(0.0002, 0.003))
        if not self.connected or self.closed:
            self.trouble = Unavailable("the broker is out of reach")
            raise self.trouble
        self._lock_again()

    def _lock_again(self) -> None:
        """A new connection first takes back the queues that only it may have; while another one has them, there is no connection."""
        if self.locked_in == self.life:
            return
        try:
            for topology in self.locks.values():
                self.broker.declare(topology, self)
        except QueueLocked as error:
            self.trouble = error
            raise Unavailable(f"the broker is out of reach: {error}") from error
        self.trouble, self.locked_in = None, self.life

    async def wait_connected(self) -> None:
        while not self.connected:
            await self.time.sleep(0.5)

    async def require_hashing(self) -> None:
        await self.point()

    async def unbind(self, topology: Topology) -> None:
        await self.point()
        self.broker.unbind(topology)

    async def delete_queue(self, queue: str) -> None:
        await self.point()
        held = self.broker.queues.pop(queue, None)
        for consumer in list(held.consumers) if held is not None else ():
            consumer.leave()
        self.broker.bindings = [one for one in self.broker.bindings if one[2] != queue]

    async def delete_exchange(self, exchange: str) -> None:
        await self.point()
        self.broker.hashing.pop(exchange, None)
        self.broker.bindings = [one for one in self.broker.bindings if one[0] != exchange]
        self.broker.links = [one for one in self.broker.links if exchange not in one[:2]]

    async def declare(self, topology: Topology, *, lasting: bool = True) -> None:
        await self.point()
        self.broker.declare(topology, self)
        self.locks |= {q.name: Topology(queues=(q,)) for q in topology.queues if q.kind is Kind.EXCLUSIVE}

    async def publish(
        self, batch: Sequence[Outgoing], *, apart: bool = False, patience: timedelta = PATIENCE
    ) -> list[Outcome]:
        life = self.life
        await self.point()
        outcomes = []
        for message in batch:
            outcomes.append(self.broker.route(message))
            if len(batch) > 3 and self.time.chance.random() < 0.05:
                await self.time.sleep(self.time.chance.uniform(0.0001, 0.002))
                self._still(life)
        await self.time.sleep(self.time.chance.uniform(0.0002, 0.003))
        if self.lose_confirms > 0:
            self.lose_confirms -= 1
            self.lose()
        self._still(life)
        return outcomes

    def _still(self, life: int) -> None:
        if life != self.life or not self.connected:
            raise Unavailable("the connection went before the last confirm")

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator["Consumer"]:
        await self.point()
        if queue not in self.broker.queues:
            raise QueueMissing(f"there is no queue {queue}")
        consumer = Consumer(self, self.broker.queues[queue], prefetch)
        try:
            yield consumer
        finally:
            if not self.process.dead:
                consumer.leave()

    async def depth(self, queue: str) -> Depth:
        if queue not in self.broker.queues:
            raise QueueMissing(f"there is no queue {queue}")
        held = self.broker.queues[queue]
        return Depth(ready=len(held.ready), consumers=len(held.consumers))

    async def close(self) -> None:
        self.closed = True
        self.lose()


@dataclass(eq=False)
class Consumer:
    """Messages of one queue; what the broker pushed ahead, up to the prefetch, is this one's until it acks or goes."""

    bus: Bus
    queue: Held
    prefetch: int
    gone: bool = False
    unacked: list[tuple[Entry, float]] = field(default_factory=list)
    ahead: list[tuple[Entry, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus.consumers.append(self)
        self.queue.consumers.append(self)

    @property
    def is_active(self) -> bool:
        return not self.queue.spec.single_active_consumer or self.queue.consumers[:1] == [self]

    def leave(self) -> None:
        """The channel closes."""
        if self.gone:
            return
        self.gone = True
        self.bus.consumers.remove(self)
        self.queue.consumers.remove(self)
        mine = [entry for entry, _ in [*self.unacked, *self.ahead]]
        if self.bus.broker.only_cancel and mine:
            self._return_later(mine)
        else:
            self.bus.broker.returned(self.queue, mine)
        self.unacked, self.ahead = [], []

    def _return_later(self, mine: list[Entry]) -> None:
        async def later() -> None:
            self.bus.broker.returned(self.queue, mine)

        self.queue.news.notify()
        self.bus.time.call_at(self.bus.time.now + CANCELLED_HELD, later)

    async def get_batch(
        self, most: int, linger: timedelta = timedelta(0), wait: timedelta | None = None
    ) -> list[Delivery]:
        time = self.bus.time
        seconds = wait.total_seconds() if wait is not None else IDLE
        until = time.now + (seconds if seconds < 1 else max(seconds, IDLE))
        await time.sleep(time.chance.uniform(0.0001, 0.002))
        while True:
            self._alive()
            self._push()
            if self.ahead:
                break
            if time.now >= until or not await time.wait(self.queue.news, until - time.now):
                self._alive()
                if time.now >= until:
                    return []
        taken, self.ahead = self.ahead[:most], self.ahead[most:]
        self.unacked += [(entry, time.now) for entry, _ in taken]
        return [self._delivery(entry, pushed) for entry, pushed in taken]

    def _push(self) -> None:
        if self.is_active:
            room = self.prefetch - len(self.unacked) - len(self.ahead)
            self.ahead += [(entry, self.bus.time.now) for entry in self.bus.broker.take(self.queue, room)]

    def _delivery(self, entry: Entry, pushed: float) -> Delivery:
        message = entry.message
        if message.key.startswith(SIGNS):
            self.bus.broker.heard[int(message.key.rpartition(".")[2])] = self.bus.time.now
        return Delivery(
            tag=entry.number,
            exchange=message.exchange,
            key=message.key,
            body=message.body,
            headers=message.headers,
            attempts=entry.attempts if self.queue.spec.kind is Kind.QUORUM else 0,
            redelivered=entry.attempts > 0,
            message_id=message.message_id,
            held_since=pushed,
        )

    def _alive(self) -> None:
        if self.gone or not self.bus.connected:
            raise Unavailable("the channel is gone")

    async def ack(self, up_to: Delivery) -> None:
        tags = {entry.number for entry, _ in self.unacked}
        place = [entry.number for entry, _ in self.unacked].index(up_to.tag) if up_to.tag in tags else -1
        await self._settle({entry.number for entry, _ in self.unacked[: place + 1]})

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        await self._settle({delivery.tag for delivery in deliveries})

    async def reject(self, delivery: Delivery) -> None:
        await self._settle({delivery.tag})

    async def _settle(self, tags: set[int]) -> None:
        time = self.bus.time
        await time.sleep(time.chance.uniform(0.0001, 0.002))
        self._alive()
        for entry, since in self.unacked:
            if entry.number in tags and entry.message.key.startswith("health.heartbeat."):
                self.bus.broker.beats.append((entry.message.body, since, time.now))
        self.unacked = [(entry, since) for entry, since in self.unacked if entry.number not in tags]

    async def close(self) -> None:
        self.leave()
        await asyncio.sleep(0)
