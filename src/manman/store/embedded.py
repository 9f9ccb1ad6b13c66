"""The PostgreSQL that `manman up` brings along: its data lies in the state directory and survives everything but its removal.

    embedded = await Embedded.start(state_dir)     # the caller holds the state directory's lock
    pool = await connect(DatabaseSettings(database_url=embedded.dsn))
    …
    await embedded.stop()

It listens on a socket in a folder that only its user can enter, and admits only the user that we are. It ends with us, also when
we are killed. When it ends by itself (a full disk makes it panic) it is started again, with backoff, for as long as it takes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg

from manman.errors import Unavailable
from manman.observability import acts, get_logger, observe
from manman.store import embedded_binaries as programs
from manman.store import embedded_cluster as cluster
from manman.store.embedded_binaries import Binaries
from manman.store.embedded_process import account, spawn

log = get_logger(__name__)

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
# To come back after a panic it needs one WAL segment (1 MB) and a little for its files.
NEEDED_BYTES = 4 << 20
LONGEST_LOG = 8 << 20

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(cluster.PORT),
    "max_connections": "100",
    "shared_buffers": "64MB",
    "min_wal_size": "8MB",
    "max_wal_size": "128MB",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


class Embedded:
    """A running PostgreSQL. `dsn` is for asyncpg; `trouble` says in a sentence why it is not up right now, else None."""

    def __init__(self, state_dir: Path, runtime_dir: Path | None) -> None:
        self._folder = cluster.enter(state_dir)
        self._log_path = self._folder / "postgres.log"
        self._binaries = self._choose()
        self._socket = cluster.socket_folder(self._folder, runtime_dir)
        self._data = self._folder / str(self._binaries.major)
        self._child: subprocess.Popen[bytes] | None = None
        self._watching: asyncio.Task[None] | None = None
        self.trouble: str | None = None

    @classmethod
    async def start(cls, state_dir: Path, *, runtime_dir: Path | None = None) -> Embedded:
        """Makes the cluster if there is none, starts it, and returns when the database takes connections.

        To be called on a loop in the main thread, by whoever holds the state directory's lock; `runtime_dir` (XDG_RUNTIME_DIR) is
        for the socket where the state directory's path is too long. Raises `NoPostgres`, `BadSetting`, `Permanent` with the last
        words of the log, or `Unavailable` when it does not come up within a minute.
        """
        with observe(acts.EMBEDDED_START) as seen:
            embedded = cls(state_dir, runtime_dir)
            seen.add(major=embedded.major)
            if not embedded._data.exists():
                seen.add(made=True)
                await cluster.make(embedded._binaries, embedded._folder, embedded._log_path)
            try:
                await embedded._begin_within(READY_SECONDS)
                await embedded._make_database()
            except BaseException:
                await embedded.stop()
                raise
            embedded._watching = asyncio.create_task(embedded._watch(), name="embedded-postgres")
            return embedded

    @property
    def dsn(self) -> str:
        """The address of the database `manman` as its owner `manman`, through the socket."""
        return self._address(cluster.DATABASE)

    @property
    def major(self) -> int:
        """The major version that runs."""
        return self._binaries.major

    @property
    def pid(self) -> int | None:
        """The postmaster's process, None while there is none."""
        return None if self._child is None or self._child.poll() is not None else self._child.pid

    async def stop(self) -> None:
        """Ends it: connections are cut, data is written. Harmless when it is not running."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None
        for word in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self._child is None or await self._ends_by(self._child, word):
                break
        self._child = None

    async def _ends_by(self, child: subprocess.Popen[bytes], word: signal.Signals) -> bool:
        if child.poll() is None:
            child.send_signal(word)
        return await _until(lambda: child.poll() is not None, STOP_SECONDS)

    def _choose(self) -> Binaries:
        found = programs.choose(cluster.majors(self._folder))
        if account() is None or found.wheel is None:
            return found
        return programs.copied(found, self._folder / f"bin-{found.major}")

    def _address(self, database: str) -> str:
        return f"postgresql://{cluster.USER}@/{database}?host={quote(str(self._socket), safe='')}&port={cluster.PORT}"

    async def _begin_within(self, seconds: float) -> None:
        """Started and ready; a start that fails at once (a backend of the last one is not gone yet) is tried again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        delay = FIRST_DELAY
        while not await self._begin(until - loop.time()):
            if loop.time() + delay > until:
                raise Unavailable(f"PostgreSQL does not start: {self._why()}", hint=f"see {self._log_path}")
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)

    async def _begin(self, seconds: float) -> bool:
        """One start; False when it ended before it was ready, or did not become ready in time."""
        await cluster.free(self._data)
        self._rotate()
        settings = _SETTINGS | {"unix_socket_directories": str(self._socket)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log_path.open("ab") as log_file:
            child = spawn(
                (self._binaries.program("postgres"), "-D", str(self._data), *options), log_file, signal.SIGINT
            )
        self._child = child
        if await _until(lambda: child.poll() is not None or self._takes_connections(), seconds):
            return child.poll() is None
        return False

    def _takes_connections(self) -> bool:
        """Asked without an account of its own, so that no probe leaves a line in the log."""
        asked = subprocess.run(
            (
                *(self._binaries.program("pg_isready"), "-q", "-h", str(self._socket), "-p", str(cluster.PORT)),
                *("-U", cluster.USER, "-d", "postgres"),
            ),
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            timeout=10,
            check=False,
        )
        return asked.returncode == 0

    async def _make_database(self) -> None:
        conn = await asyncpg.connect(self._address("postgres"), timeout=10)
        try:
            if not await conn.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", cluster.DATABASE):
                await conn.execute(f"CREATE DATABASE {cluster.DATABASE}")
        finally:
            await conn.close()

    async def _watch(self) -> None:
        """Starts it again whenever it ends by itself."""
        delay = FIRST_DELAY
        while True:
            child = self._child
            if child is not None and child.poll() is None:
                await asyncio.sleep(FIRST_DELAY)
                delay, self.trouble = FIRST_DELAY, None
                continue
            why = self._why()
            if why != self.trouble:
                log.warning("embedded_ended", reason=why)
                self.trouble = why
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY)
            with suppress(OSError, subprocess.SubprocessError):
                if await self._begin(READY_SECONDS):
                    log.info("embedded_back", pid=self.pid)

    def _why(self) -> str:
        """What a person can do about it, in a sentence."""
        free = shutil.disk_usage(self._folder).free
        if free < NEEDED_BYTES:
            return (
                f"the disk of {self._folder} is full: PostgreSQL needs {NEEDED_BYTES >> 20} MB there and "
                f"{free >> 10} KB are free; it is started again as soon as there is room"
            )
        return cluster.last_words(self._log_path) or "it ended without a word"

    def _rotate(self) -> None:
        with suppress(OSError):
            if self._log_path.stat().st_size > LONGEST_LOG:
                os.replace(self._log_path, self._log_path.with_suffix(".log.1"))


async def _until(done: Callable[[], bool], seconds: float) -> bool:
    """Whether `done()` came true in time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not done():
        if loop.time() > until:
            return False
        await asyncio.sleep(0.02)
    return True
