"""The schema's steps: forward and back, on data, from several replicas at once, and held to their dump."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from harness.postgres import execute

from manman.errors import Permanent, TimedOut
from manman.store import migrate
from manman.store.settings import DatabaseSettings

pytestmark = pytest.mark.both_postgres
STORE = Path(migrate.__file__).parent


async def test_several_replicas_migrate_an_empty_database_at_once(empty_database_url: str) -> None:
    reached = await asyncio.gather(*(migrate.up(empty_database_url) for _ in range(5)))
    assert all(status.ready for status in reached)
    assert {status.current for status in reached} == {migrate.head()}


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = _dump(database_url)
    status = await migrate.up(database_url)
    assert status.ready
    assert _dump(database_url) == before


async def test_an_empty_database_is_behind_and_check_names_the_command(empty_database_url: str) -> None:
    status = await migrate.status(empty_database_url)
    assert status.current is None
    assert [step.revision for step in status.pending] == [step.revision for step in migrate.steps()]
    with pytest.raises(Permanent) as refused:
        await migrate.check(empty_database_url)
    assert refused.value.hint == "manman migrate up"


async def test_a_newer_database_is_left_alone(database_url: str) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '0999'")
    for call in (migrate.up, migrate.down, migrate.check):
        with pytest.raises(
            migrate.NewerDatabase,
            match=f"database is at 0999, this version knows {migrate.head()}; STATE_DIR=… for another",
        ):
            await call(database_url)
    assert (await migrate.status(database_url)).newer


async def test_each_step_goes_back_and_forth_on_data(empty_database_url: str) -> None:
    for step in migrate.steps():
        await migrate.up(empty_database_url, to=step.revision)
        before = _dump(empty_database_url)
        if step.revision == "0001":
            await _fill(empty_database_url)
        below = await migrate.down(empty_database_url)
        assert step in below.pending
        await migrate.up(empty_database_url, to=step.revision)
        assert _dump(empty_database_url) == before


async def test_a_release_from_before_0004_starts_sessions_in_a_database_that_was_migrated_under_it(
    empty_database_url: str, database_url: str
) -> None:
    await migrate.up(empty_database_url, to="0003")
    await _fill(empty_database_url)
    await migrate.up(empty_database_url)
    conn = await asyncpg.connect(empty_database_url)
    assert await conn.fetchval(START_BEFORE_0004) is None, "the deployment has a live session"
    await conn.execute("UPDATE sessions SET status = 'stopped', ended_at = clock()")
    assert await conn.fetchval(START_BEFORE_0004) is not None
    assert await conn.fetchval(START_BEFORE_0004) is None
    await conn.close()
    # Where no such release was ever, nothing is kept for it.
    assert "sessions_one_live_before" not in _dump(database_url)


async def test_everything_goes_back_to_an_empty_database(database_url: str, empty_database_url: str) -> None:
    await _fill(database_url)
    status = await migrate.down(database_url, to="base")
    assert status.current is None
    conn = await asyncpg.connect(database_url)
    left = await conn.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S', 'v')"
    )
    routines = await conn.fetch(
        "SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )
    await conn.close()
    assert [row["relname"] for row in left] == ["alembic_version"]
    assert routines == []


async def test_an_unknown_revision_is_refused_by_name(database_url: str) -> None:
    with pytest.raises(Permanent, match="there is no revision 0998; known are 0001"):
        await migrate.down(database_url, to="0998")


async def test_who_migrates_is_waited_for_and_not_for_ever(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn = await asyncpg.connect(empty_database_url)
    await conn.execute(f"SELECT pg_advisory_lock({migrate.LOCK})")
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0.5)
    with pytest.raises(TimedOut, match="another process has been migrating"):
        await migrate.up(empty_database_url)
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 60.0)
    waiting = asyncio.create_task(migrate.up(empty_database_url))
    await asyncio.sleep(0.3)
    # A waiter holds no snapshot that an index built concurrently would have to wait for.
    held = await conn.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND (backend_xmin IS NOT NULL OR wait_event_type = 'Lock')"
    )
    assert held == 0
    await conn.close()
    assert (await waiting).ready


async def test_a_step_whose_table_is_busy_is_tried_again(empty_database_url: str) -> None:
    await migrate.up(empty_database_url, to="0001")
    conn = await asyncpg.connect(empty_database_url)
    transaction = conn.transaction()
    await transaction.start()
    await conn.execute("LOCK TABLE installation")
    going = asyncio.create_task(migrate.down(empty_database_url))
    await asyncio.sleep(3)
    assert not going.done()
    await transaction.rollback()
    await conn.close()
    assert (await going).current is None


async def test_the_dump_of_head_is_schema_sql(database_url: str, empty_database_url: str) -> None:
    execute(empty_database_url, (STORE / "schema.sql").read_text(encoding="utf-8"))
    assert _dump(empty_database_url) == _dump(database_url)


def test_the_newest_file_is_the_newest_step() -> None:
    assert migrate.head() == migrate.steps()[-1].revision
    assert [step.revision for step in migrate.steps()] == sorted(step.revision for step in migrate.steps())


async def test_no_column_has_a_time_as_its_default(database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    defaults = await conn.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_default ~* '(now\\(|current_timestamp|clock)'"
    )
    await conn.close()
    assert defaults == []


def test_a_url_and_settings_are_the_same_to_it() -> None:
    assert migrate._settings("postgresql://x/y") == DatabaseSettings(database_url="postgresql://x/y")


async def _fill(url: str) -> None:
    execute(
        url,
        "INSERT INTO hosts (id, name, created_at, updated_at) VALUES (1, 'box', clock(), clock())",
        "INSERT INTO games (id, name, created_at, updated_at) VALUES (1, 'teeworlds', clock(), clock())",
        "INSERT INTO game_configs (id, game, name, created_at, updated_at) VALUES (1, 1, 'dm', clock(), clock())",
        "INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock())",
        "INSERT INTO deployments (id, name, host, config, config_revision, created_at, updated_at)"
        " VALUES (1, 'arena', 1, 1, 1, clock(), clock())",
        "INSERT INTO ports (deployment, name, host, port, protocol) VALUES (1, 'game', 1, 8303, 'udp')",
        "INSERT INTO sessions (id, host, deployment, created_at, at, config, config_revision)"
        " VALUES (1, 1, 1, clock(), clock(), 1, 1)",
        "INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)"
        " VALUES (1, 1, 'pending', clock(), clock(), 'user anna')",
        "SELECT audit_month(clock())",
        "INSERT INTO audit (at, caller, credential, method) VALUES (clock(), 'anna', 'login', 'Sessions.StartSession')",
        "INSERT INTO outbox (event_id, type, key, body, created_at)"
        " VALUES (gen_random_uuid(), 'manman.session.pending', 'manman.session.pending', '{}', clock())",
    )


def _dump(url: str) -> str:
    """Columns, constraints, indexes, triggers, functions and options of a database, the same on every version of the server."""

    async def ask() -> str:
        conn = await asyncpg.connect(url)
        try:
            return "\n".join(row["said"] for row in await conn.fetch(CATALOGUE))
        finally:
            await conn.close()

    return _aside(ask())


def _aside(asked: Coroutine[Any, Any, str]) -> str:
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(lambda: asyncio.run(asked)).result()


START_BEFORE_0004 = """
INSERT INTO sessions (id, host, deployment, status, desired, run, begun_version, cause, created_at, at, deadline_at, config,
                      config_revision, deployment_version, labels, history_number)
VALUES (nextval(pg_get_serial_sequence('sessions', 'id')), 1, 1, 'pending', 'running', 2, 1, 'user', clock(), clock(), clock(), 1, 1, 1,
        '{}', 1)
ON CONFLICT (deployment) WHERE status IN ('pending', 'starting', 'running', 'stopping') DO NOTHING
RETURNING id
"""
CATALOGUE = """
SELECT format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
              pg_get_expr(d.adbin, d.adrelid)) AS said
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'
UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
   AND conrelid::regclass::text <> 'alembic_version'
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT format('options %s %s', relname, reloptions) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
ORDER BY said
"""
