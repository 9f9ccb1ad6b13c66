"""Brings the database to a version: `up`, `down`, `status`, `check`. The steps are Alembic's, their SQL is handwritten.

One replica at a time works, under an advisory lock that is asked for again and again and never waited for: a waiter's snapshot would
deadlock with an index that is built concurrently. So any number of replicas may call `up` at once, and each returns when the
database is there. A database that is newer than this version is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from manman.errors import Permanent, TimedOut, Unavailable
from manman.observability import acts, get_logger, observe
from manman.store.pool import Connection, single
from manman.store.settings import DatabaseSettings

log = get_logger(__name__)

FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x6D616E6D616E  # "manman"
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.1
# A step that does not get its table lock in 2 s steps back, lets the others work, and tries again.
BUSY_TRIES = 10
BOUNDS = {"statement_timeout": "10min", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "60s"}


class NewerDatabase(Permanent):
    """The database was migrated by a later version."""

    code = "failed_precondition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the schema: its number, what it does in a sentence, and its SQL in both directions."""

    revision: str
    title: str
    up: str
    down: str
    transactional: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a database is. `current` is None for an empty one; `pending` are the steps that `up` would take, in order."""

    current: str | None
    head: str
    pending: tuple[Step, ...]
    newer: bool = False

    @property
    def ready(self) -> bool:
        """Whether this version can work on it now."""
        return not self.pending and not self.newer


@cache
def steps() -> tuple[Step, ...]:
    """All steps that this version knows, the first one first. Imports Alembic, which takes about half a second."""
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(FOLDER))
    found = [_step(script) for script in directory.walk_revisions()]
    return tuple(reversed(found))


@cache
def head() -> str:
    """The newest revision that this version knows, by the names of the files: a start with nothing to do needs no Alembic."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def _step(script: Any) -> Step:
    path = Path(script.path)
    return Step(
        revision=script.revision,
        title=script.doc,
        up=path.with_suffix(".up.sql").read_text(encoding="utf-8"),
        down=path.with_suffix(".down.sql").read_text(encoding="utf-8"),
        transactional=getattr(script.module, "transactional", True),
    )


async def up(database: str | DatabaseSettings, *, to: str | None = None) -> Status:
    """Takes every step that is missing (up to `to`); harmless when there is none, and from several replicas at once.

    Raises `NewerDatabase`, `OutOfReach` when the database refuses, `Unavailable` when it goes away or stays busy, `TimedOut` when
    another replica works for longer than two minutes.
    """
    async with _alone(database) as conn:
        before = await _status(conn)
        _refuse_newer(before)
        wanted = [step for step in before.pending if to is None or step.revision <= to]
        with observe(acts.MIGRATE, to=to or before.head) as seen:
            for step in wanted:
                await _take(conn, step, step.up, step.revision)
                seen.add(steps=1)
        return await _status(conn)


async def down(database: str | DatabaseSettings, *, to: str | None = None) -> Status:
    """Takes steps back: to the revision given, to the empty database for "base", by one when nothing is given.

    Raises as `up`, and `Permanent` for a revision that is not known.
    """
    known = [step.revision for step in steps()]
    if to is not None and to not in (*known, "base"):
        raise Permanent(f"there is no revision {to}; known are {', '.join(known)} and base")
    async with _alone(database) as conn:
        before = await _status(conn)
        _refuse_newer(before)
        with observe(acts.MIGRATE, to=to or "previous") as seen:
            for step, target in _way_back(before.current, to):
                await _take(conn, step, step.down, target)
                seen.add(steps=1)
        return await _status(conn)


def _way_back(current: str | None, to: str | None) -> list[tuple[Step, str | None]]:
    """The steps to undo, the newest first, each with the revision that is left."""
    done = [step for step in steps() if current is not None and step.revision <= current]
    before = [None, *(step.revision for step in done)]
    pairs = list(zip(done, before, strict=False))[::-1]
    if to is None:
        return pairs[:1]
    return [(step, left) for step, left in pairs if to == "base" or step.revision > to]


async def status(database: str | DatabaseSettings) -> Status:
    """Where the database is; changes nothing."""
    conn = await single(_settings(database))
    try:
        return await _status(conn)
    finally:
        await conn.close()


async def check(database: str | DatabaseSettings) -> Status:
    """The status of a database that this version can work on.

    Raises `NewerDatabase`, or `Permanent` that names the command when steps are missing.
    """
    found = await status(database)
    _refuse_newer(found)
    if found.pending:
        raise Permanent(
            f"database is at {found.current or 'nothing'}, this version needs {found.head}", hint="manman migrate up"
        )
    return found


def _settings(database: str | DatabaseSettings) -> DatabaseSettings:
    return DatabaseSettings(database_url=database) if isinstance(database, str) else database.require()


@asynccontextmanager
async def _alone(database: str | DatabaseSettings) -> AsyncIterator[Connection]:
    conn = await single(_settings(database), **BOUNDS)
    try:
        await _lock(conn)
        yield conn
    finally:
        await conn.close()


async def _lock(conn: Connection) -> None:
    """The lock is the connection's and goes with it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        if asyncio.get_running_loop().time() > deadline:
            raise TimedOut(f"another process has been migrating this database for {PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


async def lacking(conn: Connection) -> str | None:
    """What this version misses in the database, None where it can work on it. Asks by numbers, without Alembic: one that a later
    release migrated is well."""
    current = await _current(conn)
    if current is not None and current >= head():
        return None
    return f"database is at {current or 'nothing'}, this version needs {head()}"


async def require(conn: Connection) -> None:
    """Raises `Permanent`, naming the command, when steps are missing."""
    missing = await lacking(conn)
    if missing is not None:
        raise Permanent(missing, hint="manman migrate up")


async def _current(conn: Connection) -> str | None:
    if await conn.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found: str | None = await conn.fetchval("SELECT version_num FROM alembic_version")
    return found


async def _status(conn: Connection) -> Status:
    current = await _current(conn)
    if current == head():
        return Status(current=current, head=head(), pending=())
    known = steps()
    newer = current is not None and current not in {step.revision for step in known}
    pending = () if newer else tuple(step for step in known if current is None or step.revision > current)
    return Status(current=current, head=known[-1].revision, pending=pending, newer=newer)


def _refuse_newer(found: Status) -> None:
    if found.newer:
        raise NewerDatabase(
            f"database is at {found.current}, this version knows {found.head}; STATE_DIR=… for another",
            hint="use the version that made it, or another STATE_DIR or DATABASE_URL",
        )


async def _take(conn: Connection, step: Step, text: str, left: str | None) -> None:
    """One step in one direction with its mark; a concurrent build is outside of a transaction, its mark follows."""
    import asyncpg

    for attempt in range(1, BUSY_TRIES + 1):
        try:
            if not step.transactional:
                await conn.execute(text)
            async with conn.transaction():
                if step.transactional:
                    await conn.execute(text)
                await _mark(conn, left)
            return
        except asyncpg.LockNotAvailableError as error:
            if attempt == BUSY_TRIES:
                raise Unavailable(f"step {step.revision} found its tables busy {BUSY_TRIES} times") from error
            log.info("migrate_busy", revision=step.revision, attempt=attempt)
            await asyncio.sleep(POLL_SECONDS * attempt)


async def _mark(conn: Connection, revision: str | None) -> None:
    await conn.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)")
    await conn.execute("DELETE FROM alembic_version")
    if revision is not None:
        await conn.execute("INSERT INTO alembic_version VALUES ($1)", revision)
