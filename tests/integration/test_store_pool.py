"""Connections to PostgreSQL: what is silent is given up by kernel and driver, what takes its time is not."""

import asyncio
import socket

import pytest
from harness.proxy import Proxy

from manman.errors import Unavailable
from manman.store import pool as pools
from manman.store.settings import DatabaseSettings


@pytest.fixture
def settings(proxy: Proxy, database_url: str) -> DatabaseSettings:
    url = database_url.replace(f":{proxy.target}/", f":{proxy.port}/")
    return DatabaseSettings(database_url=url, db_pool_min=1, db_pool_max=1)


async def test_the_kernel_watches_over_every_tcp_connection(settings: DatabaseSettings) -> None:
    pool, single = await pools.connect(settings), await pools.single(settings)
    try:
        async with pool.acquire() as conn:
            for one in (conn, single):
                sock = one._transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                if hasattr(socket, "TCP_USER_TIMEOUT"):
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5000
    finally:
        single.terminate()
        await pool.close()


def test_a_unix_socket_needs_no_watch() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        pools.watch(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


@pytest.mark.parametrize("where", ["before it begins", "within"])
async def test_a_transaction_without_an_answer_ends_once_and_the_next_has_a_new_connection(
    proxy: Proxy, settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(pools, "ANSWER_SECONDS", 0.5)
    pool = await pools.connect(settings)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await _silent(proxy, pool, before=where != "within")
            async with pool.transaction() as conn:
                assert await conn.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


async def _silent(proxy: Proxy, pool: pools.Pool, *, before: bool) -> None:
    if before:
        proxy.forget()
    async with pool.transaction() as conn:
        proxy.forget()
        await conn.fetchval("SELECT 1")


async def test_whoever_has_a_bound_of_its_own_waits_for_it(
    settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "ANSWER_SECONDS", 0.2)
    conn = await pools.single(settings, statement_timeout="10min")
    try:
        await conn.execute("SELECT pg_sleep(1)")
    finally:
        conn.terminate()
