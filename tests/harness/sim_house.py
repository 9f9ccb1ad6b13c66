"""Everything of one simulation, what lives in it, and those who watch it from outside."""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from harness.checker import Sample, Settled, Unsettled
from harness.sim_agent import SimAgent
from harness.sim_bus import EXCLUSIVE_HELD, Broker, Bus
from harness.sim_control import Replica
from harness.sim_database import Database, Pool
from harness.sim_door import Command, Door, Operator, Place, furnish
from harness.sim_faults import Nemesis
from harness.sim_machine import Machine
from harness.sim_plan import Plan
from harness.sim_time import Event, Process, Scheduler
from manman.domain import hosts
from manman.domain.ids import HostId
from manman.events import topics
from manman.store import batches

SAMPLES_EVERY = 7.0
LOOKS_EVERY = 1.0
THRESHOLD = timedelta(seconds=10)
BACK_WITHIN = 10.0  # seconds beyond the backoff
TRANSIT = 2.0  # seconds that a change may be on its way


@dataclass(eq=False)
class House:
    """Everything of one run. `copied_at` is the moment of the last copy of the database, `restored` the spans that were lost."""

    plan: Plan
    time: Scheduler
    database: Database
    broker: Broker
    news: dict[str, list[Callable[[], None]]] = field(default_factory=lambda: {"relay": [], "commands": []})
    tails: list[Event] = field(default_factory=list)
    replicas: list[Replica] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    twins: list[SimAgent] = field(default_factory=list)
    agents: dict[int, SimAgent] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    samples: list[Any] = field(default_factory=list)
    unsettled: list[Unsettled] = field(default_factory=list)
    accepted: list[Command] = field(default_factory=list)
    operator: Operator | None = None
    door: Door | None = None
    reads: list[Any] = field(default_factory=list)
    away_until: float = 0.0
    healed: bool = False
    crashes: int = 0
    replica_type: type[Replica] = Replica
    agent_type: type[SimAgent] = SimAgent
    copied_at: float = 0.0
    restored: list[tuple[float, float]] = field(default_factory=list)
    _marks: tuple[int, int] = (0, 0)
    _lives: int = 0
    _unspooled: set[int] = field(default_factory=set)

    # ---- lives

    def new_replica(self) -> Replica:
        self._lives += 1
        process = Process(f"replica-{self._lives}", self.time)
        replica = self.replica_type(process, self.database, self.broker, self.news, lambda: self.healed)
        replica.start()
        return replica

    def new_agent(self, machine: Machine) -> SimAgent:
        self._lives += 1
        process = Process(f"agent-{machine.host_id}-{self._lives}", self.time)
        bus = Bus(self.broker, process)
        agent = self.agent_type(machine, process, bus, lambda: self.healed, lambda: self.time.now < self.away_until)
        if machine.twin_of is None:
            self.agents[machine.host_id] = agent
        agent.start()
        return agent

    def start_services(self) -> None:
        """Replicas, and the API with who asks and who reads there."""
        self.replicas = [self.new_replica() for _ in range(self.plan.replicas)]
        self._lives += 1
        process = Process(f"api-{self._lives}", self.time)
        pool = Pool(self.database, process)
        self.operator = Operator(
            process, pool, self.places, self.accepted, self.plan.minutes * 60, self.plan.asks_every
        )
        self.door = Door(process, pool, self.broker, self.reads)
        self.tails = [self.door.news]
        self.door.start(self.plan.readers, self.operator.work)

    async def stop_services(self) -> None:
        """All that works on the database."""
        assert self.operator is not None
        for process in [*(r.process for r in self.replicas), self.operator.process]:
            if not process.dead:
                await process.crash()

    async def begin(self) -> None:
        self.places = await furnish(self.database, self.broker, self.plan.hosts, self.plan.deployments)
        for host in sorted({place.host for place in self.places}):
            skew = timedelta(seconds=self.time.chance.choice([0, 0, -3600, 3600, self.time.chance.uniform(-5, 5)]))
            machine = Machine(HostId(host), skew)
            self.machines.append(machine)
            self.new_agent(machine)
        self.start_services()
        await self._copy_disks()
        self.later(SAMPLES_EVERY, self._sample)
        self.later(LOOKS_EVERY, self._look)
        Nemesis(self).prepare()

    def later(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        self.time.call_at(self.time.now + seconds, act)

    async def end_twin(self, twin: SimAgent) -> None:
        """The machine that was made from a copy is gone, with its games."""
        twin.machine.reboot(self.time.now)
        if not twin.process.dead:
            await twin.process.crash()

    # ---- copies

    async def _copy_disks(self) -> None:
        for machine in self.machines:
            machine.copy = copy.deepcopy(machine.disk)
        self.later(60, self._copy_disks)

    def mark_copy(self) -> None:
        """The database was copied: what is promised from now on may be lost."""
        self.copied_at = self.time.now
        self._marks = (len(self.settled), len(self.accepted))

    def mark_restored(self) -> None:
        """The database is as it was: nothing that was promised since can be asked of it."""
        self.restored.append((self.copied_at, self.time.now))
        del self.settled[self._marks[0] :]
        for command in self.accepted[self._marks[1] :]:
            command.lost = True
        for machine in [*self.machines, *(twin.machine for twin in self.twins)]:
            machine.confirmed.clear()

    # ---- who watches

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

    async def _look(self) -> None:
        """Which deployments should play, and have not for how long; time in which their agent is away does not count."""
        self.later(LOOKS_EVERY, self._look)
        for machine in self.machines:
            agent = self.agents[machine.host_id]
            machine.look(self.time.now)
            if agent.process.dead or agent.process.frozen or agent.leaving or machine.cloned:
                machine.idle.clear()
                continue
            for number in machine.disk.deployments:
                self._look_at(machine, number)

    def _look_at(self, machine: Machine, number: int) -> None:
        disk, now = machine.disk, self.time.now
        held = disk.deployments[number]
        asked = any(
            s.deployment_id == number and s.is_live and not s.leased and not s.machine for s in disk.sessions.values()
        )
        # A start that waits for its launch, and a host without a lease, wait for somebody; a give-up is shown.
        follows = held.due is not None or held.begun_version < held.desired_version
        wanted = held.desired == "running" and follows and not asked and bool(disk.lease)
        if not wanted or machine.live(number):
            machine.idle.pop(number, None)
            return
        agent = self.agents[machine.host_id]
        life = agent.bus.life
        since, whose, known = machine.idle.get(number, (now, agent, life))
        if whose is not agent:
            # Another life of it began between two looks: that one has all its time.
            since, known = now, life
        machine.idle[number] = (since, agent, known)
        backoff = max(0.0, (held.due.at - machine.skew - self.time.moment(since)).total_seconds()) if held.due else 0.0
        # Each connection that it loses meanwhile keeps its name from it: until it is back, another agent may have that.
        if now - since > backoff + BACK_WITHIN + (life - known) * EXCLUSIVE_HELD:
            machine.overdue.append((since, now, number))
            machine.idle[number] = (now, agent, life)

    # ---- the end

    async def heal(self) -> None:
        """All faults end; what is down comes up; games no longer end by themselves."""
        self.healed = True
        self.broker.down, self.broker.refuses = False, False
        self.broker.doubles = self.broker.reorders = self.broker.loses = 0.0
        self.database.down, self.database.slow, self.database.lose_replies = False, 1.0, 0
        self.away_until = 0.0
        for bus in self.broker.buses:
            bus.cut_until, bus.lose_confirms = 0.0, 0
        for process in [*(r.process for r in self.replicas), *(a.process for a in self.agents.values())]:
            if process.frozen:
                process.thaw()
        for twin in self.twins:
            await self.end_twin(twin)
        for machine in self.machines:
            machine.look(self.time.now)
            for game in machine.games.values():
                if game.ended is None:
                    game.ends = 1e12
        self._unspooled = {machine.host_id for machine in self.machines}
        await self._await_spools()

    async def _await_spools(self) -> None:
        """Everybody is up, each agent's spool was empty once, and no queue that a restored database has forgotten is left: now the
        rows have their time to agree."""
        up = not any(p.dead for p in [*(r.process for r in self.replicas), *(a.process for a in self.agents.values())])
        for machine in self.machines:
            if up and self.agents[machine.host_id].speaks and not machine.disk.waiting:
                self._unspooled.discard(machine.host_id)
        if self._unspooled or await self._forgets_queues():
            self.later(0.5, self._await_spools)
        else:
            self.later(self.plan.agrees_within, self._compare)

    async def _forgets_queues(self) -> bool:
        """Whether there are queues of what hosts say that belong to no generation in the rows, or a restored database is still
        emptying such ones."""
        rows = await self.database.monitor.fetch("SELECT generation, partitions FROM partition_generations")
        known = {topics.partition(topics.EVENTS_QUEUE, g, n, of) for g, of in rows for n in range(of)}
        there = {name for name in self.broker.queues if name.startswith(topics.EVENTS_QUEUE)}
        restored = await self.database.monitor.fetchval("SELECT epoch > 1 FROM installation")
        return bool(there - known) or (restored and len(rows) > 1)

    async def _compare(self) -> None:
        """Where rows and machines differ, and still do a moment later: that is not on its way."""
        before = await self._differing()

        async def again() -> None:
            now = await self._differing()
            for session in sorted(before.keys() & now.keys()):
                if before[session] == now[session]:
                    row, said = now[session]
                    self.unsettled.append(
                        Unsettled(
                            at=self.time.at, session=session, row=row, machine=said, after=self.plan.agrees_within
                        )
                    )

        self.later(TRANSIT, again)

    async def _listed_as_lost(self) -> set[int]:
        """Strays of deployments that a restored database has never heard of: that is all it can say of them."""
        if not self.restored:
            return set()
        rows = await self.database.monitor.fetch(
            "SELECT session FROM strays y WHERE NOT EXISTS (SELECT FROM deployments d WHERE d.id = y.deployment)"
        )
        return {row["session"] for row in rows}

    async def _differing(self) -> dict[int, tuple[str | None, str | None]]:
        rows = await self.database.monitor.fetch(
            "SELECT id, status FROM sessions WHERE status IN ('pending', 'starting', 'running', 'stopping')"
        )
        live = {row["id"]: row["status"] for row in rows}
        lost = await self._listed_as_lost()
        held = {
            s.session_id: s.status
            for m in self.machines
            for s in m.disk.sessions.values()
            if s.is_live and s.session_id not in lost
        }
        found = {s: (live.get(s), held.get(s)) for s in live.keys() | held.keys() if live.get(s) != held.get(s)}
        # A start that has not reached its host is a row and nothing else, until its deadline.
        return {session: pair for session, pair in found.items() if pair != ("pending", None)}
