"""The API inside a simulation: somebody who starts, stops, restarts and moves, and readers of the events, on the real use cases."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from harness.checker import Read
from harness.sim_bus import Broker
from harness.sim_control import DEADLINE, begin_service
from harness.sim_database import Database, Pool
from harness.sim_time import Event, Process, Scheduler
from manman.api import deployments, events, power
from manman.api.tail import Reader, Tail
from manman.domain.deployments import Install
from manman.errors import RefusedError, Transient
from manman.events import topology
from manman.store import deployment_changes, partitions

ONE_READS_FOR = 25.0  # seconds on average, until a reader's connection is gone
TAIL_LOOKS_EVERY = 5.0


@dataclass
class Command:
    """A power command that was accepted: what a 2xx promised. `lost`: the database was restored from a copy of before."""

    at: float
    verb: str
    deployment: int
    version: int
    session: int | None
    lost: bool = False


@dataclass(eq=False)
class Place:
    """A deployment as people see it: it keeps its name when it is moved to another host under another number."""

    name: str
    host: int
    deployment: int
    numbers: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Operator:
    """Somebody with the API: starts, stops and restarts by chance, until `until` (seconds)."""

    process: Process
    pool: Pool
    places: list[Place]
    accepted: list[Command]
    until: float
    every: float = 6.0
    refused: int = 0

    @property
    def time(self) -> Scheduler:
        return self.process.time

    async def work(self) -> None:
        chance = self.time.chance
        await self.time.sleep(5)
        while self.time.now < self.until:
            deployment = chance.choice(self.places).deployment
            verb = chance.choice(["start", "start", "stop", "restart"])
            for _ in range(2 if chance.random() < 0.1 else 1):
                await self.ask(deployment, verb)
            await self.time.sleep(chance.expovariate(1 / self.every))

    async def hasty(self, deployment: int) -> None:
        """Start it, again and again, while its host restarts it."""
        for _ in range(6):
            await self.ask(deployment, "start")
            await self.time.sleep(self.time.chance.uniform(0.1, 1.0))

    async def move(self, place: Place, host: int, wait: bool) -> None:
        """Stop it, and as soon as the API lets go of it there, have it run elsewhere. `wait`: give a due restart time to begin."""
        old = place.deployment
        await self.time.sleep(1.5 if wait else 0.5)
        await self.ask(old, "stop")
        for _ in range(40):
            if self.time.now >= self.until or place.deployment != old:
                return
            if await self._let_go(place, host):
                await self.ask(place.deployment, "start")
                return
            await self.time.sleep(0.5)

    async def _let_go(self, place: Place, host: int) -> bool:
        try:
            async with self.pool.transaction() as conn:
                wanted, caller = await power.locked(conn, place.deployment), self._caller()
                deployments.must_be_parked(wanted)
                asked = deployments.asked(caller)
                version = await deployment_changes.set_status(conn, wanted.deployment, Install.REMOVING, asked)
                await deployments.tell(wanted, caller, conn, "remove", version)
                made = await _deploy(conn, f"{place.name}+", host, 20100 + place.deployment)
        except (RefusedError, Transient):
            return False
        place.host, place.deployment, place.name = host, made, f"{place.name}+"
        place.numbers.append(made)
        return True

    async def repartition(self, count: int) -> None:
        """Ask for so many partitions."""
        try:
            async with self.pool.transaction() as conn:
                await partitions.ask(conn, count)  # type: ignore[arg-type]
        except Transient:
            self.refused += 1

    async def ask(self, deployment: int, verb: str) -> None:
        """One request; what is refused or finds nobody changes nothing."""
        try:
            async with self.pool.transaction() as conn:
                said = await self._do(conn, deployment, verb)
        except (RefusedError, Transient):
            self.refused += 1
        else:
            if said is not None:
                self.accepted.append(said)

    def _caller(self) -> Any:
        settings = SimpleNamespace(start_deadline_seconds=DEADLINE.total_seconds())
        office = SimpleNamespace(settings=settings, chance=self.time.bytes)
        return SimpleNamespace(now=self.time.at, said="user sim", trace_id="", office=office)

    async def _do(self, conn: Any, deployment: int, verb: str) -> Command | None:
        wanted, caller = await power.locked(conn, deployment), self._caller()
        session: int | None = wanted.live.id if wanted.live else None
        match verb:
            case "start":
                session = await power.begin(wanted, caller, conn, fresh=False)
            case "restart":
                session = await power.restart(wanted, caller, conn)
            case _:
                if not await power.stop(wanted, caller, conn, verb="stop"):
                    return None
        return Command(self.time.now, verb, deployment, wanted.next_version, session)


# ---- who reads events ---------------------------------------------------------------------------------


class Gone(Exception):
    """A reader's connection is gone."""


class SimReader(Reader):
    """The product's reader, in virtual time. `until`: when its connection goes."""

    def __init__(self, time: Scheduler) -> None:
        super().__init__()
        self.time, self.news, self.number = time, Event(time), time.turns
        self.until = time.now + time.chance.expovariate(1 / ONE_READS_FOR)

    def __hash__(self) -> int:
        return self.number  # their set has one order, whatever the memory is like

    def put(self, row: Any) -> None:
        super().put(row)
        self.news.notify()

    async def get(self) -> Any:
        while not self._rows and not self._lost:
            if self.time.now >= self.until:
                raise Gone
            await self.time.wait(self.news, max(0.001, self.until - self.time.now))
        return await super().get()


class SimTail(Tail):
    """The product's tail, with such readers."""

    def __init__(self, pool: Any, time: Scheduler) -> None:
        super().__init__(pool, None)
        self.time = time

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        reader = SimReader(self.time)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def follow(self, news: Event) -> None:
        while True:
            try:
                while await self._step():
                    pass
            except Transient:
                await self.time.sleep(0.5)
                continue
            await self.time.wait(news, TAIL_LOOKS_EVERY)


@dataclass(eq=False)
class Door:
    """The API's door for readers of events. `reads` is all that each of them was told."""

    process: Process
    pool: Pool
    broker: Broker
    reads: list[Read]
    news: Event = field(init=False)

    def __post_init__(self) -> None:
        self.news = Event(self.process.time)

    def start(self, readers: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Ask whether the database was restored, as every service does; then let people read and ask."""
        self.process.spawn("begin", self._begin(readers, work))

    async def _begin(self, readers: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await begin_service(self.process.time, self.pool)
        tail = SimTail(self.pool, self.process.time)
        if readers:
            self.process.spawn("tail", tail.follow(self.news))
        for number in range(readers):
            self.process.spawn(f"reader-{number}", self._read(number, tail))
        self.process.spawn("operator", work())

    async def _read(self, number: int, tail: SimTail) -> None:
        """Read, lose the connection, come back with the last id that was heard."""
        time = self.process.time
        office: Any = SimpleNamespace(tail=tail, pool=self.pool)
        while True:
            mine = [one for one in self.reads if one.reader == number]
            after = (mine[-1].epoch, mine[-1].position) if mine else None
            try:
                async with aclosing(self._stream(office, after)) as stream:
                    async for message in stream:
                        self.reads.append(_read_of(number, message))
            except (Transient, Gone):
                await time.sleep(time.chance.uniform(0.1, 5.0))

    def _stream(self, office: Any, after: tuple[int, int] | None) -> AsyncIterator[Any]:
        return events._watch(office, (), after)


def _read_of(reader: int, message: Any) -> Read:
    kind = message.WhichOneof("message") if "message" in message.DESCRIPTOR.oneofs_by_name else None
    kind = kind or next(name for name in ("hello", "reset", "event", "bye") if message.HasField(name))
    said = getattr(message, kind)
    if kind == "bye":
        raise Gone
    epoch, position = events.cursor_of(said.cursor)
    return Read(reader=reader, kind=kind, epoch=epoch, position=position, id=said.id if kind == "event" else None)


# ---- what there is ------------------------------------------------------------------------------------


async def furnish(database: Database, broker: Broker, hosts: int, deployments_: int) -> list[Place]:
    """Hosts with ready deployments and their queues."""
    broker.declare(topology.processor(), None)
    raw = database.monitor
    await raw.execute(f"SET sim.now = '{database.time.at.isoformat()}'")
    await raw.execute("INSERT INTO games (name, created_at, updated_at) VALUES ('arena', clock(), clock())")
    await raw.execute(
        "INSERT INTO game_configs (game, name, created_at, updated_at) VALUES (1, 'dm', clock(), clock())"
    )
    await raw.execute("INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock())")
    places = []
    for number in range(1, hosts + 1):
        host = await raw.fetchval(
            "INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ($1, '{192.0.2.1}', clock(), clock())"
            " RETURNING id",
            f"host-{number}",
        )
        broker.declare(topology.host(host), None)
        for place in range(1, deployments_ + 1):
            name = f"deployment-{number}-{place}"
            made = await _deploy(raw, name, host, 20000 + place)
            places.append(Place(name, host, made, [made]))
    return places


async def _deploy(conn: Any, name: str, host: int, port: int) -> int:
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
    return deployment
