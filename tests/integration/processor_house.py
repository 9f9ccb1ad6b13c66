"""A processor with everything real around it: database, bus, a recorder on `external`, and hosts that speak as agents do."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from contract.places import Place

from manman.domain.ids import DeploymentId, HostId, SessionId, uuid7
from manman.errors import Transient
from manman.events import contracts, envelope, topics, topology
from manman.events.bus import Bus, Outcome, Outgoing
from manman.events.settings import BrokerSettings
from manman.processor.service import Processor
from manman.processor.settings import ProcessorSettings
from manman.store import pool as pools
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings

PATIENCE = 30.0


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Agent:
    """A host as the processor hears it: journals with numbers, or plain bodies."""

    house: "House"
    id: HostId
    boot: int = 1
    sequence: int = 0
    beat: int = 0
    journal: str = field(default_factory=lambda: os.urandom(8).hex())
    after: tuple[str, int] | None = None

    def begins_anew(self) -> None:
        """Another life of the agent: the next boot, a new journal."""
        self.after = (self.journal, self.sequence) if self.sequence else self.after
        self.boot, self.sequence, self.beat, self.journal = self.boot + 1, 0, 0, os.urandom(8).hex()

    def message(self, noun: str, word: str, body: dict[str, Any], sequence: int | None = None) -> Outgoing:
        """The next numbered message of this journal; `sequence` replaces its number."""
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        key = topics.status(noun, word, self.id)
        source = envelope.journal_source(self.id, self.journal)
        event = envelope.attributes(
            id=str(uuid7(now(), os.urandom)), source=source, type=f"manman.status.{noun}.{word}", time=now(),
            sequence=sequence, after=self.after if sequence == 1 else None,
        )  # fmt: skip
        headers = envelope.to_headers(event) | {envelope.HOST: str(self.id)}
        return Outgoing(
            exchange=topics.INTERNAL, key=key, body=msgspec.json.encode(body), headers=headers, message_id=event.id
        )

    async def say(self, noun: str, word: str, **body: Any) -> Outgoing:
        """Publish one numbered message; returns it, so that it can be published again."""
        if noun == "host":
            body = {"host_id": self.id, "boot": self.boot, **body}
        message = self.message(noun, word, body)
        await self.house.publish(message)
        return message

    async def session(self, session_id: int, *words: str, **last: Any) -> None:
        """Say where a session is, word after word; `last` comes with the last one."""
        for word in words:
            extra = last if word == words[-1] else {}
            await self.say("session", word, session_id=session_id, **extra)

    async def heartbeat(self, **body: Any) -> None:
        """One beat; `boot=None` makes it a plain one."""
        self.beat += 1
        said = {"host_id": self.id, "boot": self.boot, "beat": self.beat, **body}
        said = {name: value for name, value in said.items() if value is not None}
        await self.house.publish(
            Outgoing(exchange=topics.INTERNAL, key=topics.heartbeat(self.id), body=msgspec.json.encode(said))
        )


@dataclass
class House:
    """One running processor and what is around it."""

    pool: Pool
    bus: Bus
    processor: Processor
    events: list[dict[str, Any]] = field(default_factory=list)
    commands: dict[int, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    _names: int = 0

    async def publish(self, *messages: Outgoing) -> None:
        outcomes = await self.bus.publish(list(messages))
        assert outcomes == [Outcome.CONFIRMED] * len(messages)

    async def plain(self, key: str, body: bytes) -> None:
        """What a ten-line script publishes: a body, no header."""
        await self.publish(Outgoing(exchange=topics.INTERNAL, key=key, body=body))

    async def value(self, query: str, *args: Any) -> Any:
        async with self.pool.acquire() as conn:
            return await conn.fetchval(query, *args)

    async def rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        async with self.pool.acquire() as conn:
            return [tuple(row) for row in await conn.fetch(query, *args)]

    async def execute(self, query: str, *args: Any) -> None:
        async with self.pool.acquire() as conn:
            await conn.execute(query, *args)

    def leads(self) -> bool:
        """Whether this processor relays and sweeps."""
        notes = self.processor.health.notes
        return notes["relay"]() is None and notes["sweeps"]() is None

    async def until(self, said: str, truth: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until it is true; fails with the sentence."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while not (found := await truth()):
            assert asyncio.get_running_loop().time() < end, f"never came: {said}"
            await asyncio.sleep(0.02)
        return found

    async def status(self, session_id: int) -> str:
        return str(await self.value("SELECT status FROM sessions WHERE id = $1", session_id))

    async def until_status(self, session_id: int, status: str) -> None:
        async def reached() -> bool:
            return await self.status(session_id) == status

        await self.until(f"session {session_id} {status}", reached)

    async def until_dead(self, count: int) -> list[tuple[Any, ...]]:
        async def there() -> list[tuple[Any, ...]]:
            rows = await self.rows("SELECT reason, detail, key FROM dead_letters ORDER BY id")
            return rows if len(rows) >= count else []

        found: list[tuple[Any, ...]] = await self.until(f"{count} dead letters", there)
        assert len(found) == count
        return found

    async def until_settled(self, agent: Agent, sequence: int | None = None) -> None:
        """Until everything that this journal said is in the inbox."""
        upto = agent.sequence if sequence is None else sequence

        async def there() -> bool:
            query = "SELECT seen @> $3::bigint FROM host_journals WHERE host = $1 AND journal = $2"
            return bool(await self.value(query, agent.id, agent.journal, upto))

        await self.until(f"number {upto} of host {agent.id} settled", there)

    async def until_event(self, kind: str, **facts: Any) -> dict[str, Any]:
        """The first event of a kind on `external` that has these facts."""

        async def there() -> dict[str, Any] | None:
            for event in self.events:
                if event["type"] == kind and all(event.get(name) == value for name, value in facts.items()):
                    return event
            return None

        found: dict[str, Any] = await self.until(f"{kind} {facts}", there)
        return found

    async def until_command(self, host: HostId, verb: str, **facts: Any) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            for said, body in self.commands.get(host, []):
                if said == verb and all(body.get(name) == value for name, value in facts.items()):
                    return body
            return None

        found: dict[str, Any] = await self.until(f"command {verb} to host {host} {facts}", there)
        return found

    # ---- what the API would have made ---------------------------------------------------------------

    async def host(self, *, queue: bool = True) -> Agent:
        """A registered host that was never heard."""
        self._names += 1
        host = HostId(
            await self.value(
                "INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ($1, '{192.0.2.1}', clock(), clock())"
                " RETURNING id",
                f"host-{self._names}",
            )
        )
        await self.execute("INSERT INTO host_heartbeats (host) VALUES ($1) ON CONFLICT DO NOTHING", host)
        await self.execute("INSERT INTO session_leases (host) VALUES ($1) ON CONFLICT DO NOTHING", host)
        if queue:
            await surely(lambda: self.bus.declare(topology.host(host)))
        return Agent(self, host)

    async def deployment(self, agent: Agent, *, port: int | None = None) -> DeploymentId:
        """A ready deployment of a game on a host, with a port."""
        self._names += 1
        name = f"deployment-{self._names}"
        game = await self.value(
            "INSERT INTO games (name, created_at, updated_at) VALUES ($1, clock(), clock()) RETURNING id",
            f"game-{name}",
        )
        config = await self.value(
            "INSERT INTO game_configs (game, name, created_at, updated_at) VALUES ($1, 'dm', clock(), clock()) RETURNING id",
            game,
        )
        await self.execute(
            "INSERT INTO config_revisions (config, revision, spec, created_at) VALUES ($1, 1, $2, clock())",
            config,
            {"join_url": "game:${address}:${port}"},
        )
        deployment = DeploymentId(
            await self.value(
                "INSERT INTO deployments (name, host, config, config_revision, status, labels, created_at, updated_at)"
                " VALUES ($1, $2, $3, 1, 'ready', '{\"team\": \"blue\"}', clock(), clock()) RETURNING id",
                name,
                agent.id,
                config,
            )
        )
        await self.execute(
            "INSERT INTO ports (deployment, name, host, port, protocol) VALUES ($1, 'game', $2, $3, 'udp')",
            deployment,
            agent.id,
            port or 20000 + deployment,
        )
        return deployment

    async def session(self, deployment: DeploymentId, *, deadline: timedelta = timedelta(minutes=2)) -> SessionId:
        """A pending session, as a start makes it: the wish one version on, the run above the last, its first history row."""
        query = """
            WITH wish AS (
                UPDATE deployments SET desired = 'running', desired_version = desired_version + 1, sent_at = clock()
                 WHERE id = $1 RETURNING *),
            made AS (
                INSERT INTO sessions (host, deployment, run, begun_version, cause, created_at, at, deadline_at, config,
                                      config_revision, deployment_version, history_number)
                SELECT host, id, last_run + 1, desired_version, 'user', clock(), clock(), clock() + $2::interval, config,
                       config_revision, version, 1 FROM wish RETURNING id)
            INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)
            SELECT id, 1, 'pending', clock(), clock(), 'user' FROM made RETURNING session"""
        return SessionId(await self.value(query, deployment, deadline))

    async def history(self, session: int) -> list[str]:
        """The words of a session's history; fails where a number is missing."""
        rows = await self.rows(
            "SELECT number, to_status FROM session_history WHERE session = $1 ORDER BY number", session
        )
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        return [row[1] for row in rows]


SILENT_SOON: dict[str, Any] = {"stale_host_threshold_seconds": 2}


def settings_of(**changed: Any) -> ProcessorSettings:
    """Quick sweeps, and hosts that may be silent for a minute: where silence matters, the test says `**SILENT_SOON`."""
    quick: dict[str, Any] = {"stale_host_threshold_seconds": 60, "stale_host_check_interval_seconds": 0.5}
    return ProcessorSettings(health_check_port=0, **(quick | changed))


@contextlib.asynccontextmanager
async def house(
    place: Place,
    database_url: str,
    *,
    recorder: str = "recorder",
    publish_bus: Bus | None = None,
    command_bus: Bus | None = None,
    **changed: Any,
) -> AsyncIterator[House]:
    """A processor that runs until the end of the block, and must end in order. `recorder` is its own queue's name."""
    database = DatabaseSettings(database_url=database_url)
    broker = BrokerSettings(prefetch=changed.pop("prefetch", 500), batch_max=changed.pop("batch_max", 500))
    async with place.bus(topology.exchanges()) as own, place.bus(topology.subscriber(recorder)) as outside:
        # The leader binds this soon after its start; what is said here may not be earlier.
        await own.declare(topology.event_queues(broker.queue_name, 0, 1), lasting=False)
        await own.declare(topology.event_route(broker.queue_name, 0, 1), lasting=False)
        pool = await pools.connect(database)
        made = Processor(
            settings_of(**changed), database, own, broker, publish_bus=publish_bus, command_bus=command_bus
        )
        running = House(pool, outside, made)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            served = group.create_task(made.run(stop))
            recording = group.create_task(_record(running, recorder))
            try:
                await asyncio.wait_for(_started(own, broker), PATIENCE)
                yield running
            finally:
                stop.set()
                await asyncio.wait_for(served, PATIENCE)
                recording.cancel()
                await pool.close()


async def surely(act: Callable[[], Awaitable[None]]) -> None:
    """Do what may be repeated until the broker did it."""
    for _ in range(100):
        try:
            await act()
        except Transient:
            await asyncio.sleep(0.2)
        else:
            return
    await act()


async def _started(bus: Bus, broker: BrokerSettings) -> None:
    while True:
        with contextlib.suppress(Exception):
            if (await bus.depth(broker.queue_name)).consumers:
                return
        await asyncio.sleep(0.02)


async def _record(running: House, queue: str) -> None:
    """Everything on `external`, and what the hosts are told; goes on after an outage."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(running, group))
        async for key, id, body in _messages(running.bus, queue):
            running.events.append({"type": key, "id": id, **body})


async def _listen(running: House, group: asyncio.TaskGroup) -> None:
    listened: set[int] = set()
    while True:
        hosts: list[tuple[Any, ...]] = []
        with contextlib.suppress(Transient):
            hosts = await running.rows("SELECT id FROM hosts")
        for (host,) in hosts:
            if host not in listened:
                with contextlib.suppress(Transient):
                    await running.bus.depth(topics.host_commands(host))
                    listened.add(host)
                    group.create_task(_hear(running, host))
        await asyncio.sleep(0.05)


async def _hear(running: House, host: HostId) -> None:
    async for key, _, body in _messages(running.bus, topics.host_commands(host)):
        running.commands.setdefault(host, []).append((key.rpartition(".")[2], body))


async def _messages(bus: Bus, queue: str) -> AsyncIterator[tuple[str, str | None, dict[str, Any]]]:
    while True:
        with contextlib.suppress(Transient):
            async with bus.consume(queue, 500) as consumer:
                while True:
                    for delivery in await consumer.get_batch(500):
                        yield delivery.key, delivery.message_id, msgspec.json.decode(delivery.body)
                        await consumer.ack(delivery)
        await asyncio.sleep(0.05)


__all__ = ["Agent", "House", "contracts", "house", "settings_of"]
