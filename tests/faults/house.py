"""One run: real processes around a database and a broker that may fail, an operator, a sampler, and how all of it ends."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from harness.checker import History, Sample, agreeing, check, kept
from harness.processes import ServiceFailed, spawn
from harness.proxy import Proxy
from harness.real_agent import Controls, file_of, load, save
from harness.real_time import RealTime
from harness.sim_agent import Machine

from faults import gather, real_hosts, witness
from faults.api import serving
from faults.operator import Operator
from faults.plan import COPY_EVERY, Plan
from faults.processor_program import OUT_OF_REACH
from faults.services import FULL, Services
from manman.domain import hosts as host_rules
from manman.domain.ids import HostId
from manman.errors import ManManError
from manman.events import topology
from manman.events.bus import Bus
from manman.events.rabbit import bus as rabbit
from manman.store import batches
from manman.store import pool as pools

TESTS = Path(__file__).resolve().parent.parent
SAMPLE_EVERY = 0.7
ENDS_WITHIN = 35.0  # seconds: SHUTDOWN_TIMEOUT_SECONDS, and a few to be gone
LEADERLESS = 20.0  # seconds that a queue may be without leader before the operator does something
Say = Callable[[str], None]
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
SHOWN = """
    SELECT s.id AS session, b.*, clock_timestamp() AS at, greatest(
        (SELECT max(f.received) FROM fault_beats f WHERE f.host = b.host),
        (SELECT max(f.at) FROM fault_settled f WHERE f.host = b.host AND f.key LIKE 'status.host.online%')) AS heard
    FROM sessions s JOIN host_heartbeats b ON b.host = s.host WHERE s.status = 'running'"""


@dataclass(eq=False)
class Child:
    """One process of the run and how it reaches the broker and the database; `written` is what its `log` was long when it began,
    `ending` whether it was told to end in order."""

    name: str
    broker: Proxy
    database: Proxy | None = None
    process: subprocess.Popen[bytes] | None = None
    frozen: bool = False
    ending: bool = False
    lives: int = 0
    log: Path = Path()
    written: int = 0

    @property
    def is_up(self) -> bool:
        """Whether this life of a processor said that it has begun."""
        return self.is_alive and b"processor_started" in self.log.read_bytes()[self.written :]

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def ended(self) -> None:
        """Wait until it has ended, where it was told to: that takes a while where broker or database say nothing."""
        while self.ending and self.is_alive:  # noqa: ASYNC110  # a process tells nobody
            await asyncio.sleep(0.2)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.is_alive:
            self.process.send_signal(number)

    async def died(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self.process is not None
        code: int | None = await asyncio.to_thread(_waited, self.process)
        assert code is not None, f"{self.name} lives on"
        return code

    def kill(self) -> None:
        """`kill -9`, and wait for it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.frozen = False


@dataclass(eq=False)
class House:
    """Everything of one run. `hosts` and `deployments` are ids; `host_of` says where a deployment is or was, `places` which of them are
    one that was moved; `real` are hosts with the product's own agent, which are not among `hosts`; `excused` when a host could not be
    heard by its own fault, `restored` the spans that a restored database knows nothing of.
    """

    plan: Plan
    services: Services
    folder: Path
    time: RealTime = field(init=False)
    hosts: list[int] = field(default_factory=list)
    deployments: list[int] = field(default_factory=list)
    host_of: dict[int, int] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    real: dict[int, real_hosts.RealHost] = field(default_factory=dict)
    processors: list[Child] = field(default_factory=list)
    agents: dict[int, Child] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    sampled: int = 0
    excused: dict[int, list[list[float]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    restored: list[tuple[datetime, datetime]] = field(default_factory=list)
    reordered: bool = False
    kills: int = 0  # of the broker, before this run
    operator: Operator | None = None
    monitor: Any = None
    bus: Bus | None = None
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _proxies: list[Proxy] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    # ---- the beginning

    async def open(self) -> None:
        """Rows, queues, machines and processes; the time of the run begins when all of them are up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.time = RealTime(time.time(), self.plan.seed)
        self.controls = Controls(self.folder / "controls.json")
        self.controls.write(**self.plan.controls)
        self.kills = self.services.rabbitmq.kills
        await self.services.empty(self.plan.hosts + self.plan.real_hosts)
        self.database = self.services.fresh_database()
        self.monitor = await self.connect()
        for statement in witness.TABLES:
            await self.monitor.execute(statement)
        await self._furnish()
        await self._start_all()
        await self._all_up()
        self.began = self.time.now
        assert self.bus is not None
        database = self.services.postgres.url(self.database)
        api = await self._stack.enter_async_context(serving(database, self.bus, **self.plan.api))
        self.operator = Operator(api, self.time)
        for number in range(self.plan.real_hosts):
            await self._add_real_host(number + 1)
        for body in (self._sample_on(), self._copy_on(), self._watch_on()):
            self._tasks.append(asyncio.get_running_loop().create_task(body))

    async def _start_all(self) -> None:
        broker = self.services.rabbitmq.url()
        self.bus = await rabbit.connect(broker, name="director", topology=self._topology())
        # The recorder hears all, so nothing that comes before the processors have made their queue would be returned as unroutable.
        await self.bus.declare(topology.processor(), lasting=False)
        self._others.append(self.start("recorder", "faults.recorder_program", broker, "recorded"))
        for place in range(self.plan.replicas):
            child = Child(f"processor-{place + 1}", await self.proxy("broker"), await self.proxy("database"))
            self.processors.append(child)
            self.start_processor(child)
        for host in self.hosts:
            self.agents[host] = Child(f"agent-{host}", await self.proxy("broker"))
            self.start_agent(host)

    async def _add_real_host(self, number: int) -> None:
        proxy = await self.proxy("broker")
        host = await real_hosts.joined(self, number, proxy.port)
        self.real[host.id] = host
        self.agents[host.id] = Child(f"real-{host.id}", proxy)
        self.start_agent(host.id)
        await self._all_up()
        for deployment in await real_hosts.deployed(self, host):
            self.deployments.append(deployment)
            self.host_of[deployment], self.places[deployment] = host.id, str(deployment)

    @property
    def now(self) -> float:
        """Seconds since everything was up."""
        return self.time.now - self.began

    async def connect(self) -> Any:
        """A connection of the director's own, which no proxy cuts."""
        conn = await asyncpg.connect(self.services.postgres.url(self.database), timeout=60)
        await pools.prepare(conn)
        return conn

    async def proxy(self, to: str) -> Proxy:
        port = self.services.rabbitmq.port if to == "broker" else self.services.postgres.port
        made = await Proxy(port).open()
        self._proxies.append(made)
        return made

    def _topology(self) -> Any:
        wanted = topology.processor_base()
        for host in range(1, self.plan.hosts + 1):
            wanted += topology.host(HostId(host))
        return wanted

    async def _furnish(self) -> None:
        raw = self.monitor
        await raw.execute("INSERT INTO games (name, created_at, updated_at) VALUES ('arena', clock(), clock())")
        await raw.execute(
            "INSERT INTO game_configs (game, name, created_at, updated_at) VALUES (1, 'dm', clock(), clock())"
        )
        await raw.execute(
            "INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock())"
        )
        for number in range(self.plan.hosts):
            host = await raw.fetchval(
                "INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ($1, '{192.0.2.1}', clock(), clock())"
                " RETURNING id",
                f"host-{number + 1}",
            )
            self.hosts.append(host)
            skews = self.plan.host_skews
            skew = timedelta(seconds=skews[number % len(skews)])
            save(file_of(self.folder, host), Machine(HostId(host), skew))
            for place in range(self.plan.deployments):
                name = f"deployment-{host}-{place + 1}"
                self.deployments.append(await self._deploy(raw, name, host, 20000 + place))

    async def _deploy(self, conn: Any, name: str, host: int, port: int) -> int:
        deployment: int = await conn.fetchval(
            "INSERT INTO deployments (name, host, config, config_revision, status, seen_deployment_version, created_at,"
            " updated_at) VALUES ($1, $2, 1, 1, 'ready', 1, clock(), clock()) RETURNING id",
            name,
            host,
        )
        await conn.execute(
            "INSERT INTO ports (deployment, name, host, port, protocol) VALUES ($1, 'game', $2, $3, 'udp')",
            deployment,
            host,
            port,
        )
        self.host_of[deployment], self.places[deployment] = host, name.rstrip("+")
        return deployment

    async def move(self, deployment: int, to: int) -> None:
        """Have it run on another host, once the API lets go of it where it is."""
        assert self.operator is not None
        place = self.deployments.index(deployment) if deployment in self.deployments else None
        if place is None or not await self.operator.let_go(deployment):
            return

        async def deployed() -> int:
            name = f"{self.places[deployment]}{'+' * len(self.host_of)}"
            conn = await self.connect()
            try:
                async with conn.transaction():
                    return await self._deploy(conn, name, to, 20100 + deployment)
            finally:
                await conn.close()

        self.deployments[place] = await self.until("it is deployed elsewhere", deployed)
        await self.operator.ask(self.deployments[place], "start")

    # ---- processes

    def start(self, name: str, module: str, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A program of ours, in the run's folder, its words in a log there."""
        command = [sys.executable, "-m", module, *words]
        environment = {**os.environ, "PYTHONPATH": str(TESTS), **(env or {})}
        return spawn(command, env=environment, cwd=self.folder, log=self.folder / f"{name}.log")

    def start_processor(self, child: Child, **more: Any) -> None:
        """A new life of a replica; `more` is told to its program besides what the plan tells all of them."""
        assert child.database is not None
        database = self.services.postgres.url(self.database)
        told = {
            "broker": self.services.rabbitmq.url().replace(str(self.services.rabbitmq.port), str(child.broker.port)),
            "database": database.replace(str(self.services.postgres.port), str(child.database.port)),
            "settings": {"stale_host_threshold_seconds": self.plan.threshold},
            **self.plan.processor,
            **(self.plan.lives[child.lives] if child.lives < len(self.plan.lives) else {}),
            **more,
        }
        skews = self.plan.replica_skews
        skew = skews[self.processors.index(child) % len(skews)] if child in self.processors else 0.0
        child.lives += 1
        child.ending = False
        child.log = self.folder / f"{child.name}.log"
        child.written = child.log.stat().st_size if child.log.exists() else 0
        child.process = self.start(child.name, "faults.processor_program", json.dumps(told), env=off_by(skew))

    def start_agent(self, host: int) -> None:
        child = self.agents[host]
        child.lives += 1
        if host in self.real:
            child.process = self.start(child.name, "manman", "host", env=self.real[host].env)
            return
        told = {
            "url": self.services.rabbitmq.url().replace(str(self.services.rabbitmq.port), str(child.broker.port)),
            "folder": str(self.folder),
            "host": host,
            "base": self.time.base,
            "seed": self.plan.seed,
            "kind": self.plan.agents,
        }
        child.process = self.start(child.name, "faults.agent_program", json.dumps(told))

    def start_twin(self, host: int, file: str) -> subprocess.Popen[bytes]:
        """Another agent with this host's identity, on a disk of its own."""
        told = {
            "url": self.services.rabbitmq.url(),
            "folder": str(self.folder),
            "file": file,
            "host": host,
            "base": self.time.base,
            "seed": "twin",
            "kind": "sound",
        }
        process = self.start(f"twin-{host}", "faults.agent_program", json.dumps(told))
        self._others.append(process)
        return process

    async def partitions(self, *words: object) -> int:
        """`manman processor partitions …`; its exit code."""
        command = [sys.executable, "-m", "manman", "processor", "partitions", *map(str, words)]
        database = self.services.postgres.url(self.database)
        told = {**os.environ, "DATABASE_URL": database, "RABBITMQ_URL": self.services.rabbitmq.url()}
        process = spawn(command, env=told, cwd=self.folder, log=self.folder / "partitions.out")
        self._others.append(process)
        code: int | None = await asyncio.to_thread(_waited, process, 120)
        return -1 if code is None else code

    async def _all_up(self) -> None:
        async def up() -> bool:
            online: int = await self.monitor.fetchval("SELECT count(*) FROM host_heartbeats WHERE online")
            return online == len(self.agents)

        await self.until("every host is online", up)

    # ---- what goes on

    async def until(self, said: str, truth: Any, seconds: float = 60) -> Any:
        """Wait until it is true; fails with the sentence."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ManManError):
                await self.remonitor()
                if found := await truth():
                    return found
            assert time.monotonic() < end, f"never came: {said}; see {self.folder}"
            await asyncio.sleep(0.1)

    async def remonitor(self) -> None:
        """The director's own connection, again where the database was away."""
        if self.monitor.is_closed():
            self.monitor = await self.connect()

    async def ask(self, verb: str, place: int) -> None:
        """A power command, as the API would write it."""
        assert self.operator is not None
        await self.operator.ask(self.deployments[place % len(self.deployments)], verb)

    def excuse(self, host: int, seconds: float) -> None:
        """Nobody hears this host for so long, and it is its own fault."""
        self.excused.setdefault(host, []).append([self.time.now, self.time.now + seconds])

    async def _sample_on(self) -> None:
        """Look, now and then, on a connection of its own."""
        conn = None
        try:
            while True:
                await asyncio.sleep(SAMPLE_EVERY)
                try:
                    if conn is None or conn.is_closed():
                        conn = await self.connect()
                    self._sample(await conn.fetch(SHOWN))
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    continue
        finally:
            if conn is not None:
                conn.terminate()

    def _sample(self, rows: list[Any]) -> None:
        """Which sessions are shown as plainly running though nothing was heard of their host for too long."""
        threshold = timedelta(seconds=self.plan.threshold)
        self.sampled += len(rows)
        for row in rows:
            plain = host_rules.unreachable_since(batches.heard_of(row), row["at"], threshold) is None
            silent = row["at"] - row["heard"] if row["heard"] is not None else timedelta.max
            if plain and silent > threshold + timedelta(seconds=1):
                self.samples.append(Sample(at=row["at"], session=row["session"], host=row["host"], silent=silent))

    async def _copy_on(self) -> None:
        """What a disk would come back as."""
        while True:
            for host in self.hosts:
                path = file_of(self.folder, host)
                path.with_suffix(".copy").write_bytes(path.read_bytes())
            await asyncio.sleep(COPY_EVERY)

    async def _watch_on(self) -> None:
        """Start processors again that gave up at their start, as what runs services does."""
        while True:
            for child in self.processors:
                if child.process is not None and child.process.poll() == OUT_OF_REACH:
                    self.start_processor(child)
            await asyncio.sleep(1)

    # ---- the end

    async def heal(self, say: Say = lambda _: None) -> None:
        """All faults end, what is down comes up, games no longer end by themselves."""
        self.controls.write(calm=1, api_away=0, doubles=0, reorders=0)
        for proxy in self._proxies:
            proxy.heal()
        await self.services.heal()
        if self.services.rabbitmq.kills > self.kills:
            await self.led(say)
        await self.until("the subscriber that refused is gone", self._without_full, 60)
        for child in (*self.processors, *self.agents.values()):
            if child.frozen:
                child.signal(signal.SIGCONT)
                child.frozen = False
        for child in self.processors:
            await self._again(child)
        for host in [host for host, child in self.agents.items() if not child.is_alive]:
            self.start_agent(host)
        await self.until("every replica is up", self._replicas_are_up, 120)
        await self._repartitioned()

    async def _again(self, child: Child) -> None:
        """A replica that is down begins anew, one that was told to end once it has."""
        try:
            await asyncio.wait_for(child.ended(), ENDS_WITHIN)
        except TimeoutError:
            self.failures.append(f"{child.name} was told to end, and lives on")
        if not child.is_alive:
            self.start_processor(child)

    async def led(self, say: Say) -> None:
        """What an operator does at a broker that was killed: queues that stay without leader are given one."""
        broker = self.services.rabbitmq
        try:
            found = await asyncio.to_thread(broker.leaderless)
            if found:
                await asyncio.sleep(LEADERLESS)
                found &= await asyncio.to_thread(broker.leaderless)
            if found:
                say(f"{self.now:6.1f} s  no leader for {LEADERLESS:.0f} s, elected by the operator: {', '.join(found)}")
                await asyncio.to_thread(broker.elect)
        except (ServiceFailed, subprocess.TimeoutExpired):
            return  # it is down again: whoever brings it up looks again

    async def _replicas_are_up(self) -> bool:
        return all(child.is_up for child in self.processors)

    async def _repartitioned(self) -> None:
        """The last number of partitions that was asked for is there."""
        counts = [fault.which for fault in self.plan.faults if fault.kind == "partitions"]
        if counts and await self.partitions(counts[-1], "--timeout", 100) != 0:
            self.failures.append(f"there are not {counts[-1]} partitions, see {self.folder}/partitions.out")

    async def _without_full(self) -> bool:
        assert self.bus is not None
        await self.bus.delete_queue(FULL)
        return True

    async def rest(self) -> History:
        """Wait until everything has been said and done, at most the plan's patience; then the history."""
        end = time.monotonic() + self.plan.patience
        still = 0
        while time.monotonic() < end and still < 3:
            await asyncio.sleep(0.7)
            still = still + 1 if await self._is_at_rest() else 0
        await self.remonitor()
        return await gather.gather(self)

    async def _is_at_rest(self) -> bool:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ManManError):
            await self.remonitor()
            if any(load(file_of(self.folder, host)).disk.waiting for host in self.hosts):
                return False
            if any(host.waiting() for host in self.real.values()):
                return False
            history = await gather.gather(self)
            waits = history.leftover or list(agreeing(history)) or list(kept(history)) or _unpublished(history)
            return not waits
        return False

    async def end(self) -> None:
        """Replicas must end in order; the rest is killed."""
        for child in self.processors:
            child.signal(signal.SIGTERM)
        for child in self.processors:
            if child.process is None:
                continue
            code = await asyncio.to_thread(_waited, child.process)
            if code != 0:
                self.failures.append(f"{child.name} ended with {code} after SIGTERM")

    async def close(self) -> None:
        """Nothing of this run is left but its folder."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for child in (*self.processors, *self.agents.values()):
            child.kill()
        for host in self.real.values():
            host.end()
        for process in self._others:
            process.kill()
            process.wait()
        for proxy in self._proxies:
            await proxy.close()
        await self._stack.aclose()
        if self.bus is not None:
            await self.bus.close()
        if self.monitor is not None:
            self.monitor.terminate()
        await asyncio.sleep(0.05)  # what was aborted ends in the loop's next turns


def _waited(process: subprocess.Popen[bytes], seconds: float = 60) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _unpublished(history: History) -> bool:
    public = {str(event["id"]) for event in history.events if event["public"]}
    return bool(public - {heard.id for heard in history.external})


def off_by(skew: float) -> dict[str, str]:
    """The environment of a process whose clock is off by so many seconds; what measures spans stays right."""
    if not skew:
        return {}
    assert FAKETIME is not None, "libfaketime is not installed; `make test` installs it"
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": f"{skew:+.0f}s",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


__all__ = ["Child", "House", "check"]
