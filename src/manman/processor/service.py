"""The processor as a service: its loops in one task group, each repeating a `step`; SIGTERM sets `stop`.

At the end consumers finish what is in flight and close their channels, so that the rest returns in order to another replica; then
the relay publishes and notes what they said, and the leases are given up, so that the other one leads at once. What does not end
within the shutdown timeout is cut: nothing is lost by that.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from manman.domain.ids import Chance
from manman.errors import BadSetting, ManManError, Transient, is_transient
from manman.events import contracts, topics, topology
from manman.events.bus import Bus, Outgoing, QueueMissing
from manman.events.codec import encode_body
from manman.events.settings import BrokerSettings
from manman.observability import acts, get_logger, observe
from manman.observability.acts import Act
from manman.observability.health import Health, serve
from manman.processor.backoff import Backoff
from manman.processor.batch import Rules
from manman.processor.commands import CommandRelay
from manman.processor.consumer import EventConsumer
from manman.processor.expired import MOST as EXPIRED_AT_ONCE
from manman.processor.expired import ExpiredConsumer
from manman.processor.failing import told
from manman.processor.gauges import Gauges, broker_trouble
from manman.processor.heartbeats import HeartbeatConsumer
from manman.processor.leading import Lease, Leases, Severed
from manman.processor.order import Order
from manman.processor.own_queue import OwnQueue
from manman.processor.partitions import Marks, Share
from manman.processor.relay import Relay
from manman.processor.repartitioning import Repartitioning
from manman.processor.settings import ProcessorSettings
from manman.processor.sweeps import deadlines, hosts, lost, reports, retention, wishes
from manman.processor.transactions import Transactions
from manman.processor.waits import unless, until
from manman.store import installation, migrate
from manman.store import pool as pools
from manman.store.pool import Connection, Pool
from manman.store.settings import DatabaseSettings

log = get_logger(__name__)
T = TypeVar("T")
PULSE_EVERY = 1.0
GAUGES_EVERY = 2.0
BEATS_LINGER = timedelta(milliseconds=100)
EVENTS_LINGER = timedelta(milliseconds=2)  # of a steady stream: a seventh less CPU at 500 events/s, and hardly later
RELAY_LOOKS_EVERY = 1.0
CUT_BEFORE = 5.0  # seconds of the shutdown timeout that are left when work in flight is cut
PARTITIONS_LOOKS_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep and how often it looks, in seconds; one that says `more` goes on after `pace`. `patient` ones take turns, so that
    they never hold more than one connection."""

    act: Act
    every: float
    step: Callable[[Connection, Rules], Awaitable[dict[str, int]]]
    pace: float = 0.1
    patient: bool = True


class Processor:
    """The event processor. `bus` is a connected bus (its topology is declared here), `publish_bus` another connection for
    what is published, so that a broker which takes no more messages still reads what is acknowledged, `command_bus` one for commands;
    `pool` the database's connections, made from `database` unless given."""

    def __init__(
        self,
        settings: ProcessorSettings,
        database: DatabaseSettings,
        bus: Bus,
        broker: BrokerSettings,
        pool: Pool | None = None,
        serve_health: bool = True,
        *,
        publish_bus: Bus | None = None,
        command_bus: Bus | None = None,
        chance: Chance = os.urandom,
    ) -> None:
        self.settings, self.database, self.broker = settings, database, broker
        self.bus, self.publish_bus = bus, publish_bus or bus
        self.command_bus = command_bus or self.publish_bus
        self.health = Health()
        self.rules = Rules(
            threshold=timedelta(seconds=settings.stale_host_threshold_seconds),
            start_deadline=timedelta(seconds=settings.start_deadline_seconds),
            chance=chance,
        )
        self._queues = topology.processor_base(broker.heartbeat_queue_name, broker.external_exchange)
        self._chance = chance
        self._pool = pool
        self.share: Share | None = None  # what this replica consumes, once it runs
        self._serve_health = serve_health and settings.health_check_port > 0
        self._turns = asyncio.Lock()
        self._news = {name: asyncio.Event() for name in ("relay", "commands")}

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises `OutOfReach` when the database cannot be reached at the start."""
        pool = self._pool or await unless(stop, pools.connect(self.database))
        if pool is None:
            return
        try:
            await unless(stop, self._begin(pool, stop))
            if not stop.is_set():
                await self._work(pool, stop)
        finally:
            if self._pool is None:
                await pool.close()

    async def _begin(self, pool: Pool, stop: asyncio.Event) -> None:
        """What comes before the loops; a database that goes meanwhile is waited for."""
        await self._declare(stop)
        backoff = self._backoff()
        while not stop.is_set():
            try:
                async with pool.transaction() as conn:
                    await migrate.require(conn)
                    await installation.notice_cluster(conn)
                return
            except Transient as error:
                log.warning("database_awaited", reason=str(error))
                await backoff.wait(stop)

    async def _declare(self, stop: asyncio.Event) -> None:
        """Make exchanges and queues; a broker that is away is waited for."""
        backoff = self._backoff()
        while not stop.is_set():
            try:
                await self.bus.declare(self._queues)
                return
            except Transient as error:
                log.warning("broker_awaited", reason=str(error))
                await backoff.wait(stop)

    async def _work(self, pool: Pool, stop: asyncio.Event) -> None:
        holder = self._chance(8).hex()
        sweeps = Lease("sweeps", holder, pool)
        relays, changes = (Lease(name, holder, pool, speaks=True) for name in ("relay", "partitions"))
        relay = Relay(relays, self.publish_bus, self.broker.external_exchange)
        loop_time = asyncio.get_running_loop().time
        gauges = Gauges(pool, self.rules, loop_time)
        share = Share(
            self.bus, self.broker.queue_name, holder, lambda queue: self._consumer(queue, pool, relay), self._backoff
        )
        self.share = share
        repartitioning = Repartitioning(changes, self.publish_bus, self.broker.queue_name, loop_time)
        self._describe(gauges, share, repartitioning, relays, sweeps)
        hushed = asyncio.Event()  # nobody here says anything any more
        loops = [
            self._all(
                partial(self._hush, hushed),
                share.run(stop),
                self._heartbeats(pool).run(stop),
                ExpiredConsumer(self._own("expired", topics.EXPIRED_QUEUE, EXPIRED_AT_ONCE)).run(stop),
                self._all(sweeps.over.set, *(self._sweep(sweep, sweeps, stop) for sweep in self._sweeps())),
            ),
            self._all(relays.over.set, self._relay(relay, hushed), self._commands(relays, hushed)),
            self._all(changes.over.set, self._repartition(repartitioning, changes, stop)),
            self._leases(relay, share, relays, sweeps, changes).run(stop),
            self._repeat("pulse", self._pulse, stop, every=PULSE_EVERY),
            self._repeat("gauges", gauges.step, stop, every=GAUGES_EVERY),
        ]
        log.info("processor_started", holder=holder, queue=self.broker.queue_name)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            ended = asyncio.Event()
            group.create_task(self._end(tasks, pool, stop, ended))
            if self._serve_health:
                group.create_task(self._probes(ended))
        log.info("processor_stopped", holder=holder)

    async def _end(
        self, tasks: list[asyncio.Task[None]], pool: Pool, stop: asyncio.Event, ended: asyncio.Event
    ) -> None:
        """Wait for the end, give work in flight its time, then cut what is left: a database that is frozen answers nothing. Probes
        say until the last that it ends."""
        await stop.wait()
        self.health.stopping = True
        most = self.settings.shutdown_timeout_seconds
        _, late = await asyncio.wait(tasks, timeout=max(most - CUT_BEFORE, most / 2))
        for task in late:
            log.warning("work_was_cut", task=task.get_name())
            task.cancel()
        if late:
            pool.cut()
            await asyncio.wait(late, timeout=CUT_BEFORE / 2)
        ended.set()

    def _describe(self, gauges: Gauges, share: Share, change: Repartitioning, *leases: Lease) -> None:
        self.health.required["database"] = gauges.database
        self.health.required["migrations"] = lambda: gauges.migrations
        self.health.required["broker"] = partial(broker_trouble, self.bus, self.publish_bus, self.command_bus)
        self.health.required["queues"] = share.leaderless
        self.health.notes["consumption"] = share.paused
        self.health.notes["partitions"] = lambda: change.refused or share.note
        self.health.notes["ear"] = lambda: gauges.deaf
        self.health.notes["outbox"] = lambda: gauges.lag
        for lease in leases:
            self.health.notes[lease.name] = lease.standby

    # ---- the parts ----------------------------------------------------------------------------------

    def _backoff(self) -> Backoff:
        return Backoff(self._chance)

    def _consumer(self, queue: str, pool: Pool, relay: Relay) -> EventConsumer:
        marks = Marks(pool)
        return EventConsumer(
            bus=self.bus,
            queue=queue,
            prefetch=self.broker.prefetch,
            batch_max=self.broker.batch_max,
            ways=Transactions(pool, self.rules, relay, self._news["relay"].set),
            backoff=self._backoff(),
            loop_time=asyncio.get_running_loop().time,
            linger=EVENTS_LINGER,
            side_by_side=lambda: self.share is not None and len(self.share.consuming) == 1,
            ended=marks.ended,
            order=Order(marks.settled) if queue != self.broker.queue_name else None,
        )

    def _leases(self, relay: Relay, share: Share, *leases: Lease) -> Leases:
        severed = Severed((self.bus, self.publish_bus, self.command_bus), asyncio.get_running_loop().time)
        return Leases(self.database, leases, self._backoff(), partial(self._woken, relay), share, severed)

    def _own(self, note: str, queue: str, prefetch: int) -> OwnQueue:
        """A queue of ours; `note` is where readiness says why it is not consumed."""
        made = OwnQueue(self.bus, queue, prefetch, self._queues, self._backoff())
        self.health.notes[note] = lambda: made.paused
        return made

    def _heartbeats(self, pool: Pool) -> HeartbeatConsumer:
        return HeartbeatConsumer(
            source=self._own("heartbeats", self.broker.heartbeat_queue_name, self.broker.heartbeat_prefetch),
            pool=pool,
            rules=self.rules,
            loop_time=asyncio.get_running_loop().time,
            linger=BEATS_LINGER,
        )

    def _sweeps(self) -> list[Sweep]:
        settings = self.settings
        interval = settings.stale_host_check_interval_seconds
        lost_after = timedelta(seconds=settings.host_lost_after_seconds)
        kept = retention.Retention(
            histories=timedelta(days=settings.retention_days), events=timedelta(days=settings.event_retention_days)
        )
        differing = reports.Differing()
        return [
            Sweep(acts.SWEEP_HOSTS, interval, hosts.Silent().step, pace=0.0, patient=False),
            Sweep(acts.SWEEP_DEADLINES, interval, deadlines.step),
            Sweep(acts.SWEEP_WISHES, interval, wishes.step),
            Sweep(acts.SWEEP_REPORTS, interval, partial(reports.missing, differing=differing.found)),
            Sweep(acts.SWEEP_REPORTS, 30, differing.step),
            Sweep(acts.SWEEP_LOST, 30, lost.Lost(lost_after).step),
            Sweep(acts.SWEEP_RETENTION, 60, kept.step),
        ]

    # ---- the loops ----------------------------------------------------------------------------------

    async def _all(self, over: Callable[[], None], *loops: Coroutine[Any, Any, None]) -> None:
        """Loops that end together; `over` is called when they have."""
        try:
            async with asyncio.TaskGroup() as group:
                for loop in loops:
                    group.create_task(loop)
        finally:
            over()

    def _hush(self, hushed: asyncio.Event) -> None:
        hushed.set()
        for news in self._news.values():
            news.set()  # whoever waits for some sees that none will come

    def _woken(self, relay: Relay, what: str) -> None:
        """A commit put rows into the outbox: commands, or others."""
        if what != "commands":
            relay.look()
        self._news["commands" if what == "commands" else "relay"].set()

    async def _pulse(self) -> None:
        # Not behind what a subscriber's queue holds up: the ear must not go deaf for that.
        pulse = Outgoing(
            exchange=topics.INTERNAL, key=topics.pulse(), body=encode_body(contracts.Pulse()), perishable=True
        )
        await self.command_bus.publish([pulse])

    async def _relay(self, relay: Relay, stop: asyncio.Event) -> None:
        await self._follow("relay", relay.step, relay.lease, stop)
        with suppress(Transient):
            await relay.finish()

    async def _commands(self, lease: Lease, stop: asyncio.Event) -> None:
        relay = CommandRelay(lease, self.command_bus, asyncio.get_running_loop().time)
        self.health.notes["commands"] = relay.silence
        try:
            await self._follow("commands", relay.step, lease, stop)
        finally:
            await relay.close()

    async def _follow(
        self, name: str, step: Callable[[], Awaitable[object]], lease: Lease, stop: asyncio.Event
    ) -> None:
        """Step while there is something to do, then wait for news."""
        news, backoff = self._news[name], self._backoff()
        while not stop.is_set():
            if not await until(lease.led, stop, RELAY_LOOKS_EVERY):
                continue
            news.clear()
            done = await self._once(name, step, backoff, stop)
            if not done and done is not None and not stop.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(RELAY_LOOKS_EVERY):
                        await news.wait()

    async def _repartition(self, change: Repartitioning, lease: Lease, stop: asyncio.Event) -> None:
        backoff = self._backoff()
        while not stop.is_set():
            if await until(lease.led, stop, PARTITIONS_LOOKS_EVERY):
                more = await self._once(lease.name, change.step, backoff, stop)
                await until(stop, stop, 0 if more else PARTITIONS_LOOKS_EVERY)

    async def _sweep(self, sweep: Sweep, lease: Lease, stop: asyncio.Event) -> None:
        async def step() -> bool:
            async with self._turns if sweep.patient else nullcontext(), lease.transaction() as conn:
                with observe(sweep.act) as seen:
                    done = await sweep.step(conn, self.rules)
                    more = bool(done.pop("more", 0))  # a piece of many with nothing in it is not worth a line
                    seen.add(**done)
            return more

        backoff = self._backoff()
        while not stop.is_set():
            if await until(lease.led, stop, sweep.every):
                more = await self._once(sweep.act.name, step, backoff, stop)
                await until(stop, stop, sweep.pace if more else sweep.every)

    async def _repeat(
        self, name: str, step: Callable[[], Awaitable[None]], stop: asyncio.Event, *, every: float
    ) -> None:
        backoff = self._backoff()
        while not stop.is_set():
            await self._once(name, step, backoff, stop)
            await until(stop, stop, every)

    async def _once(
        self, name: str, step: Callable[[], Awaitable[T]], backoff: Backoff, stop: asyncio.Event
    ) -> T | None:
        """One step. What fails is told and waits; a loop never ends by it, and never runs hot."""
        try:
            done = await step()
        except Exception as error:
            if isinstance(error, QueueMissing):
                await self._make_again(error)
            elif is_transient(error):
                log.debug("loop_waits", loop=name, reason=str(error))
            else:
                log.error("loop_failed", loop=name, **told(error))
            await backoff.wait(stop)
            return None
        backoff.reset()
        return done

    async def _make_again(self, error: QueueMissing) -> None:
        """Somebody deleted an exchange or a queue of ours: what was bound to it must bind itself again."""
        try:
            await self.bus.declare(self._queues, lasting=False)
        except ManManError as why:
            log.warning("queue_missing", reason=str(error), made="not again", why=str(why))
            return
        log.warning("queue_missing", reason=str(error), made="again")

    async def _probes(self, ended: asyncio.Event) -> None:
        port = self.settings.health_check_port
        try:
            await serve(port, self.health, ended)
        except OSError as error:
            raise BadSetting(f"HEALTH_CHECK_PORT: port {port} cannot be used: {error.strerror}") from error
