"""Rows of sessions: written in bulk, times once, one live for each deployment; and the ids that hosts may begin them under."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from integration.store_rows import AT, a_deployment, a_host, a_session, a_step
from msgspec.structs import replace

from manman.domain import ranges
from manman.domain.ids import SessionId
from manman.domain.sessions import Desired, Restart, Session, Status
from manman.store import session_leases, sessions, sweeps
from manman.store.pool import Connection, Pool
from manman.store.sql import Part, alone, together

pytestmark = pytest.mark.both_postgres
SECOND = timedelta(seconds=1)


async def ids(conn: Connection, part: Part) -> list[int]:
    """Write rows of sessions; their ids."""
    return [row["id"] for row in await alone(conn, part)]


async def walked(conn: Connection, row: Session) -> Session:
    """A session that was written through starting and running to stopping, a second each."""
    steps = [
        (Status.STARTING, {}),
        (Status.RUNNING, {"started_at": AT + 2 * SECOND, "players": 3}),
        (Status.STOPPING, {"desired": Desired.STOPPED}),
    ]
    for number, (status, changes) in enumerate(steps, 1):
        after = replace(row, status=status, number=number + 1, at=AT + number * SECOND, **changes)
        write = sessions.update_session_start if status is Status.RUNNING else sessions.update_status
        assert await ids(conn, write([after], [a_step(row, after)])) == [1]
        row = after
    return row


async def test_a_session_goes_its_way_and_each_time_is_written_once(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        deployment = await a_deployment(conn, host)
        begun = a_session(1, deployment, host, cause="restart_policy", previous_session_id=None, launch="abc")
        assert await ids(conn, sessions.insert([begun], [a_step(None, begun)])) == [1]
        row = await walked(conn, begun)
        over = replace(
            row,
            status=Status.STOPPED,
            number=5,
            at=AT + 9 * SECOND,
            ended_at=AT + 9 * SECOND,
            exit_code=0,
            reason="exited",
        )
        assert await ids(conn, sessions.update_session_end([over], [a_step(row, over)])) == [1]
        found = await conn.fetchrow("SELECT * FROM sessions WHERE id = 1")
        times = [found[name] for name in ("starting_at", "started_at", "stopping_at", "ended_at")]
        assert times == [AT + SECOND, AT + 2 * SECOND, AT + 3 * SECOND, AT + 9 * SECOND]
        assert (found["status"], found["exit_code"], found["reason"], found["history_number"]) == (
            "stopped",
            0,
            "exited",
            5,
        )
        assert (found["players"], found["launch"], found["deadline_at"], found["config_revision"]) == (
            3,
            "abc",
            None,
            1,
        )


async def test_a_whole_life_in_one_batch_is_one_row_with_all_times(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        deployment = await a_deployment(conn, host)
        begun = a_session(1, deployment, host)
        starting = replace(begun, status=Status.STARTING, number=2, at=AT + SECOND)
        crashed = replace(
            starting,
            status=Status.CRASHED,
            number=3,
            at=AT + 2 * SECOND,
            ended_at=AT + 2 * SECOND,
            signal=9,
            reason="signalled",
        )
        plan = Restart(attempt=1, of=5, at=AT + 7 * SECOND)
        moved = [a_step(None, begun), a_step(begun, starting), a_step(starting, crashed, restart=plan)]
        await ids(conn, sessions.insert([crashed], moved))
        found = await conn.fetchrow("SELECT * FROM sessions")
        assert (found["status"], found["signal"], found["starting_at"]) == ("crashed", 9, AT + SECOND)
        assert found["restart"] == {"attempt": 1, "of": 5, "at": "2026-01-02T03:04:12.678901Z"}


async def test_many_rows_are_one_statement(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        rows = [a_session(n, await a_deployment(conn, host), host) for n in range(1, 51)]
        assert len(await ids(conn, sessions.insert(rows))) == 50
        running = [replace(r, status=Status.RUNNING, number=3, started_at=AT) for r in rows]
        assert await ids(conn, sessions.update_session_start(running)) == [r.id for r in rows]
        assert await conn.fetchval("SELECT count(*) FROM sessions WHERE status = 'running'") == 50


async def test_statements_that_travel_together_keep_their_own_parameters(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        row = a_session(1, await a_deployment(conn, host), host)
        later = a_session(2, await a_deployment(conn, host), host)
        parts = [
            sessions.insert([row], deadline=timedelta(seconds=60)),
            session_leases.write({host: ((5, 9),)}),
            sessions.insert([later], deadline=timedelta(seconds=120)),
        ]
        await together(conn, parts)
        due = await conn.fetch("SELECT deadline_at - clock() > interval '90 seconds' AS late FROM sessions ORDER BY id")
        assert [d["late"] for d in due] == [False, True]
        assert await conn.fetchval("SELECT ids::text FROM session_leases WHERE host = $1", host) == "{[5,10)}"


async def test_two_live_sessions_of_a_deployment_are_a_violation(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        deployment = await a_deployment(conn, host)
        first, second = a_session(1, deployment, host), a_session(2, deployment, host, run=2)
        await ids(conn, sessions.insert([first]))
        with pytest.raises(asyncpg.UniqueViolationError):
            await ids(conn, sessions.insert([second]))
        await ids(
            conn,
            sessions.update_session_end(
                [replace(first, status=Status.CRASHED, number=2, ended_at=AT, reason="unknown")]
            ),
        )
        assert await ids(conn, sessions.insert([second])) == [2]


async def test_progress_moves_the_start_deadline(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        row = a_session(1, await a_deployment(conn, host), host)
        await ids(conn, sessions.insert([row], deadline=timedelta(seconds=120)))
        later = replace(row, progress=0.5, progressed_at=AT + timedelta(hours=1))
        await ids(conn, sessions.update_status([later], deadline=timedelta(seconds=120)))
        found = await conn.fetchrow("SELECT deadline_at, progress FROM sessions")
        assert found["deadline_at"] == AT + timedelta(hours=1, seconds=120)
        assert found["progress"] == 0.5


@pytest.mark.parametrize("hinder", [None, "silent host", "unsettled", "not due"])
async def test_a_start_is_over_only_where_it_could_have_been_heard(pool: Pool, hinder: str | None) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        deployment = await a_deployment(conn, host)
        await ids(conn, sessions.insert([a_session(1, deployment, host)]))
        await conn.execute("UPDATE sessions SET deadline_at = clock() - interval '1 second'")
        await conn.execute("UPDATE host_heartbeats SET online = true, last_seen = clock()")
        match hinder:
            case "silent host":
                await conn.execute("UPDATE host_heartbeats SET last_seen = clock() - interval '11 seconds'")
            case "unsettled":
                await conn.execute(
                    "INSERT INTO host_journals (host, journal, seen, told, last_used) VALUES ($1, 'j', '{[1,5)}', 5, clock())",
                    host,
                )
            case "not due":
                await conn.execute("UPDATE sessions SET deadline_at = clock() + interval '1 minute'")
        due = await sweeps.due_starts(conn, timedelta(seconds=10), 10)
        assert due == ([] if hinder else [1])


async def test_a_live_session_keeps_its_deployment_and_host(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        deployment = await a_deployment(conn, host)
        row = a_session(1, deployment, host)
        await ids(conn, sessions.insert([row]))
        for table, key in (("deployments", deployment), ("hosts", host), ("sessions", 1)):
            with pytest.raises((asyncpg.RestrictViolationError, asyncpg.ForeignKeyViolationError)):
                await conn.execute(f"DELETE FROM {table} WHERE id = $1", key)
        await ids(
            conn,
            sessions.update_session_end([replace(row, status=Status.STOPPED, number=2, ended_at=AT, reason="exited")]),
        )
        await conn.execute("DELETE FROM deployments WHERE id = $1", deployment)
        assert await conn.fetchval("SELECT count(*) FROM sessions") == 0


async def test_a_host_has_its_lease_and_an_id_is_used_once(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        granted = await session_leases.grant(conn, host)
        assert ranges.size(granted) == 50
        first = SessionId(granted[0][0])
        assert await session_leases.use(conn, host, first)
        assert not await session_leases.use(conn, host, first)
        again = await session_leases.grant(conn, host)
        assert ranges.size(again) == 50 and not ranges.contains(again, first)
        await together(conn, [session_leases.write({host: ranges.without(again, [again[0][0]])})])
        assert ranges.size(await session_leases.grant(conn, host, 60)) == 60


async def test_a_host_with_many_deployments_has_a_lease_for_each_four_times(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        for _ in range(20):
            await a_deployment(conn, host)
        assert ranges.size(await session_leases.grant(conn, host)) == 80


async def test_leases_granted_at_once_share_no_id(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = [await a_host(conn) for _ in range(10)]

    async def grant(host: int) -> set[int]:
        async with pool.transaction() as conn:
            given = await session_leases.grant(conn, host)  # type: ignore[arg-type]
            return {n for first, last in given for n in range(first, last + 1)}

    sets = await asyncio.gather(*(grant(host) for host in made))
    assert len(set.union(*sets)) == sum(len(s) for s in sets) == 500
