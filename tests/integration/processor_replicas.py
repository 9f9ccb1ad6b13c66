"""More replicas beside a house's own, in this process or in processes of their own, and a load of hosts that never pauses."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from contract.places import Place
from integration.processor_house import PATIENCE, Agent, House, settings_of

from manman.domain import partitions as rules
from manman.errors import Transient
from manman.events import topics, topology
from manman.events.bus import Outcome, Outgoing, QueueMissing
from manman.events.settings import BrokerSettings
from manman.processor.service import Processor
from manman.store import leadership, partitions
from manman.store.settings import DatabaseSettings

TESTS = Path(__file__).resolve().parent.parent
WORDS = ["pending", "starting", "running", "stopping", "stopped"]


@contextlib.asynccontextmanager
async def replica(place: Place, database_url: str) -> AsyncIterator[Processor]:
    """Another processor in this process, on a connection of its own; it ends in order."""
    async with place.bus(topology.exchanges()) as bus:
        made = Processor(settings_of(), DatabaseSettings(database_url=database_url), bus, BrokerSettings())
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            served = group.create_task(made.run(stop))
            try:
                yield made
            finally:
                stop.set()
                await asyncio.wait_for(served, PATIENCE)


@contextlib.contextmanager
def process(place: Place, database_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another processor as a process; killed at the end."""
    told = msgspec.json.encode({"kind": place.kind, "url": place.url, "database": database_url, "port": 0}).decode()
    with log.open("ab") as out:
        running = subprocess.Popen(
            [sys.executable, "-m", "integration.processor_program", told], cwd=TESTS, stderr=out, stdout=out
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def owned(processor: Processor) -> int:
    """How many partitions a processor of this process consumes now: wants to, and does."""
    share = processor.share
    if share is None or {share.queue_of(part) for part in share.parts} != share.consuming.keys():
        return -1
    return len(share.parts)


async def live(home: House) -> dict[str, int]:
    """The live replicas: their holders and process ids."""
    async with home.pool.acquire() as conn:
        return {one.holder: one.facts["pid"] for one in await leadership.replicas(conn, "processor")}


async def generations(home: House) -> list[rules.Generation]:
    async with home.pool.acquire() as conn:
        return list(await partitions.begun(conn))


async def until_shared(home: House, replicas: int, count: int) -> rules.Generation:
    """Until so many replicas live, `count` partitions are all there is, and each is consumed by one of them."""

    async def there() -> rules.Generation | None:
        await asyncio.sleep(0.2)  # each look asks the broker for every queue
        begun = await generations(home)
        if len(begun) != 1 or begun[0].partitions != count or len(await live(home)) != replicas:
            return None
        for queue in queues(begun[0]):
            with contextlib.suppress(Transient):  # missing, or a broker too busy to say
                if (await home.bus.depth(queue)).consumers == 1:
                    continue
            return None
        return begun[0]

    found: rules.Generation = await home.until(f"{count} partitions of {replicas} replicas", there)
    return found


def queues(one: rules.Generation) -> list[str]:
    return [topics.partition(topics.EVENTS_QUEUE, one.number, n, one.partitions) for n in range(one.partitions)]


async def gone(home: House, one: rules.Generation) -> bool:
    """Whether nothing of a generation is left on the broker."""
    for queue in queues(one):
        try:
            await home.bus.depth(queue)
        except QueueMissing:
            continue
        return False
    return True


async def ask(home: House, count: int) -> None:
    """What the command writes down."""
    async with home.pool.transaction() as conn:
        await partitions.ask(conn, count)


async def command(database_url: str, broker_url: str | None, *words: str, interrupt_at: str = "") -> tuple[int, str]:
    """`manman processor partitions …` as a process: its exit code and all it said. It gets SIGINT when it says `interrupt_at`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RABBITMQ_URL", "DATABASE_URL")}
    environment |= {"DATABASE_URL": database_url} | ({} if broker_url is None else {"RABBITMQ_URL": broker_url})
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "manman", "processor", "partitions", *words, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert running.stdout is not None
    said = ""
    async for line in running.stdout:
        said += line.decode()
        if interrupt_at and interrupt_at in line.decode():
            running.send_signal(2)
            interrupt_at = ""
    return await running.wait(), said


@dataclass
class Load:
    """Hosts that begin and end one session after the other, at least two each, every message numbered, until `stop`."""

    home: House
    hosts: int
    agents: dict[int, Agent] = field(default_factory=dict)
    sessions: list[int] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> "Load":
        made = [await self.home.host() for _ in range(self.hosts)]
        self.agents = {agent.id: agent for agent in made}
        self._lives = [asyncio.create_task(self._life(agent)) for agent in made]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._lives)

    async def _life(self, agent: Agent) -> None:
        begun = 0
        while begun < 2 or not self._stop.is_set():
            begun += 1
            session = await self.home.session(await self.home.deployment(agent))
            self.sessions.append(session)
            for word in WORDS[1:]:
                await self._say(agent.message("session", word, {"session_id": session}))
            await asyncio.sleep(0.05)

    async def _say(self, message: Outgoing) -> None:
        """As an agent does: sent again until it is confirmed, and nothing after it before."""
        outcomes: list[Outcome] = []
        while outcomes != [Outcome.CONFIRMED]:
            try:
                outcomes = await self.home.bus.publish([message])
            except Transient:
                await asyncio.sleep(0.1)

    async def judge(self) -> None:
        """Everything that was said was applied, once, in its order."""
        for agent in self.agents.values():
            await self.home.until_settled(agent)
        for session in self.sessions:
            assert await self.home.history(session) == WORDS
        assert await self.home.rows("SELECT reason, key, detail FROM dead_letters") == []
        numbers = await self.home.rows("SELECT host, seen::text FROM host_journals")
        assert {host: upto(seen) for host, seen in numbers} == {a.id: a.sequence for a in self.agents.values()}


def upto(seen: str) -> int | None:
    """The last number of a set that is one range from 1, else None."""
    one = re.fullmatch(r"\{\[1,(\d+)\)\}", seen)
    return None if one is None else int(one.group(1)) - 1
