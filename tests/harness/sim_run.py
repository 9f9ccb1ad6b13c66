"""One simulation: a seed, ten minutes of faults and power commands, a healed end, and the history that the checker judges."""

import asyncio
import copy
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import uvloop

from harness import sim_gather
from harness.checker import History, Sample, Settled, check
from harness.sim_agent import Machine, SimAgent
from harness.sim_bus import FROZEN_SEEN_AFTER, Broker, Bus
from harness.sim_control import THRESHOLD, Operator, Replica, furnish
from harness.sim_database import IDLE_TIMEOUT, Database, Pool
from harness.sim_time import ACTOR, Event, Process, Scheduler
from manman.domain import hosts
from manman.domain.ids import HostId
from manman.processor import batch
from manman.processor import fold as folds
from manman.store import batches

SAMPLES_EVERY = 7.0
KINDS = {
    "kill_replica": 6,
    "freeze_replica": 4,
    "kill_agent": 5,
    "freeze_agent": 2,
    "reboot": 2,
    "goodbye": 1,
    "cut_replica": 3,
    "cut_agent": 4,
    "broker_down": 2,
    "database_down": 2,
    "lose_reply": 3,
    "lose_confirm": 5,
    "purge": 1,
    "lose_commands": 3,
    "doubles": 2,
    "slow_database": 2,
    "api_away": 1,
    "reorders": 1,
    "restore": 1,
}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at a moment, for a while; `which` picks whom it meets."""

    at: float
    kind: str
    which: int
    span: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a seed means. `faults` may be fewer than drawn: that is how a failing seed is shrunk."""

    seed: int
    minutes: float = 10
    rest: float = 150
    hosts: int = 3
    deployments: int = 2
    replicas: int = 2
    asks_every: float = 6.0
    faults: tuple[Fault, ...] = ()


@dataclass
class Told:
    """What a run was, for whoever counts."""

    history: History
    violations: list[str]
    digest: str
    turns: int
    statements: int
    messages: int
    crashes: int


def plan_of(seed: int, *, minutes: float = 10, kinds: dict[str, int] | None = None, count: int | None = None) -> Plan:
    """The plan that a seed draws, of these kinds of faults (all, unless given) by their weights."""
    chance = random.Random(f"plan {seed}")
    weights = kinds or KINDS
    drawn = chance.randint(5, 40)
    kinds_ = chance.choices(list(weights), list(weights.values()), k=count or drawn)
    faults = [
        Fault(
            round(chance.uniform(10, minutes * 60), 3),
            kind,
            chance.randrange(1000),
            round(chance.expovariate(1 / 12), 3),
        )
        for kind in kinds_
    ]
    return Plan(
        seed=seed,
        minutes=minutes,
        hosts=chance.randint(1, 4),
        deployments=chance.randint(1, 3),
        replicas=chance.randint(1, 3),
        faults=tuple(sorted(faults, key=lambda f: f.at)),
    )


@dataclass(eq=False)
class House:
    """Everything of one run."""

    plan: Plan
    time: Scheduler
    database: Database
    broker: Broker
    news: list[Event] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    agents: dict[int, SimAgent] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    samples: list[Any] = field(default_factory=list)
    operator: Operator | None = None
    away_until: float = 0.0
    healed: bool = False
    crashes: int = 0
    replica_type: type[Replica] = Replica
    agent_type: type[SimAgent] = SimAgent
    _lives: int = 0

    # ---- lives

    def new_replica(self) -> Replica:
        self._lives += 1
        process = Process(f"replica-{self._lives}", self.time)
        replica = self.replica_type(process, self.database, self.broker, self.news)
        replica.start()
        return replica

    def new_agent(self, machine: Machine) -> None:
        self._lives += 1
        process = Process(f"agent-{machine.host_id}-{self._lives}", self.time)
        bus = Bus(self.broker, process)
        agent = self.agent_type(machine, process, bus, lambda: self.healed, lambda: self.time.now < self.away_until)
        self.agents[machine.host_id] = agent
        agent.start()

    async def begin(self) -> None:
        made = await furnish(self.database, self.broker, self.plan.hosts, self.plan.deployments)
        for host in made:
            skew = timedelta(seconds=self.time.chance.choice([0, 0, -3600, 3600, self.time.chance.uniform(-5, 5)]))
            machine = Machine(HostId(host), skew)
            self.machines.append(machine)
            self.new_agent(machine)
        self.replicas = [self.new_replica() for _ in range(self.plan.replicas)]
        process = Process("api", self.time)
        pool = Pool(self.database, process)
        deployments = [d for found in made.values() for d in found]
        self.operator = Operator(process, pool, deployments, self.plan.minutes * 60, self.plan.asks_every)
        process.spawn("operator", self.operator.work())
        await self._copy_disks()
        self.later(SAMPLES_EVERY, self._sample)
        for fault in self.plan.faults:
            self.time.call_at(fault.at, lambda fault=fault: self.strike(fault))

    # ---- faults

    async def strike(self, fault: Fault) -> None:
        """Do what a fault does; what it needs undone is due after its span."""
        if not self.healed:
            await getattr(self, "_" + fault.kind)(fault)

    def later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        self.time.call_at(self.time.now + seconds, act)

    async def _kill_replica(self, fault: Fault) -> None:
        place = fault.which % len(self.replicas)
        gone = self.replicas[place]
        if gone.process.dead:
            return
        self.crashes += 1
        await gone.process.crash()

        async def again() -> None:
            self.replicas[place] = self.new_replica()

        self.later(min(fault.span, 20), again)

    async def _freeze_replica(self, fault: Fault) -> None:
        replica = self.replicas[fault.which % len(self.replicas)]
        self._freeze(replica.process, replica.bus, fault.span + 2)
        self.later(IDLE_TIMEOUT, lambda: self._cut_idle(replica))

    async def _cut_idle(self, replica: Replica) -> None:
        if replica.process.frozen and not replica.process.dead:
            await replica.pool.close_idle()

    def _freeze(self, process: Process, bus: Bus, span: float) -> None:
        if process.frozen or process.dead:
            return
        process.frozen = True

        async def seen() -> None:
            if process.frozen and not process.dead:
                bus.lose()

        async def thaw() -> None:
            if not process.dead:
                process.thaw()

        self.later(FROZEN_SEEN_AFTER, seen)
        self.later(span, thaw)

    def _agent(self, fault: Fault) -> SimAgent:
        return self.agents[self.machines[fault.which % len(self.machines)].host_id]

    def _excuse(self, machine: Machine, span: float) -> None:
        machine.excused.append([self.time.now, self.time.now + span])

    async def _kill_agent(self, fault: Fault) -> None:
        await self._end_agent(self._agent(fault), fault.span)

    async def _end_agent(self, agent: SimAgent, span: float) -> None:
        if agent.process.dead:
            return
        self.crashes += 1
        machine = agent.machine
        self._excuse(machine, span + 12)
        await agent.process.crash()

        async def again() -> None:
            self.new_agent(machine)

        self.later(span, again)

    async def _freeze_agent(self, fault: Fault) -> None:
        agent = self._agent(fault)
        self._excuse(agent.machine, fault.span + 14)
        self._freeze(agent.process, agent.bus, fault.span + 2)

    async def _reboot(self, fault: Fault) -> None:
        agent = self._agent(fault)
        agent.machine.reboot(self.time.now)
        await self._end_agent(agent, fault.span + 3)

    async def _goodbye(self, fault: Fault) -> None:
        agent = self._agent(fault)
        if agent.process.dead or agent.process.frozen or agent.leaving:
            return
        await agent.goodbye()
        self._excuse(agent.machine, fault.span + 30)

        async def gone() -> None:
            if not agent.process.dead:
                await self._end_agent(agent, fault.span)

        self.later(3, gone)

    async def _cut_replica(self, fault: Fault) -> None:
        replica = self.replicas[fault.which % len(self.replicas)]
        if not replica.process.dead:
            replica.bus.cut(fault.span)

    async def _cut_agent(self, fault: Fault) -> None:
        agent = self._agent(fault)
        self._excuse(agent.machine, fault.span + 12)
        agent.bus.cut(fault.span)

    async def _broker_down(self, fault: Fault) -> None:
        if self.broker.down:
            return
        self.broker.restart()

        async def up() -> None:
            self.broker.down = False

        self.later(fault.span * 2, up)

    async def _database_down(self, fault: Fault) -> None:
        if self.database.down:
            return
        await self.database.stop()

        async def up() -> None:
            self.database.down = False

        self.later(fault.span * 2, up)

    async def _lose_reply(self, fault: Fault) -> None:
        self.database.lose_replies += 1 + fault.which % 3

    async def _lose_confirm(self, fault: Fault) -> None:
        buses = self.broker.buses
        if buses:
            bus = buses[fault.which % len(buses)]
            bus.lose_confirms += 1 + fault.which % 2
            for machine in self.machines:
                self._excuse(machine, 6)

    async def _purge(self, fault: Fault) -> None:
        machine = self.machines[fault.which % len(self.machines)]
        self.broker.purge(f"host.{machine.host_id}.commands")

    async def _lose_commands(self, fault: Fault) -> None:
        self.broker.loses = 0.7

        async def end() -> None:
            self.broker.loses = 0.0

        self.later(fault.span, end)

    async def _doubles(self, fault: Fault) -> None:
        self.broker.doubles = 0.3

        async def end() -> None:
            self.broker.doubles = 0.0

        self.later(fault.span + 10, end)

    async def _reorders(self, fault: Fault) -> None:
        self.broker.reorders = 0.2

        async def end() -> None:
            self.broker.reorders = 0.0

        self.later(fault.span + 5, end)

    async def _restore(self, fault: Fault) -> None:
        """A power cut, and the disk comes back as it was some time ago."""
        agent = self._agent(fault)
        machine = agent.machine
        if machine.copy is None:
            return
        machine.reboot(self.time.now)
        machine.restored = True
        await self._end_agent(agent, fault.span + 3)
        machine.disk = copy.deepcopy(machine.copy)

    async def _copy_disks(self) -> None:
        for machine in self.machines:
            machine.copy = copy.deepcopy(machine.disk)
        self.later(60, self._copy_disks)

    async def _sample(self) -> None:
        """Which sessions are shown as plainly running, though nothing was received of their host for too long."""
        self.later(SAMPLES_EVERY, self._sample)
        shown = await self.database.monitor.fetch(
            "SELECT s.id, b.* FROM sessions s JOIN host_heartbeats b ON b.host = s.host WHERE s.status = 'running' ORDER BY s.id"
        )
        for row in shown:
            plain = hosts.unreachable_since(batches.heard_of(row), self.time.at, THRESHOLD) is None
            silent = timedelta(seconds=self.time.now - self.broker.heard.get(row["host"], 0.0))
            if plain and silent > THRESHOLD + timedelta(seconds=1):
                self.samples.append(Sample(at=self.time.at, session=row["id"], host=row["host"], silent=silent))

    async def _slow_database(self, fault: Fault) -> None:
        self.database.slow = 60.0

        async def end() -> None:
            self.database.slow = 1.0

        self.later(fault.span, end)

    async def _api_away(self, fault: Fault) -> None:
        self.away_until = self.time.now + fault.span + 10

    async def heal(self) -> None:
        """All faults end; what is down comes up; games no longer end by themselves."""
        self.healed = True
        self.broker.down, self.broker.refuses = False, False
        self.broker.doubles = self.broker.reorders = self.broker.loses = 0.0
        self.database.down, self.database.slow, self.database.lose_replies = False, 1.0, 0
        self.away_until = 0.0
        for bus in self.broker.buses:
            bus.cut_until, bus.lose_confirms = 0.0, 0
        for replica in self.replicas:
            if replica.process.frozen:
                replica.process.thaw()
        for machine in self.machines:
            agent = self.agents[machine.host_id]
            if agent.process.frozen:
                agent.process.thaw()
            machine.look(self.time.now)
            for game in machine.games.values():
                if game.ended is None:
                    game.ends = 1e12


@contextmanager
def witnessed(house: House) -> Iterator[None]:
    """Note what becomes of each numbered message in transactions that commit."""
    fold, refuse = folds.fold, folds.refuse
    pending: dict[Any, list[Settled]] = {}

    def watched(world: Any, arrived: list[Any]) -> list[Any]:
        outcomes = fold(world, arrived)
        told = [_settled(one, outcome.value) for one, outcome in zip(arrived, outcomes, strict=True)]
        pending[ACTOR.get()] = [one for one in told if one is not None]
        return outcomes

    def condemned(world: Any, arrived: Any, why: Any) -> Any:
        outcome = refuse(world, arrived, why)
        told = _settled(arrived, outcome.value)
        pending[ACTOR.get()] = [] if told is None else [told]
        return outcome

    house.database.began = lambda actor: pending.pop(actor, None)
    house.database.committed = lambda actor: house.settled.extend(pending.pop(actor, ()))
    batch.fold = SimpleNamespace(fold=watched, refuse=condemned)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        batch.fold = folds  # type: ignore[attr-defined]


def _settled(arrived: Any, outcome: str) -> Settled | None:
    if arrived.journal is None or arrived.sequence is None:
        return None
    return Settled(
        host=arrived.journal[0],
        journal=arrived.journal[1],
        sequence=arrived.sequence,
        outcome=outcome,
        is_report=arrived.key.startswith("status.host.report"),
    )


async def simulate(plan: Plan, url: str, *, change: Callable[[House], Any] | None = None) -> Told:
    """Run a plan on a fresh migrated database. `change` may switch a protection off, for the checker's own tests."""
    time = Scheduler(plan.seed)
    house = House(plan, time, Database(url, time), Broker(time))
    if change is not None:
        change(house)
    await house.database.open()
    try:
        with witnessed(house):
            await house.begin()
            house.database.wrote = lambda conn, query, args: _wake(house, query)
            await time.run_until(plan.minutes * 60)
            await house.heal()
            await time.run_until(plan.minutes * 60 + plan.rest)
            history = await sim_gather.gather(house)
            await _end(house)
    finally:
        await house.database.close()
    return Told(
        history=history,
        violations=check(history),
        digest=hashlib.sha256(sim_gather.text(history).encode()).hexdigest(),
        turns=time.turns,
        statements=house.database.statements,
        messages=house.broker.messages,
        crashes=house.crashes,
    )


def _wake(house: House, query: str) -> None:
    """The outbox's NOTIFY, at the statement instead of at the commit: a relay that looks too early looks again."""
    if "INTO outbox" in query:

        async def news() -> None:
            for one in house.news:
                one.notify()

        house.time.call_at(house.time.now + 0.05, news)


async def _end(house: House) -> None:
    assert house.operator is not None
    for process in [
        *(r.process for r in house.replicas),
        *(a.process for a in house.agents.values()),
        house.operator.process,
    ]:
        if not process.dead:
            await process.crash()
    await asyncio.sleep(0)


def run(plan: Plan, url: str, *, change: Callable[[House], Any] | None = None) -> Told:
    """`simulate`, from code that is not async."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(simulate(plan, url, change=change))


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries: int = 40) -> Plan:
    """Fewer faults that still fail: halves first, then one after the other."""
    size = max(1, len(plan.faults) // 2)
    while size and tries > 0:
        place = 0
        while place < len(plan.faults) and tries > 0:
            tries -= 1
            fewer = replace(plan, faults=plan.faults[:place] + plan.faults[place + size :])
            if fails(fewer):
                plan = fewer
            else:
                place += size
        size //= 2
    return plan
