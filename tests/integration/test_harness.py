"""The services that tests stand on: private, on loopback, and gone afterwards."""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from harness import Postgres, RabbitMQ, shared
from harness.processes import answers, mentioning

OWN_RUN = """
import os, sys, time
from harness import shared
home = shared.begin()
for name in ("postgres15", "rabbitmq"):
    shared.service(name)
print(home, flush=True)
sys.stdin.readline()
shared.end(home)
"""


def test_nothing_of_a_run_listens_outside_of_loopback_and_nothing_remains_after_it() -> None:
    owner = start_a_run()
    assert owner.stdout is not None
    home = Path(owner.stdout.readline().strip())
    ours = mentioning(home)
    listening = [at for process in ours for at in process.net_connections() if at.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5  # PostgreSQL; AMQP, management, distribution, epmd
    assert all(ipaddress.ip_address(at.laddr.ip).is_loopback for at in listening)

    owner.communicate("done\n", timeout=120)

    assert not [process.pid for process in ours if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert not mentioning(home)
    assert not [at.laddr.port for at in listening if answers(at.laddr.port)]
    assert not home.exists()


def test_a_run_whose_owner_is_killed_takes_its_services_with_it() -> None:
    owner = start_a_run()
    assert owner.stdout is not None
    home = Path(owner.stdout.readline().strip())
    ours = mentioning(home)
    assert len(ours) > 3
    owner.kill()
    owner.communicate()
    psutil.wait_procs(ours, timeout=60)
    assert not mentioning(home)
    assert not home.exists()


def start_a_run() -> "subprocess.Popen[str]":
    """Another process that owns a run of its own; it prints its home when its services are up."""
    environment = {**os.environ, "PYTHONPATH": str(shared.TESTS)}
    environment.pop(shared.HOME, None)
    return subprocess.Popen(
        [sys.executable, "-c", OWN_RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


@pytest.mark.both_postgres
async def test_a_database_is_fresh_and_of_the_version_asked_for(empty_database_url: str, postgres_major: int) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        assert connection.get_server_version().major == postgres_major
        assert await connection.fetchval("select count(*) from pg_tables where schemaname = 'public'") == 0
        assert await connection.fetchval("select lower('ÄÖ')") == "äö"
    finally:
        await connection.close()


async def test_a_killed_postgres_comes_back_with_what_was_committed(own_postgres: Postgres) -> None:
    connection = await asyncpg.connect(own_postgres.url())
    await connection.execute("create table kept (n int); insert into kept values (7)")
    own_postgres.kill()
    await connection.close(timeout=5) if not connection.is_closed() else None
    own_postgres.start()
    connection = await asyncpg.connect(own_postgres.url())
    assert await connection.fetchval("select n from kept") == 7
    await connection.close()


def test_a_broker_comes_back_on_its_port(own_rabbitmq: RabbitMQ) -> None:
    own_rabbitmq.kill()
    assert not answers(own_rabbitmq.port)
    own_rabbitmq.start()
    assert answers(own_rabbitmq.port)
    own_rabbitmq.restart()
    assert answers(own_rabbitmq.port)


def test_a_vhost_is_there_for_the_test(rabbitmq_url: str, rabbitmq_admin_url: str) -> None:
    from harness.rabbitmq import ask

    name = rabbitmq_url.rpartition("/")[2]
    assert ask(rabbitmq_admin_url, "GET", f"/api/vhosts/{name}")["name"] == name
