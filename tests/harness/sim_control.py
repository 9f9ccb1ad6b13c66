"""Processors inside a simulation: replicas of the real one's consumers, leases, relay and sweeps, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from harness.sim_bus import Broker, Bus
from harness.sim_database import Database, Pool
from harness.sim_time import Event, Process, Scheduler
from manman.errors import Transient, Unavailable, is_transient
from manman.events import contracts, topics, topology
from manman.events.bus import Outgoing, Topology
from manman.events.codec import encode_body
from manman.processor import leading
from manman.processor.backoff import Backoff
from manman.processor.batch import Rules
from manman.processor.commands import CommandRelay
from manman.processor.consumer import EventConsumer
from manman.processor.expired import ExpiredConsumer
from manman.processor.heartbeats import HeartbeatConsumer
from manman.processor.leading import Lease, Severed
from manman.processor.order import Order
from manman.processor.own_queue import OwnQueue
from manman.processor.partitions import Marks, Share
from manman.processor.relay import Relay
from manman.processor.repartitioning import Repartitioning
from manman.processor.sweeps import deadlines, hosts, lost, reports, wishes
from manman.processor.transactions import Transactions
from manman.store import installation

PREFETCH = 500
THRESHOLD = timedelta(seconds=10)
DEADLINE = timedelta(seconds=120)
# Seconds. Where nothing happens the product looks oftener; the simulation jumps that.
LOOKS_EVERY, SWEEPS_EVERY, PULSES_EVERY, RENEWS_EVERY = 5.0, 4.0, 2.6, 3.0
PARTITIONS_EVERY = 5.0
LOOKS_EVERY_AT_LAST, SWEEPS_EVERY_AT_LAST = 1.0, 2.0  # the product's own, once all is healed and time is measured


@dataclass(slots=True)
class SimBackoff(Backoff):
    """The product's waits, in virtual time."""

    time: Scheduler | None = None

    async def wait(self, stop: asyncio.Event | None) -> None:
        assert self.time is not None
        await self.time.sleep(self.next())


async def begin_service(time: Scheduler, pool: Pool) -> None:
    """What each service does at its start: see whether the database was restored; one that is away is waited for."""
    while True:
        try:
            async with pool.transaction() as conn:
                await installation.notice_cluster(conn)
        except Transient:
            await time.sleep(time.chance.uniform(0.2, 2.0))
        else:
            return


@dataclass(eq=False)
class Replica:
    """One life of one processor: its consumers, leases, relay and sweeps as actors that crash and freeze together."""

    process: Process
    database: Database
    broker: Broker
    news: dict[str, list[Callable[[], None]]]
    healed: Callable[[], bool]
    leases: tuple[Lease, ...] = ()
    relay: Relay = field(init=False)
    relay_news: Event = field(init=False)
    share: Share = field(init=False)
    promoted: Event = field(init=False)
    consuming: dict[str, asyncio.Event] = field(default_factory=dict)
    bus: Bus = field(init=False)
    pool: Pool = field(init=False)
    rules: Rules = field(init=False)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def time(self) -> Scheduler:
        return self.process.time

    @property
    def leads(self) -> bool:
        """Whether it leads in anything, as far as it knows."""
        return any(lease.led.is_set() for lease in self.leases)

    def start(self) -> None:
        """Make its connections; ask whether the database was restored, then begin its loops."""
        self.bus, self.pool = Bus(self.broker, self.process), Pool(self.database, self.process)
        self.promoted = Event(self.time)
        self.process.spawn("begin", self._begin())

    async def _begin(self) -> None:
        await begin_service(self.time, self.pool)
        self._work()

    def _work(self) -> None:
        self.rules = Rules(
            threshold=THRESHOLD, start_deadline=DEADLINE, chance=self.time.bytes, loop_time=lambda: self.time.now
        )
        holder = self.time.bytes(8).hex()
        sweeps = Lease("sweeps", holder, self.pool)  # type: ignore[arg-type]
        relays, changes = (Lease(name, holder, self.pool, speaks=True) for name in ("relay", "partitions"))  # type: ignore[arg-type]
        self.leases = (relays, sweeps, changes)
        self.relay, self.relay_news = Relay(relays, self.bus, topics.EXTERNAL), Event(self.time)  # type: ignore[arg-type]
        self.share = Share(self.bus, topics.EVENTS_QUEUE, holder, self._events, self.backoff)  # type: ignore[arg-type]
        change = Repartitioning(changes, self.bus, topics.EVENTS_QUEUE, lambda: self.time.now)  # type: ignore[arg-type]
        spawn = self.process.spawn
        spawn("heartbeats", self._heartbeats().run(self.stop))
        spawn("expired", ExpiredConsumer(self._own(topics.EXPIRED_QUEUE)).run(self.stop))
        spawn("leases", self._leases(*self.leases))
        spawn("partitions", self._change(change, changes))
        spawn("pulse", self._pulses())
        commands = CommandRelay(relays, self.bus, lambda: self.time.now)  # type: ignore[arg-type]
        command_news = Event(self.time)
        self.news["relay"].append(self._looks)
        self.news["commands"].append(command_news.notify)
        spawn("relay", self._follow(self.relay.step, relays, self.relay_news))
        spawn("commands", self._follow(commands.step, relays, command_news))
        spawn("sweeps", self._sweeps(sweeps))

    def _looks(self) -> None:
        self.relay.look()
        self.relay_news.notify()

    def backoff(self) -> SimBackoff:
        return SimBackoff(self.time.bytes, time=self.time)

    def _adapt(self) -> None:
        """Consume the partitions that are this one's, and no others."""
        mine = {self.share.queue_of(part) for part in self.share.parts}
        for queue in sorted(self.consuming.keys() - mine):
            self.consuming[queue].set()
            self.broker.wake(queue)
        for queue in sorted(mine - self.consuming.keys()):
            self.consuming[queue] = asyncio.Event()
            self.process.spawn(queue, self._consume(queue, self.consuming[queue]))

    async def _consume(self, queue: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.bus.declare(Topology(queues=(topology.event_queue(queue),)), lasting=False)
                break
            except Transient:
                await self.time.sleep(0.5)
        if not stop.is_set():
            await self._events(queue).run(stop)
        del self.consuming[queue]

    async def _change(self, change: Repartitioning, lease: Lease) -> None:
        backoff = self.backoff()
        while True:
            await self.time.sleep(PARTITIONS_EVERY)
            while lease.led.is_set() and await self._once(change.step, backoff):
                pass

    def _events(self, queue: str) -> EventConsumer:
        marks = Marks(self.pool)  # type: ignore[arg-type]
        return EventConsumer(
            bus=self.bus,  # type: ignore[arg-type]
            queue=queue,
            prefetch=PREFETCH,
            batch_max=self.time.chance.choice([1, 5, 500]),
            ways=Transactions(self.pool, self.rules, self.relay, self.relay_news.notify),  # type: ignore[arg-type]
            backoff=self.backoff(),
            loop_time=lambda: self.time.now,
            ended=marks.ended,
            order=None if queue == topics.EVENTS_QUEUE else Order(marks.settled),
        )

    def _own(self, queue: str) -> OwnQueue:
        return OwnQueue(self.bus, queue, PREFETCH, topology.processor_base(), self.backoff())  # type: ignore[arg-type]

    def _heartbeats(self) -> HeartbeatConsumer:
        return HeartbeatConsumer(
            source=self._own(topics.HEARTBEAT_QUEUE),
            pool=self.pool,  # type: ignore[arg-type]
            rules=self.rules,
            loop_time=lambda: self.time.now,
        )

    async def _pulse(self) -> None:
        body = encode_body(contracts.Pulse())
        await self.bus.publish([Outgoing(exchange=topics.INTERNAL, key=topics.pulse(), body=body)])

    async def _leases(self, *leases: Lease) -> None:
        backoff, severed = self.backoff(), Severed((self.bus,), lambda: self.time.now)  # type: ignore[arg-type]
        while True:
            try:
                async with self.pool.acquire() as conn:
                    led = [lease.led.is_set() for lease in leases]
                    await leading.renew(conn, self.share, leases, severed=severed())  # type: ignore[arg-type]
                    if any(lease.led.is_set() and not before for lease, before in zip(leases, led, strict=True)):
                        self.promoted.notify()
                self._adapt()
            except Unavailable:
                for lease in leases:
                    lease.know(None)
                await backoff.wait(None)
            await self.time.sleep(RENEWS_EVERY)

    async def _once(self, step: Callable[[], Awaitable[Any]], backoff: Backoff) -> Any:
        """A step as the service makes it; what is no weather is a bug that the simulation must not hide."""
        try:
            done = await step()
        except Exception as error:
            if not is_transient(error):
                self.time.failures.append(f"{self.process.name}: {type(error).__name__}: {error}")
            await backoff.wait(None)
            return None
        backoff.reset()
        return done

    async def _pulses(self) -> None:
        """All replicas at about the same moments: what comes together is applied together."""
        backoff = self.backoff()
        while True:
            await self._once(self._pulse, backoff)
            await self.time.sleep(PULSES_EVERY - self.time.now % PULSES_EVERY)

    async def _follow(self, step: Callable[[], Awaitable[int]], lease: Lease, news: Event) -> None:
        backoff = self.backoff()
        while True:
            if not lease.led.is_set():
                await self.time.wait(self.promoted, LOOKS_EVERY)
            elif not await self._once(step, backoff):
                await self.time.wait(news, LOOKS_EVERY_AT_LAST if self.healed() else LOOKS_EVERY)

    async def _sweeps(self, lease: Lease) -> None:
        backoff, turn, differing = self.backoff(), 0, reports.Differing()
        missing = partial(reports.missing, differing=differing.found)
        often = [hosts.Silent().step, deadlines.step, wishes.step, missing]
        seldom = [differing.step, lost.Lost(timedelta(days=1)).step]
        while True:
            await self.time.sleep(SWEEPS_EVERY_AT_LAST if self.healed() else SWEEPS_EVERY)
            turn += 1
            for sweep in often + (seldom if turn % (15 if self.healed() else 10) == 0 else []):
                if lease.led.is_set():
                    await self._once(lambda sweep=sweep: self._sweep(sweep, lease), backoff)

    async def _sweep(self, sweep: Any, lease: Lease) -> None:
        async with lease.transaction() as conn:
            await sweep(conn, self.rules)
