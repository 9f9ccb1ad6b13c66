"""SIGTERM ends a processor in time, whatever is away or frozen; readiness goes first, and nothing is lost by it."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract.places import Place
from harness import Postgres, RabbitMQ, free_port
from harness.postgres import execute
from integration.processor_house import house
from integration.test_processor_outages import ask, until_ready

from manman.store import migrate

TESTS = Path(__file__).resolve().parent.parent
SHUTDOWN = 10


@pytest.fixture
async def own_database(own_postgres: Postgres) -> str:
    execute(own_postgres.url(), "create database manman")
    await migrate.up(own_postgres.url("manman"))
    return own_postgres.url("manman")


@contextmanager
def program(place: Place, database_url: str, port: int, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A processor in a process of its own that tells what it does."""
    told = {"kind": place.kind, "url": place.url, "database": database_url, "port": port}
    described = json.dumps({**told, "settings": {"shutdown_timeout_seconds": SHUTDOWN, **settings}})
    command = [sys.executable, "-m", "integration.processor_program", described]
    running = subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stderr is not None
        running.stderr.close()


async def until_told(running: subprocess.Popen[bytes], event: str) -> None:
    """Until its log has this event."""
    assert running.stderr is not None
    while event not in str(line := await asyncio.to_thread(running.stderr.readline)):
        assert line, f"it ended without {event}"


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Every process of the database stands still."""
    postmaster = psutil.Process(postgres.pid)
    everyone = [postmaster, *postmaster.children(recursive=True)]
    for one in everyone:
        one.suspend()
    try:
        yield
    finally:
        for one in everyone:
            one.resume()


async def ends(running: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(running.wait, 60)


async def test_one_that_waits_for_its_database_ends(own_postgres: Postgres, rabbitmq_url: str) -> None:
    await asyncio.to_thread(own_postgres.stop)
    with program(Place("rabbitmq", rabbitmq_url), own_postgres.url("manman"), free_port()) as running:
        await until_told(running, "broker_connected")
        running.send_signal(signal.SIGTERM)
        assert await ends(running) == 0


async def test_one_whose_database_is_frozen_says_so_first_ends_in_time_and_loses_nothing(
    own_postgres: Postgres, own_database: str, rabbitmq_url: str
) -> None:
    place, port = Place("rabbitmq", rabbitmq_url), free_port()
    async with house(place, own_database) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
    with program(place, own_database, port) as running:
        await until_ready(port)
        with frozen(own_postgres):
            async with place.bus() as bus:
                await bus.publish([agent.message("session", "starting", {"session_id": session})])
            await asyncio.sleep(1)  # a batch, sweeps, the relay and the leases wait for an answer
            running.send_signal(signal.SIGTERM)
            await until_unready(port)
            assert await ends(running) == 0
    async with house(place, own_database) as home:
        await home.until_status(session, "starting")
        assert await home.history(session) == ["pending", "starting"]
        assert await home.value("SELECT count(*) FROM dead_letters") == 0


async def until_unready(port: int) -> None:
    """Until readiness says that it ends; while the probes are there, whatever else is not."""
    end = time.monotonic() + 30
    while True:
        status, body = await asyncio.to_thread(ask, port, "/readyz")
        if status == 503 and b"shutting_down" in body:
            return
        assert time.monotonic() < end, body
        await asyncio.sleep(0.05)


async def test_one_whose_broker_is_gone_ends(own_rabbitmq: RabbitMQ, database_url: str) -> None:
    port = free_port()
    with program(Place("rabbitmq", own_rabbitmq.url()), database_url, port) as running:
        await until_ready(port)
        await asyncio.to_thread(own_rabbitmq.stop)
        running.send_signal(signal.SIGTERM)
        assert await ends(running) == 0
