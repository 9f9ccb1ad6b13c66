"""Where a run happens: a vhost and a database of their own, the processor on them, and what each program costs."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
from harness import postgres, rabbitmq, shared, templates

from bench.world import World, prepare
from manman.events import topics, topology
from manman.events.bus import Binding, Kind, Outgoing, Queue, Topology
from manman.events.rabbit import bus as rabbit
from manman.store import migrate

PUBLISH_BATCH = 2000
RECORDER = "bench-recorder"
DATABASE, BROKER = "durable", "roomy"
VHOSTS = "bench-"
# As the server comes: what the tests' own leaves out or makes small.
DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}
# `bench.latency` asks when a transaction was committed.
TIMING = {"track_commit_timestamp": "on"}
# Loaded for the profile, which turns it on for its own database.
COUNTING = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "none"}
WAL = "SELECT pg_logical_emit_message(false, 'bench', repeat('x', 8000000)) FROM generate_series(1, 120)"


@dataclass(frozen=True, slots=True)
class Place:
    """A vhost and a database of their own."""

    broker: str
    database: str


def start_database() -> postgres.Postgres:
    """The PostgreSQL of a bench run: a commit is on the disk when it says so, which the one that tests share leaves out."""
    server = postgres.Postgres(shared.home() / DATABASE, settings=DURABLE | TIMING | COUNTING)
    server.start()
    # One that has run for a while uses its WAL files again, a fresh one makes each with a pass over all of it.
    for statement in (WAL, "CHECKPOINT", "CHECKPOINT"):
        postgres.execute(server.url(), statement)
    postgres.execute(server.url(), f"create database {templates.TEMPLATE}")
    asyncio.run(migrate.up(server.url(templates.TEMPLATE)))
    (shared.home() / f"{DATABASE}.json").write_text(json.dumps({"url": server.url()}))
    return server


def start_broker() -> rabbitmq.RabbitMQ:
    """The RabbitMQ of a bench run: it may hold as much as the server comes with, where the one that tests share stops at 800 MB."""
    server = rabbitmq.RabbitMQ(shared.home() / BROKER, small=False)
    server.start()
    (shared.home() / f"{BROKER}.json").write_text(json.dumps({"url": server.url(""), "admin_url": server.admin_url}))
    return server


async def place(world: World) -> Place:
    """A fresh vhost and a fresh, migrated database with the world's rows; the vhost before it is gone, with all that it held."""
    server = shared.service(BROKER)
    for vhost in rabbitmq.ask(server["admin_url"], "GET", "/api/vhosts"):
        if vhost["name"].startswith(VHOSTS):
            rabbitmq.ask(server["admin_url"], "DELETE", f"/api/vhosts/{vhost['name']}")
    name = f"{VHOSTS}{uuid.uuid4().hex[:8]}"
    rabbitmq.ask(server["admin_url"], "PUT", f"/api/vhosts/{name}", None)
    rabbitmq.ask(
        server["admin_url"], "PUT", f"/api/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"}
    )
    database = await asyncio.to_thread(clone, name.replace("-", "_"))
    await prepare(database, world)
    return Place(f"{server['url'].rsplit('/', 1)[0]}/{name}", database)


def clone(name: str) -> str:
    """A fresh, migrated database."""
    server = str(shared.service(DATABASE)["url"])
    templates.clone(server, name, templates.TEMPLATE)
    return server.rsplit("/", 1)[0] + "/" + name


async def split(where: Place, partitions: int) -> list[str]:
    """What hosts say, in so many partitions: by the command, with a processor that does it and ends. Returns their queues."""
    child = start_processor(where)
    try:
        env = {**os.environ, "RABBITMQ_URL": where.broker, "DATABASE_URL": where.database}
        command = [sys.executable, "-m", "manman", "processor", "partitions", str(partitions), "--json"]
        done = await asyncio.to_thread(subprocess.run, command, env=env, check=True, capture_output=True, timeout=120)
    finally:
        await asyncio.to_thread(end, child)
    told = json.loads(done.stdout)
    return [queue["queue"] for queue in told["queues"] if queue["generation"] == told["generation"]]


async def load(url: str, messages: Iterable[Outgoing], *, declare: Topology | None = None) -> int:
    """Declare the processor's queues, or what is said instead, and publish everything, confirmed."""
    bus = await rabbit.connect(url, topology=topology.processor() if declare is None else declare)
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


def recording() -> Topology:
    """A queue that hears everything on `external`."""
    return Topology(
        exchanges=(topics.EXTERNAL,),
        queues=(Queue(name=RECORDER, kind=Kind.CLASSIC),),
        bindings=(Binding(queue=RECORDER, exchange=topics.EXTERNAL, pattern="#"),),
    )


def start_processor(where: Place, *command: str, **settings: str) -> subprocess.Popen[bytes]:
    """`manman processor` on that place, or another program that runs it."""
    env = {
        **os.environ,
        "RABBITMQ_URL": where.broker,
        "DATABASE_URL": where.database,
        "HEALTH_CHECK_PORT": "0",
        "LOG_LEVEL": "warning",
    }
    return subprocess.Popen([sys.executable, "-m", *(command or ("manman", "processor"))], env=env | settings)


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds so far: of the program, of its database's backends, of the broker."""

    client: float
    database: float
    broker: float

    def since(self, before: "Cost") -> "Cost":
        """What was spent in between."""
        return Cost(self.client - before.client, self.database - before.database, max(0.0, self.broker - before.broker))


def cost(child: subprocess.Popen[bytes], where: Place) -> Cost:
    """What the three cost so far."""
    name = where.database.rsplit("/", 1)[1]
    backends = [
        one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] and f" {name} " in one.info["cmdline"][0]
    ]
    return Cost(_seconds(psutil.Process(child.pid)), sum(map(_seconds, backends)), _seconds(_broker(where)))


def _broker(where: Place) -> psutil.Process:
    port = urlsplit(where.broker).port
    found = [
        c.pid
        for c in psutil.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid is not None
    ]
    return psutil.Process(found[0])


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def memory(child: subprocess.Popen[bytes]) -> float:
    """MiB that the program holds; raises when it has ended."""
    if child.poll() is not None:
        raise RuntimeError(f"the program under test ended with {child.returncode}")
    return float(psutil.Process(child.pid).memory_info().rss) / 2**20


def end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and wait."""
    child.terminate()
    child.wait(60)
