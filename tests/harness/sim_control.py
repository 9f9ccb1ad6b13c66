"""The control plane inside a simulation: replicas of the real processor's steps, and an operator with the API's power commands."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from harness.sim_bus import Broker, Bus
from harness.sim_database import Database, Pool
from harness.sim_time import Event, Process, Scheduler
from manman.api import power
from manman.errors import RefusedError, Transient, Unavailable, is_transient
from manman.events import contracts, topics, topology
from manman.events.bus import Outgoing
from manman.events.codec import encode_body
from manman.processor.backoff import Backoff
from manman.processor.batch import Rules
from manman.processor.commands import CommandRelay
from manman.processor.consumer import EventConsumer
from manman.processor.expired import ExpiredConsumer
from manman.processor.heartbeats import HeartbeatConsumer
from manman.processor.leading import Lease
from manman.processor.relay import Relay
from manman.processor.service import Transactions
from manman.processor.sweeps import deadlines, hosts, lost, reports, wishes
from manman.store import leadership

PREFETCH = 500
THRESHOLD = timedelta(seconds=10)
DEADLINE = timedelta(seconds=120)
# Seconds. Where nothing happens the product looks oftener; the simulation jumps that.
LOOKS_EVERY, SWEEPS_EVERY, PULSES_EVERY, RENEWS_EVERY = 5.0, 3.0, 2.2, 1.3


@dataclass(slots=True)
class SimBackoff(Backoff):
    """The product's waits, in virtual time."""

    time: Scheduler | None = None

    async def wait(self, stop: asyncio.Event | None) -> None:
        assert self.time is not None
        await self.time.sleep(self.next())


@dataclass
class Command:
    """A power command that was accepted: what a 2xx promised."""

    at: float
    verb: str
    deployment: int
    version: int
    session: int | None


@dataclass(eq=False)
class Replica:
    """One life of one processor: its consumers, leases, relay and sweeps as actors that crash and freeze together."""

    process: Process
    database: Database
    broker: Broker
    news: list[Event]
    bus: Bus = field(init=False)
    pool: Pool = field(init=False)
    rules: Rules = field(init=False)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def time(self) -> Scheduler:
        return self.process.time

    def start(self) -> None:
        """Make its connections and begin its loops."""
        self.bus, self.pool = Bus(self.broker, self.process), Pool(self.database, self.process)
        self.rules = Rules(threshold=THRESHOLD, start_deadline=DEADLINE, chance=self.time.bytes)
        holder = self.time.bytes(8).hex()
        relays, sweeps = Lease("relay", holder, self.pool), Lease("sweeps", holder, self.pool)  # type: ignore[arg-type]
        spawn = self.process.spawn
        spawn("events", self._events().run(self.stop))
        spawn("heartbeats", self._heartbeats().run(self.stop))
        spawn("expired", ExpiredConsumer(self.bus, self.backoff()).run(self.stop))  # type: ignore[arg-type]
        spawn("leases", self._leases(holder, relays, sweeps))
        spawn("pulse", self._repeat(PULSES_EVERY, self._pulse))
        relay = Relay(relays, self.bus, topics.EXTERNAL)  # type: ignore[arg-type]
        commands = CommandRelay(relays, self.bus)  # type: ignore[arg-type]
        spawn("relay", self._follow(relay.step, relays))
        spawn("commands", self._follow(lambda: commands.step(self.time.now), relays))
        spawn("sweeps", self._sweeps(sweeps))

    def backoff(self) -> SimBackoff:
        return SimBackoff(self.time.bytes, time=self.time)

    def _events(self) -> EventConsumer:
        return EventConsumer(
            bus=self.bus,  # type: ignore[arg-type]
            queue=topics.EVENTS_QUEUE,
            prefetch=PREFETCH,
            batch_max=self.time.chance.choice([1, 5, 500]),
            ways=Transactions(self.pool, self.rules),  # type: ignore[arg-type]
            backoff=self.backoff(),
            loop_time=lambda: self.time.now,
        )

    def _heartbeats(self) -> HeartbeatConsumer:
        return HeartbeatConsumer(
            bus=self.bus,  # type: ignore[arg-type]
            queue=topics.HEARTBEAT_QUEUE,
            prefetch=PREFETCH,
            pool=self.pool,  # type: ignore[arg-type]
            rules=self.rules,
            backoff=self.backoff(),
            loop_time=lambda: self.time.now,
        )

    async def _pulse(self) -> None:
        body = encode_body(contracts.Pulse())
        await self.bus.publish([Outgoing(exchange=topics.INTERNAL, key=topics.pulse(), body=body)])

    async def _leases(self, holder: str, *leases: Lease) -> None:
        backoff = self.backoff()
        while True:
            try:
                async with self.pool.acquire() as conn:
                    for lease in leases:
                        lease.know(await leadership.take(conn, lease.name, holder))
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

    async def _repeat(self, every: float, step: Callable[[], Awaitable[Any]]) -> None:
        backoff = self.backoff()
        while True:
            await self._once(step, backoff)
            await self.time.sleep(every)

    async def _follow(self, step: Callable[[], Awaitable[int]], lease: Lease) -> None:
        backoff, news = self.backoff(), Event(self.time)
        self.news.append(news)
        while True:
            if not lease.led.is_set():
                await self.time.sleep(0.5)
            elif not await self._once(step, backoff):
                await self.time.wait(news, LOOKS_EVERY)

    async def _sweeps(self, lease: Lease) -> None:
        backoff, turn = self.backoff(), 0
        often = [hosts.Silent().step, deadlines.step, wishes.step, reports.missing]
        seldom = [reports.Differing().step, lost.Lost(timedelta(days=1)).step]
        while True:
            await self.time.sleep(SWEEPS_EVERY)
            turn += 1
            for sweep in often + (seldom if turn % 10 == 0 else []):
                if lease.led.is_set():
                    await self._once(lambda sweep=sweep: self._sweep(sweep, lease), backoff)

    async def _sweep(self, sweep: Any, lease: Lease) -> None:
        async with lease.transaction() as conn:
            await sweep(conn, self.rules)


@dataclass(eq=False)
class Operator:
    """Somebody with the API: starts, stops and restarts by chance, until `until` (seconds)."""

    process: Process
    pool: Pool
    deployments: list[int]
    until: float
    every: float = 6.0
    accepted: list[Command] = field(default_factory=list)
    refused: int = 0

    @property
    def time(self) -> Scheduler:
        return self.process.time

    async def work(self) -> None:
        chance = self.time.chance
        await self.time.sleep(5)
        while self.time.now < self.until:
            deployment, verb = chance.choice(self.deployments), chance.choice(["start", "start", "stop", "restart"])
            for _ in range(2 if chance.random() < 0.1 else 1):
                await self.ask(deployment, verb)
            await self.time.sleep(chance.expovariate(1 / self.every))

    async def ask(self, deployment: int, verb: str) -> None:
        """One request; what is refused or finds nobody changes nothing."""
        try:
            async with self.pool.transaction() as conn:
                said = await self._do(conn, deployment, verb)
        except RefusedError:
            self.refused += 1
        except Transient:
            self.refused += 1
        else:
            if said is not None:
                self.accepted.append(said)

    async def _do(self, conn: Any, deployment: int, verb: str) -> Command | None:
        wanted = await power.locked(conn, deployment)
        settings = SimpleNamespace(start_deadline_seconds=DEADLINE.total_seconds())
        office = SimpleNamespace(settings=settings, chance=self.time.bytes)
        caller: Any = SimpleNamespace(now=self.time.at, said="user sim", trace_id="", office=office)
        session: int | None = wanted.host["live"]
        match verb:
            case "start":
                session = await power.begin(wanted, caller, conn, fresh=False)
            case "restart":
                session = await power.restart(wanted, caller, conn)
            case _:
                if not await power.stop(wanted, caller, conn, verb="stop"):
                    return None
        return Command(self.time.now, verb, deployment, wanted.next_version, session)


async def furnish(database: Database, broker: Broker, hosts_: int, deployments_: int) -> dict[int, list[int]]:
    """Hosts with ready deployments and their queues; the deployments of each host."""
    broker.declare(topology.processor(), None)
    raw = database.monitor
    await raw.execute(f"SET sim.now = '{database.time.at.isoformat()}'")
    await raw.execute("INSERT INTO games (name, created_at, updated_at) VALUES ('arena', clock(), clock())")
    await raw.execute(
        "INSERT INTO game_configs (game, name, created_at, updated_at) VALUES (1, 'dm', clock(), clock())"
    )
    await raw.execute("INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock())")
    made: dict[int, list[int]] = {}
    for number in range(hosts_):
        host = await raw.fetchval(
            "INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ($1, '{192.0.2.1}', clock(), clock())"
            " RETURNING id",
            f"host-{number + 1}",
        )
        broker.declare(topology.host(host), None)
        made[host] = []
        for place in range(deployments_):
            deployment = await raw.fetchval(
                "INSERT INTO deployments (name, host, config, config_revision, status, seen_deployment_version, created_at,"
                " updated_at) VALUES ($1, $2, 1, 1, 'ready', 1, clock(), clock()) RETURNING id",
                f"deployment-{number + 1}-{place + 1}",
                host,
            )
            await raw.execute(
                "INSERT INTO ports (deployment, name, host, port, protocol) VALUES ($1, 'game', $2, $3, 'udp')",
                deployment,
                host,
                20000 + place,
            )
            made[host].append(deployment)
    return made
