"""What strikes a simulation: each kind of fault is a method, and undoes itself after its span."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.sim_agent import SimAgent
from harness.sim_backup import Backup
from harness.sim_bus import FROZEN_SEEN_AFTER, Bus
from harness.sim_control import Replica
from harness.sim_database import IDLE_TIMEOUT
from harness.sim_machine import Machine
from harness.sim_plan import Fault
from harness.sim_time import Process

if TYPE_CHECKING:
    from harness.sim_house import House

HELD = 8.0  # seconds at most that an agent's own dead connection keeps it from speaking


@dataclass(eq=False)
class Nemesis:
    """The faults of one run. `backup` is the copy of the database that a restore puts back."""

    house: "House"
    backup: Backup | None = None

    def prepare(self) -> None:
        """Have every fault strike at its moment; the copy of the database is taken some time before."""
        time = self.house.time
        for fault in self.house.plan.faults:
            time.call_at(fault.at, lambda fault=fault: self.strike(fault))
            if fault.kind == "restored_database" and self.backup is None:
                self.backup = Backup(self.house.database)
                time.call_at(max(8.0, fault.at * (fault.which % 1000) / 1000), self._copy)

    async def strike(self, fault: Fault) -> None:
        """Do what a fault does; what it needs undone is due after its span."""
        if not self.house.healed:
            await getattr(self, fault.kind)(fault)

    # ---- whom

    def _replica(self, fault: Fault) -> Replica:
        replicas = self.house.replicas
        return replicas[fault.which % len(replicas)]

    def _agent(self, fault: Fault) -> SimAgent:
        machines = self.house.machines
        return self.house.agents[machines[fault.which % len(machines)].host_id]

    def _excuse(self, machine: Machine, span: float) -> None:
        now = self.house.time.now
        machine.excused.append([now, now + span + HELD])

    # ---- processors

    async def kill_replica(self, fault: Fault) -> None:
        """It dies wherever it is, and comes back."""
        house = self.house
        place = fault.which % len(house.replicas)
        gone = house.replicas[place]
        if gone.process.dead:
            return
        house.crashes += 1
        await gone.process.crash()

        async def again() -> None:
            if house.replicas[place] is gone:
                house.replicas[place] = house.new_replica()

        house.later(min(fault.span, 20), again)

    async def freeze_replica(self, fault: Fault) -> None:
        """It stands still, with its locks, until server and broker see it."""
        await self._freeze_replica(self._replica(fault), fault.span)

    async def freeze_leader(self, fault: Fault) -> None:
        """The same for the one that leads."""
        leading = [one for one in self.house.replicas if one.leads and not one.process.dead]
        if leading:
            await self._freeze_replica(leading[0], fault.span)

    async def _freeze_replica(self, replica: Replica, span: float) -> None:
        self._freeze(replica.process, replica.bus, span + 2)

        async def cut() -> None:
            if replica.process.frozen and not replica.process.dead:
                await replica.pool.close_idle()

        self.house.later(IDLE_TIMEOUT, cut)

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

        self.house.later(FROZEN_SEEN_AFTER, seen)
        self.house.later(span, thaw)

    async def cut_replica(self, fault: Fault) -> None:
        """Its way to the broker is closed."""
        replica = self._replica(fault)
        if not replica.process.dead:
            replica.bus.cut(fault.span)

    # ---- hosts

    async def kill_agent(self, fault: Fault) -> None:
        """Games run on; a new life follows."""
        await self._end_agent(self._agent(fault), fault.span)

    async def _end_agent(self, agent: SimAgent, span: float) -> None:
        if agent.process.dead:
            return
        self.house.crashes += 1
        machine = agent.machine
        self._excuse(machine, span + 12)
        await agent.process.crash()

        async def again() -> None:
            self.house.new_agent(machine)

        self.house.later(span, again)

    async def freeze_agent(self, fault: Fault) -> None:
        """It stands still; its games do not."""
        agent = self._agent(fault)
        self._excuse(agent.machine, fault.span + 14)
        self._freeze(agent.process, agent.bus, fault.span + 2)

    async def reboot(self, fault: Fault) -> None:
        """Everything on the machine ends."""
        agent = self._agent(fault)
        agent.machine.reboot(self.house.time.now)
        await self._end_agent(agent, fault.span + 3)

    async def goodbye(self, fault: Fault) -> None:
        """The agent goes in order, and comes back."""
        agent = self._agent(fault)
        if agent.process.dead or agent.process.frozen or agent.leaving:
            return
        await agent.goodbye()
        self._excuse(agent.machine, fault.span + 30)

        async def gone() -> None:
            if not agent.process.dead:
                await self._end_agent(agent, fault.span)

        self.house.later(3, gone)

    async def cut_agent(self, fault: Fault) -> None:
        """Its way to the broker is closed."""
        agent = self._agent(fault)
        self._excuse(agent.machine, fault.span + 12)
        agent.bus.cut(fault.span)

    async def restore(self, fault: Fault) -> None:
        """A power cut, and the disk comes back as it was some time ago."""
        agent = self._agent(fault)
        machine = agent.machine
        if machine.copy is None or agent.process.dead:
            return
        machine.reboot(self.house.time.now)
        machine.restored = True
        await self._end_agent(agent, fault.span + 3)
        machine.disk = copy.deepcopy(machine.copy)

    async def twin(self, fault: Fault) -> None:
        """A second machine is made from a copy of the first one's disk, and its agent has the same identity."""
        house, first = self.house, self._agent(fault).machine
        second = Machine(first.host_id, first.skew, "copy", boots=first.boots + 1000, disk=copy.deepcopy(first.disk))
        second.twin_of = first
        self._excuse(first, fault.span + 45)
        agent = house.new_agent(second)
        house.twins.append(agent)

        async def gone() -> None:
            await house.end_twin(agent)

        house.later(fault.span + 5, gone)

    async def start_at_restart(self, fault: Fault) -> None:
        """A game crashes, and somebody starts it in the moments in which its host restarts it."""
        house = self.house
        machine = house.machines[fault.which % len(house.machines)]
        playing = [game for game in machine.games.values() if game.ended is None]
        if not playing or house.operator is None:
            return
        game = playing[fault.which % len(playing)]
        game.ends, game.how = house.time.now, "crash"
        house.operator.process.spawn("hasty", house.operator.hasty(game.deployment_id))

    async def move(self, fault: Fault) -> None:
        """A deployment is moved to another host while a restart is due: stopped, parked, removed, deployed anew."""
        house = self.house
        if house.operator is None or house.operator.process.dead or len(house.machines) < 2:
            return
        place = house.places[fault.which % len(house.places)]
        machine = next(one for one in house.machines if one.host_id == place.host)
        for game in machine.live(place.deployment):
            game.ends, game.how = house.time.now, "crash"
        other = next(one for one in house.machines if one.host_id != place.host)
        house.operator.process.spawn("mover", house.operator.move(place, other.host_id, fault.which % 2 == 0))

    async def repartition(self, fault: Fault) -> None:
        """Somebody asks for another number of partitions."""
        operator = self.house.operator
        if operator is not None and not operator.process.dead:
            operator.process.spawn("partitions", operator.repartition(1 + fault.which % 4))

    # ---- what is between

    async def broker_down(self, fault: Fault) -> None:
        """Connections and exclusive queues are gone; the rest waits on disk."""
        broker = self.house.broker
        if broker.down:
            return
        broker.restart()
        for machine in self.house.machines:
            self._excuse(machine, fault.span * 2 + 6)

        async def up() -> None:
            broker.down = False

        self.house.later(fault.span * 2, up)

    async def database_down(self, fault: Fault) -> None:
        """Every transaction is gone."""
        database = self.house.database
        if database.down:
            return
        await database.stop()

        async def up() -> None:
            database.down = False

        self.house.later(fault.span * 2, up)

    async def slow_database(self, fault: Fault) -> None:
        """Every wait is 60 times as long."""
        self.house.database.slow = 60.0

        async def end() -> None:
            self.house.database.slow = 1.0

        self.house.later(fault.span, end)

    async def _copy(self) -> None:
        if self.backup is not None and not self.house.database.down:
            await self.backup.take()
            self.house.mark_copy()

    async def restored_database(self, fault: Fault) -> None:
        """Services are stopped, the database comes back as it was some time ago, services start."""
        backup, house = self.backup, self.house
        if backup is None or not backup.taken or house.database.down:
            return
        self.backup = None
        await house.stop_services()
        await backup.put_back()
        house.mark_restored()

        async def again() -> None:
            house.start_services()

        house.later(min(fault.span, 20), again)

    async def lose_reply(self, fault: Fault) -> None:
        """Commits happen, and nobody hears so."""
        self.house.database.lose_replies += 1 + fault.which % 3

    async def lose_confirm(self, fault: Fault) -> None:
        """A publish arrives, and nobody hears so."""
        buses = self.house.broker.buses
        if buses:
            bus = buses[fault.which % len(buses)]
            bus.lose_confirms += 1 + fault.which % 2
            for machine in self.house.machines:
                self._excuse(machine, 6)

    async def purge(self, fault: Fault) -> None:
        """Somebody empties a host's queue."""
        machine = self.house.machines[fault.which % len(self.house.machines)]
        self.house.broker.purge(f"host.{machine.host_id}.commands")

    async def lose_commands(self, fault: Fault) -> None:
        """Most commands are lost."""
        self._for_a_while("loses", 0.7, fault.span)

    async def doubles(self, fault: Fault) -> None:
        """Messages come twice."""
        self._for_a_while("doubles", 0.3, fault.span + 10)

    async def reorders(self, fault: Fault) -> None:
        """A host's messages overtake each other."""
        self._for_a_while("reorders", 0.2, fault.span + 5)

    async def full_subscriber(self, fault: Fault) -> None:
        """One subscriber's queue is full, and refuses; the other one gets everything."""
        self._for_a_while("refuses", True, fault.span + 2)

    def _for_a_while(self, what: str, amount: float | bool, span: float) -> None:
        broker = self.house.broker
        setattr(broker, what, amount)

        async def end() -> None:
            setattr(broker, what, type(amount)(0))

        self.house.later(span, end)

    async def api_away(self, fault: Fault) -> None:
        """No launch can be fetched."""
        self.house.away_until = self.house.time.now + fault.span + 10
