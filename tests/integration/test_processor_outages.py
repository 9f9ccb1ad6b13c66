"""Database and broker go and come back: nothing lost, nothing stale, nothing condemned, no hot loop."""

import asyncio
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
import msgspec
import pytest
from contract.places import Place
from harness import Postgres, RabbitMQ, free_port
from harness.postgres import execute
from integration.processor_house import Agent, House, house

from manman.events import topics
from manman.events.bus import Outgoing
from manman.store import migrate
from manman.store import pool as pools
from manman.store.settings import DatabaseSettings

TESTS = Path(__file__).resolve().parent.parent


async def a_life(home: House, count: int = 20) -> None:
    """Sessions of one host through their whole life, in the middle of whatever happens."""
    agent = await home.host()
    sessions = [await home.session(await home.deployment(agent)) for _ in range(count)]
    for session in sessions:
        await agent.session(session, "starting", "running", "stopping")
        await agent.session(session, "stopped", exit_code=0)
    for session in sessions:
        await home.until_status(session, "stopped")
        assert await home.history(session) == ["pending", "starting", "running", "stopping", "stopped"]


@pytest.fixture
async def own_database(own_postgres: Postgres) -> str:
    execute(own_postgres.url(), "create database manman")
    await migrate.up(own_postgres.url("manman"))
    return own_postgres.url("manman")


async def test_a_database_that_restarts_pauses_consumption_and_nothing_is_lost(
    own_postgres: Postgres, own_database: str, rabbitmq_url: str
) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), own_database) as home:
        agent = await home.host()
        sessions = [await home.session(await home.deployment(agent)) for _ in range(10)]
        await agent.session(sessions[0], "starting", "running")
        await home.until_status(sessions[0], "running")
        await asyncio.to_thread(own_postgres.stop)
        for session in sessions[1:]:
            await agent.session(session, "starting", "running")

        async def unready() -> bool:
            return home.processor.health.required["database"]() is not None

        await home.until("readiness names the database", unready)
        used = time.process_time()
        await asyncio.sleep(2)
        assert time.process_time() - used < 1, "a hot loop"
        await asyncio.to_thread(own_postgres.start)
        for session in sessions:
            await home.until_status(session, "running")
            assert await home.history(session) == ["pending", "starting", "running"]
            await home.until_event("manman.session.running", session_id=session)
        assert await home.value("SELECT count(*) FROM dead_letters") == 0
        await home.until("readiness again", lambda: _ready(home))


async def _ready(home: House) -> bool:
    return all(check() is None for check in home.processor.health.required.values())


@asynccontextmanager
async def beating(agent: Agent) -> AsyncIterator[None]:
    """The agent's heartbeats, several within the threshold; those that a broker refuses are lost, as a real agent's are."""

    async def beats() -> None:
        while True:
            with suppress(Exception):
                await agent.heartbeat()
            await asyncio.sleep(0.4)

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_broker_that_restarts_makes_no_host_stale_and_loses_nothing(
    own_rabbitmq: RabbitMQ, database_url: str
) -> None:
    place = Place("rabbitmq", own_rabbitmq.url())
    # Shorter than a broker takes to stop and start; a heartbeat may be late all the same.
    async with house(place, database_url, stale_host_threshold_seconds=3) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        async with beating(agent):
            await agent.session(session, "starting", "running")
            await home.until_status(session, "running")
            await asyncio.to_thread(own_rabbitmq.restart)

            async def back() -> bool:
                return home.bus.connected and home.processor.bus.connected

            await home.until("the broker again", back)
            message = agent.message("session", "crashed", {"session_id": session, "exit_code": 1})

            async def said() -> bool:
                with suppress(Exception):
                    await home.publish(message)
                return await home.status(session) == "crashed"

            await home.until("crashed", said)
            assert await home.history(session) == ["pending", "starting", "running", "crashed"]
            assert await home.value("SELECT count(*) FROM host_history WHERE to_status = 'stale'") == 0
            assert await home.value("SELECT count(*) FROM dead_letters") == 0


@contextmanager
def program(place: Place, database_url: str, port: int, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A processor in a process of its own."""
    described = msgspec.json.encode({"kind": place.kind, "url": place.url, "database": database_url, "port": port})
    command = [sys.executable, "-m", "integration.processor_program", described.decode(), *words]
    running = subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stderr is not None
        running.stderr.close()


def ask(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


async def until_ready(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            if (await asyncio.to_thread(ask, port, "/readyz"))[0] == 200:
                return
        except OSError:
            pass
        assert time.monotonic() < end, "never ready"
        await asyncio.sleep(0.05)


async def test_probes_say_how_it_is_and_sigterm_ends_it_in_order(rabbitmq_url: str, database_url: str) -> None:
    port = free_port()
    with program(Place("rabbitmq", rabbitmq_url), database_url, port) as running:
        await until_ready(port)
        assert (await asyncio.to_thread(ask, port, "/healthz"))[0] == 200
        status, metrics = await asyncio.to_thread(ask, port, "/metrics")
        assert status == 200
        assert b"manman_acts_total" in metrics
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, 30) == 0


async def test_a_beat_that_waited_while_the_process_stood_still_brings_no_host_back(
    rabbitmq_url: str, database_url: str
) -> None:
    place, port = Place("rabbitmq", rabbitmq_url), free_port()
    async with house(place, database_url) as home:
        agent = await home.host()

    def beat(number: int) -> Outgoing:
        body = msgspec.json.encode({"host_id": agent.id, "boot": 1, "beat": number})
        return Outgoing(exchange="manman", key=topics.heartbeat(agent.id), body=body)

    database = await asyncpg.connect(database_url)
    async with place.bus() as bus:
        with program(place, database_url, port) as running:
            await until_ready(port)
            await bus.publish([beat(1)])
            await until(database, "SELECT beat = 1 FROM host_heartbeats")
            running.send_signal(signal.SIGSTOP)
            await bus.publish([beat(2)])
            await asyncio.sleep(3)
            await database.execute("UPDATE host_heartbeats SET online = false")
            running.send_signal(signal.SIGCONT)
            went_on = await database.fetchval("SELECT clock()")
            await until(database, "SELECT last > $1 FROM pulse", went_on)
            assert tuple(await database.fetchrow("SELECT online, beat FROM host_heartbeats")) == (False, 1)
            await bus.publish([beat(3)])
            await until(database, "SELECT online AND beat = 3 FROM host_heartbeats")
    await database.close()


async def until(database: asyncpg.Connection, query: str, *arguments: object) -> None:
    """Waits until the database says so."""
    async with asyncio.timeout(30):
        while not await database.fetchval(query, *arguments):  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)


async def test_a_message_that_kills_the_process_is_found_out_and_its_neighbours_are_applied(
    rabbitmq_url: str, database_url: str
) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    async with house(place, database_url) as home:
        agent, other = await home.host(), await home.host()
        deadly = await home.session(await home.deployment(agent))
        sound = await home.session(await home.deployment(other))
    async with place.bus() as bus:

        def said(key: str, session: int, **more: object) -> Outgoing:
            body = msgspec.json.encode({"session_id": session, **more})
            return Outgoing(exchange="manman", key=key, body=body, message_id=f"{key}-{session}")

        await bus.publish(
            [
                said("status.session.starting", sound),
                said("status.session.starting", deadly, detail="deadly"),
                said("status.session.running", sound),
            ]
        )
    deaths = 0
    port = free_port()
    while deaths < 20:
        with program(place, database_url, port, "deadly") as running:
            if not await ends_before_a_dead_letter(running, database_url):
                break
            assert running.returncode == -signal.SIGKILL
            deaths += 1
    assert 5 <= deaths <= 8
    async with house(place, database_url) as home:
        await home.until_status(sound, "running")
        assert await home.status(deadly) == "pending"
        [(reason, _, key)] = await home.until_dead(1)
        assert (reason, key) == ("kills_the_process", "status.session.starting")
        assert await home.value("SELECT count(*) FROM attempts") == 0


async def ends_before_a_dead_letter(running: subprocess.Popen[bytes], database_url: str) -> bool:
    """Which came first: the end of the process, or the message set aside."""
    conn = await pools.single(DatabaseSettings(database_url=database_url))
    end = time.monotonic() + 60
    try:
        while running.poll() is None:
            if await conn.fetchval("SELECT count(*) FROM dead_letters"):
                return False
            assert time.monotonic() < end, "neither came"
            await asyncio.sleep(0.05)
        return True
    finally:
        await conn.close()


async def test_twenty_deaths_while_the_database_is_away_condemn_nobody(
    own_postgres: Postgres, own_database: str, rabbitmq_url: str
) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    async with house(place, own_database) as home:
        agent = await home.host()
        sessions = [await home.session(await home.deployment(agent)) for _ in range(5)]
    async with place.bus() as bus:
        await bus.publish([agent.message("session", "starting", {"session_id": s}) for s in sessions])
        await asyncio.to_thread(own_postgres.stop)
        for _ in range(20):
            async with bus.consume("processor-events", 500) as consumer:
                assert await consumer.get_batch(500)
    await asyncio.to_thread(own_postgres.start)
    async with house(place, own_database) as home:
        for session in sessions:
            await home.until_status(session, "starting")
        assert await home.value("SELECT count(*) FROM dead_letters") == 0
