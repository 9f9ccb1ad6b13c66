"""What goes wrong, when its moment has come. Each fault undoes itself after its span; the end of a run undoes all of them."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from harness.real_agent import file_of, load, save

from faults.house import Child, House
from faults.plan import Fault
from faults.services import FULL, aside
from manman.errors import ManManError
from manman.events import topics
from manman.events.bus import Binding, Kind, Overflow, Queue, Topology
from manman.events.rabbit import link

RETURN = 14.0  # seconds that an agent may need to be heard again after its way is free


class Nemesis:
    """Does what a plan says, and asks for power commands meanwhile."""

    def __init__(self, house: House, say: Callable[[str], None]) -> None:
        self.house, self.plan, self.say = house, house.plan, say
        self.after: set[asyncio.Task[None]] = set()
        self.server = {"broker": asyncio.Lock(), "database": asyncio.Lock()}

    async def work(self) -> None:
        """Until the plan's seconds are over."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._asks())
            group.create_task(self._strikes())
        left = self.plan.seconds - self.house.now
        await asyncio.sleep(max(0.0, left))
        for task in list(self.after):
            if task.get_name() != "server":
                task.cancel()
        await asyncio.gather(*self.after, return_exceptions=True)

    async def _strikes(self) -> None:
        for fault in self.plan.faults:
            await asyncio.sleep(max(0.0, fault.at - self.house.now))
            self.say(str(fault))
            await getattr(self, fault.kind)(fault)

    async def _asks(self) -> None:
        """Starts, stops and restarts by chance, and those of the plan."""
        chance, house = self.house.time.chance, self.house
        for at, verb, place in self.plan.asks:
            await asyncio.sleep(max(0.0, at - house.now))
            self.asked(verb, place)
        while self.plan.asks_every and house.now < self.plan.seconds:
            place, verb = chance.randrange(1000), chance.choice(["start", "start", "start", "stop", "restart"])
            for _ in range(2 if chance.random() < 0.1 else 1):
                self.asked(verb, place)
            await asyncio.sleep(chance.expovariate(1 / self.plan.asks_every))

    def asked(self, verb: str, place: int) -> None:
        """Ask, and do not wait for the answer: others ask meanwhile."""
        self.later(0.0, lambda: self.house.ask(verb, place), name="server")

    def later(self, seconds: float, act: Callable[[], Any], name: str = "") -> None:
        """Do it then, unless the run is over first."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            done = act()
            if isinstance(done, Awaitable):
                await done

        task = asyncio.get_running_loop().create_task(wait(), name=name or None)
        self.after.add(task)
        task.add_done_callback(self.after.discard)

    # ---- processors

    def _processor(self, fault: Fault) -> Child:
        return self.house.processors[fault.which % len(self.house.processors)]

    async def kill_processor(self, fault: Fault) -> None:
        child = self._processor(fault)
        child.kill()
        self.later(min(fault.span, 4.0), lambda: self._again(child))

    async def _again(self, child: Child) -> None:
        await child.ended()
        if not child.is_alive:
            self.house.start_processor(child)

    async def stop_processor(self, fault: Fault) -> None:
        """SIGTERM: what is in flight ends, the rest is handed over."""
        child = self._processor(fault)
        if child.frozen or not child.is_alive:
            return
        child.signal(signal.SIGTERM)
        child.ending = True
        self.later(fault.span + 2.0, lambda: self._again(child))

    async def freeze_processor(self, fault: Fault) -> None:
        self._freeze(self._processor(fault), fault.span + 5.0)

    async def freeze_leader(self, fault: Fault) -> None:
        """Whoever relays and sweeps sleeps for longer than its lease."""
        self._freeze(await self.leader() or self._processor(fault), fault.span + 5.0)

    async def leader(self) -> Child | None:
        """The replica that holds the relay's lease, by what it logged at its start."""
        try:
            await self.house.remonitor()
            holder = await self.house.monitor.fetchval("SELECT holder FROM leases WHERE name = 'relay'")
        except Exception:
            return None
        for child in self.house.processors:
            log = self.house.folder / f"{child.name}.log"
            if holder and log.exists() and holder in log.read_text(errors="replace"):
                return child
        return None

    def _freeze(self, child: Child, span: float) -> None:
        if child.frozen or not child.is_alive:
            return
        child.signal(signal.SIGSTOP)
        child.frozen = True
        self.later(span, lambda: self._thaw(child))

    def _thaw(self, child: Child) -> None:
        if child.frozen:
            child.frozen = False
            child.signal(signal.SIGCONT)

    async def cut_processor_broker(self, fault: Fault) -> None:
        self._cut(self._processor(fault).broker, fault.span)

    async def cut_processor_database(self, fault: Fault) -> None:
        self._cut(self._processor(fault).database, fault.span)

    async def hold_processor_broker(self, fault: Fault) -> None:
        self._hold(self._processor(fault).broker, fault.span + 8.0)

    async def hold_processor_database(self, fault: Fault) -> None:
        self._hold(self._processor(fault).database, fault.span + 8.0)

    async def slow_database(self, fault: Fault) -> None:
        self._slow(self._processor(fault).database, fault.span)

    async def slow_broker(self, fault: Fault) -> None:
        self._slow(self._processor(fault).broker, fault.span)

    def _cut(self, proxy: Any, span: float) -> None:
        proxy.cut()
        self.later(span, proxy.heal)

    def _hold(self, proxy: Any, span: float) -> None:
        proxy.hold()
        self.later(span, proxy.heal)

    def _slow(self, proxy: Any, span: float) -> None:
        proxy.delay = 0.1
        self.later(span, proxy.heal)

    # ---- agents

    def _host(self, fault: Fault) -> int:
        """One whose machine is simulated."""
        return self.house.hosts[fault.which % len(self.house.hosts)]

    def _any_host(self, fault: Fault) -> int:
        """One of all."""
        return list(self.house.agents)[fault.which % len(self.house.agents)]

    def _end_agent(self, host: int, span: float) -> None:
        self.house.excuse(host, span + RETURN)
        self.house.agents[host].kill()
        self.later(span, lambda: self._agent_again(host))

    def _agent_again(self, host: int) -> None:
        if not self.house.agents[host].is_alive:
            self.house.start_agent(host)

    async def kill_agent(self, fault: Fault) -> None:
        self._end_agent(self._any_host(fault), fault.span)

    async def freeze_agent(self, fault: Fault) -> None:
        host = self._any_host(fault)
        self.house.excuse(host, fault.span + 2.0 + RETURN)
        self._freeze(self.house.agents[host], fault.span + 2.0)

    async def cut_agent(self, fault: Fault) -> None:
        host = self._any_host(fault)
        self.house.excuse(host, fault.span + RETURN)
        self._cut(self.house.agents[host].broker, fault.span)

    async def hold_agent(self, fault: Fault) -> None:
        host = self._any_host(fault)
        self.house.excuse(host, fault.span + 8.0 + RETURN)
        self._hold(self.house.agents[host].broker, fault.span + 8.0)

    async def reboot(self, fault: Fault) -> None:
        """The machine restarts: every game ends."""
        host = self._host(fault)
        self._end_agent(host, fault.span + 1.0)
        path = file_of(self.house.folder, host)
        machine = load(path)
        machine.reboot(self.house.time.now)
        save(path, machine)

    async def restore(self, fault: Fault) -> None:
        """A power cut, and the disk comes back as it was some time ago."""
        host = self._host(fault)
        self._end_agent(host, fault.span + 1.0)
        path = file_of(self.house.folder, host)
        machine = load(path)
        machine.reboot(self.house.time.now)
        machine.disk, machine.restored = load(path.with_suffix(".copy")).disk, True
        save(path, machine)

    async def goodbye(self, fault: Fault) -> None:
        host = self._any_host(fault)
        child = self.house.agents[host]
        if child.frozen or not child.is_alive:
            return
        self.house.excuse(host, fault.span + 6.0 + RETURN)
        child.signal(signal.SIGTERM)
        self.later(5.0, lambda: self._end_agent(host, fault.span))

    def _crash(self, host: int) -> None:
        """The games of a host crash now."""
        self.house.controls.write(**{f"crashes-{host}": self.house.time.now})

    async def kill_game(self, fault: Fault) -> None:
        """`kill -9` of a game; where machines are simulated, all of one crash."""
        host = self._any_host(fault)
        if host in self.house.real:
            self.house.real[host].kill_a_game(fault.which)
        else:
            self._crash(host)

    async def start_at_restart(self, fault: Fault) -> None:
        """Games crash, and somebody starts one of them in the moments in which its host restarts it."""
        house, deployment = self.house, self._deployment(fault)
        assert house.operator is not None
        self._crash(house.host_of[deployment])
        hasty = house.operator.hasty
        self.later(0.5 + fault.which % 3 * 0.5, lambda: hasty(deployment), name="server")

    async def move(self, fault: Fault) -> None:
        """A deployment is moved to another host while a restart is due: stopped, let go of, deployed anew and started."""
        house, deployment = self.house, self._deployment(fault)
        self._crash(house.host_of[deployment])
        others = [host for host in house.hosts if host != house.host_of[deployment]]
        if others:
            to = others[fault.which % len(others)]
            self.later(0.5 + fault.which % 2, lambda: house.move(deployment, to), name="server")

    def _deployment(self, fault: Fault) -> int:
        """One of a simulated machine."""
        here = [number for number in self.house.deployments if self.house.host_of[number] in self.house.hosts]
        return here[fault.which % len(here)]

    async def twin(self, fault: Fault) -> None:
        """A second agent with the same identity: it hears that the queue is taken, and says nothing."""
        host = self._host(fault)
        path = file_of(self.house.folder, host)
        twin = path.with_name(f"twin-{os.urandom(3).hex()}.machine")
        twin.write_bytes(path.read_bytes())
        if not self.house.agents[host].is_alive:
            return
        process = self.house.start_twin(host, twin.name)
        self.later(fault.span, lambda: (process.kill(), process.wait()))

    async def doubles(self, fault: Fault) -> None:
        self.house.controls.write(doubles=0.3)
        self.later(fault.span + 5.0, lambda: self.house.controls.write(doubles=0))

    async def reorders(self, fault: Fault) -> None:
        self.house.reordered = True
        self.house.controls.write(reorders=0.3)
        self.later(fault.span + 3.0, lambda: self.house.controls.write(reorders=0))

    async def api_away(self, fault: Fault) -> None:
        self.house.controls.write(api_away=1)
        self.later(fault.span, lambda: self.house.controls.write(api_away=0))

    # ---- servers

    async def _server(
        self,
        name: str,
        down: Callable[[], Any],
        up: Callable[[], Any],
        span: float,
        then: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """One at a time: whoever comes while it is down changes nothing. `then` is done once it is up."""
        lock = self.server[name]
        if lock.locked():
            return
        await lock.acquire()

        async def go() -> None:
            try:
                await aside(down)
                try:
                    await asyncio.sleep(span)
                finally:  # also where the run ends before
                    await aside(up)
            finally:
                lock.release()
            if then is not None:
                await then()

        self.later(0.0, go, name="server")

    async def kill_broker(self, fault: Fault) -> None:
        broker = self.house.services.rabbitmq
        await self._server("broker", broker.kill, broker.start, min(fault.span, 6.0), lambda: self.house.led(self.say))

    async def restart_broker(self, fault: Fault) -> None:
        broker = self.house.services.rabbitmq
        await self._server("broker", broker.stop, broker.start, min(fault.span, 6.0))

    async def kill_database(self, fault: Fault) -> None:
        database = self.house.services.postgres
        await self._server("database", database.kill, database.start, fault.span)

    async def restart_database(self, fault: Fault) -> None:
        """`pg_ctl stop -m immediate`, and up again."""
        database = self.house.services.postgres

        def immediately() -> None:
            os.kill(database.pid, signal.SIGQUIT)
            database.stop()

        await self._server("database", immediately, database.start, fault.span)

    async def freeze_broker(self, fault: Fault) -> None:
        """It takes connections and says nothing, for longer than AMQP heartbeats allow."""
        broker = self.house.services.rabbitmq
        await self._server("broker", broker.freeze, broker.thaw, fault.span + 4.0)

    async def freeze_database(self, fault: Fault) -> None:
        """It takes connections and questions, and answers none."""
        database = self.house.services.postgres
        await self._server("database", database.freeze, database.thaw, fault.span + 2.0)

    async def alarm_broker(self, fault: Fault) -> None:
        """It takes no messages: its disk is too full, it finds."""
        broker = self.house.services.rabbitmq
        await self._server("broker", broker.alarm, broker.calm, fault.span + 6.0)

    async def partitions(self, fault: Fault) -> None:
        """Somebody asks for another number of partitions, until he is heard."""

        async def ask() -> None:
            for _ in range(20):
                if await self.house.partitions(fault.which, "--no-wait") == 0:
                    return
                await asyncio.sleep(1)

        self.later(0.0, ask, name="server")

    async def purge(self, fault: Fault) -> None:
        """Somebody empties a host's queue."""
        bus: Any = self.house.bus
        try:
            channel = await link.open_channel(bus._live())
            try:
                await link.reply(channel, channel.queue_purge, topics.host_commands(self._host(fault)))  # type: ignore[arg-type]
            finally:
                await link.close_channel(channel)
        except ManManError:
            return

    async def full_subscriber(self, fault: Fault) -> None:
        """A subscriber that takes nothing more: its queue refuses, for a while."""
        bus: Any = self.house.bus
        queue = Queue(name=FULL, kind=Kind.CLASSIC, max_length=1, overflow=Overflow.REJECT_PUBLISH)
        bound = Binding(queue=FULL, exchange=topics.EXTERNAL, pattern="#")

        async def gone() -> None:
            try:
                await bus.delete_queue(FULL)
            except ManManError:
                return  # the end of the run removes it

        try:
            await bus.declare(Topology(queues=(queue,), bindings=(bound,)))
        except ManManError:
            return
        self.later(fault.span, gone)
