"""What the database ends by its bounds on a transaction is told apart from a database that is away."""

import time

import pytest

from manman.errors import Unavailable
from manman.store import bounds
from manman.store.bounds import TooLong
from manman.store.pool import Pool

pytestmark = pytest.mark.both_postgres


async def test_a_process_that_thinks_too_long_within_a_transaction_is_told_so(pool: Pool) -> None:
    with pytest.raises(TooLong, match="idle-in-transaction timeout"), bounds.told_apart():
        async with pool.transaction() as conn:
            await conn.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
            while True:
                time.sleep(0.1)  # noqa: ASYNC251 (as deciding does)
                await conn.execute("SELECT")


async def test_a_statement_and_a_lock_that_take_too_long_are_told_so(pool: Pool) -> None:
    with pytest.raises(TooLong, match="statement timeout"), bounds.told_apart():
        async with pool.transaction() as conn:
            await conn.execute("SET LOCAL statement_timeout = '1ms'")
            await conn.execute("SELECT pg_sleep(5)")
    async with pool.transaction() as other:
        await other.execute("LOCK TABLE attempts")
        with pytest.raises(TooLong, match="lock timeout"), bounds.told_apart():
            async with pool.transaction() as conn:
                await conn.execute("SET LOCAL lock_timeout = '1ms'")
                await conn.execute("LOCK TABLE attempts")


async def test_a_connection_that_was_cut_is_an_outage(pool: Pool) -> None:
    with pytest.raises(Unavailable) as caught, bounds.told_apart():
        async with pool.transaction() as conn:
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert not isinstance(caught.value, TooLong)
