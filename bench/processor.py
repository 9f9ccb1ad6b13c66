"""The event processor beside the one-at-a-time design and the raw limit, on the same stream in one run."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import psutil
from harness import rabbitmq, shared, templates

from bench import Figure
from bench.world import World, prepare, stream
from manman.events import topics, topology
from manman.events.bus import Binding, Kind, Outgoing, Queue, Topology
from manman.events.rabbit import bus as rabbit

REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
WORLD = World()
BASELINE_EVENTS = 3000
PUBLISH_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run: how many messages in how many seconds, and the CPU seconds of the program under test."""

    events: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.events / self.seconds

    @property
    def cost(self) -> float:
        """CPU microseconds a message."""
        return self.cpu / self.events * 1e6


def measure() -> list[Figure]:
    """Three rounds of (c) limit, (a) this processor, (b) one at a time; medians with their spread."""
    rounds = [asyncio.run(one_round()) for _ in range(REPEATS)]
    limit, ours, single = ([r[i] for r in rounds] for i in range(3))
    return [
        *_figures("(a) this processor", ours),
        *_figures("(b) one at a time", single),
        *_figures("(c) consume and ack, doing nothing", limit),
        _ratio("ratio (a) / (b)", [a.rate / b.rate for a, b in zip(ours, single, strict=True)]),
        _ratio("ratio (a) / (c)", [a.rate / c.rate for a, c in zip(ours, limit, strict=True)]),
    ]


async def one_round() -> tuple[Run, Run, Run]:
    """Fresh database and vhost for each of the three."""
    return await _limit(), await _ours(), await _single()


@dataclass(slots=True)
class Place:
    """A vhost and a database of their own."""

    broker: str
    database: str


async def place() -> Place:
    """A fresh vhost and a fresh, migrated database with the world's rows."""
    server = shared.service("rabbitmq")
    name = f"bench-{uuid.uuid4().hex[:8]}"
    rabbitmq.ask(server["admin_url"], "PUT", f"/api/vhosts/{name}", None)
    rabbitmq.ask(
        server["admin_url"], "PUT", f"/api/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"}
    )
    database = await asyncio.to_thread(_clone, name.replace("-", "_"))
    await prepare(database, WORLD)
    return Place(broker=f"{server['url'].rsplit('/', 1)[0]}/{name}", database=database)


def _clone(name: str) -> str:
    server = str(shared.service("postgres15")["url"])
    templates.clone(server, name, templates.template(15))
    return server.rsplit("/", 1)[0] + "/" + name


async def load(url: str, messages: Iterable[Outgoing]) -> int:
    """Declare the processor's queues and publish everything, confirmed."""
    bus = await rabbit.connect(url, topology=topology.processor())
    total, batch = 0, []
    for message in messages:
        batch.append(message)
        if len(batch) == PUBLISH_BATCH:
            await bus.publish(batch)
            total, batch = total + len(batch), []
    if batch:
        await bus.publish(batch)
    await bus.close()
    return total + len(batch)


async def _limit() -> Run:
    where = await place()
    count = await load(where.broker, stream(WORLD))
    return _told(await asyncio.to_thread(_run, "bench.drain", where.broker, str(count)))


async def _single() -> Run:
    where = await place()
    small = replace(WORLD, rounds=1)
    await load(where.broker, (m for m, _ in zip(stream(small), range(BASELINE_EVENTS), strict=False)))
    return _told(await asyncio.to_thread(_run, "bench.baseline", where.broker, where.database, str(BASELINE_EVENTS)))


async def _ours() -> Run:
    """From the first message on `external` to the last, with everything on: history, inbox, outbox, confirms."""
    where = await place()
    await load(where.broker, stream(WORLD))
    recorder = await rabbit.connect(where.broker, topology=recording())
    child = start_processor(where)
    seen, began, last, cpu = 0, 0.0, 0.0, 0.0
    try:
        async with recorder.consume("bench-recorder", 1000) as consumer:
            while seen < WORLD.announced:
                batch = await consumer.get_batch(1000, wait=timedelta(seconds=60))
                if not batch:
                    raise RuntimeError(f"only {seen} of {WORLD.announced} announcements came")
                last = time.perf_counter()
                if seen == 0:
                    began, cpu = last, _cpu(child)
                seen += len(batch)
                await consumer.ack(batch[-1])
        return Run(WORLD.events, last - began, _cpu(child) - cpu)
    finally:
        child.terminate()
        child.wait(30)
        await recorder.close()


def recording() -> Topology:
    """A queue that hears everything on `external`."""
    return Topology(
        exchanges=(topics.EXTERNAL,),
        queues=(Queue(name="bench-recorder", kind=Kind.CLASSIC),),
        bindings=(Binding(queue="bench-recorder", exchange=topics.EXTERNAL, pattern="#"),),
    )


def start_processor(where: Place, **settings: str) -> subprocess.Popen[bytes]:
    """`manman processor` on that place."""
    env = {
        **os.environ,
        "RABBITMQ_URL": where.broker,
        "DATABASE_URL": where.database,
        "HEALTH_CHECK_PORT": "0",
        "LOG_LEVEL": "warning",
    }
    return subprocess.Popen([sys.executable, "-m", "manman", "processor"], env=env | settings)


def _cpu(child: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(child.pid).cpu_times()
    return float(times.user + times.system)


def _run(module: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, capture_output=True, text=True, timeout=600
    ).stdout


def _told(text: str) -> Run:
    said = json.loads(text.strip().splitlines()[-1])
    return Run(said["count"], said["seconds"], said["cpu"])


def _figures(what: str, runs: list[Run]) -> list[Figure]:
    rates = [run.rate for run in runs]
    spread = f"{what} ({min(rates):,.0f} to {max(rates):,.0f})"
    return [
        Figure(what=spread, amount=statistics.median(rates), unit="events/s"),
        Figure(what=f"{what}: client CPU", amount=statistics.median(run.cost for run in runs), unit="µs/event"),
    ]


def _ratio(what: str, ratios: list[float]) -> Figure:
    return Figure(
        what=f"{what} ({min(ratios):.2f} to {max(ratios):.2f})", amount=statistics.median(ratios), unit="times"
    )
