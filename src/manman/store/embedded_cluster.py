"""The folder of an embedded PostgreSQL: made once, entered by the panel's user alone, freed of what a dead one left."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
import signal
import stat
import tempfile
from pathlib import Path

from manman.errors import BadSetting, Permanent
from manman.observability import get_logger
from manman.store.embedded_binaries import Binaries
from manman.store.embedded_process import account, own, panel_user, spawn

log = get_logger(__name__)

USER = DATABASE = "manman"
PORT = 5432
LONGEST_SOCKET = 107
_MAJOR = re.compile(r"[1-9][0-9]*")
_STOP_SECONDS = 30.0


def majors(folder: Path) -> set[int]:
    """The major versions that there is data of."""
    if not folder.exists():
        return set()
    return {int(p.name) for p in folder.iterdir() if _MAJOR.fullmatch(p.name) and (p / "PG_VERSION").exists()}


def enter(state_dir: Path) -> Path:
    """The folder `pg` of the state directory, made if needed; the database's user can pass through.

    Raises `BadSetting` when it cannot, which is so below /root.
    """
    folder = state_dir / "pg"
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    if account() is not None:
        for ours in (state_dir, folder):
            ours.chmod(stat.S_IMODE(ours.stat().st_mode) | 0o011)
        for above in state_dir.resolve().parents:
            if not above.stat().st_mode & 0o001:
                raise BadSetting(
                    f"STATE_DIR is {state_dir}, but PostgreSQL runs as nobody, who cannot enter {above}",
                    hint="choose a folder that others may pass through, as /var/lib/manman",
                )
    for old in folder.glob("new-*"):
        shutil.rmtree(old, ignore_errors=True)
    return folder


async def make(binaries: Binaries, folder: Path, log_path: Path) -> Path:
    """A new cluster under a name of its own, renamed when it is whole; a starter that was killed leaves no half one."""
    making = folder / f"new-{secrets.token_hex(6)}"
    making.mkdir(mode=0o700)
    own(making, 0o700)
    locale = (
        ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        if binaries.major >= 17
        else ("--locale=C.UTF-8",)
    )
    with log_path.open("ab") as log_file:
        child = spawn(
            (
                *(binaries.program("initdb"), "-D", str(making), "-E", "UTF8", "-U", USER, "-A", "peer"),
                *("--wal-segsize=1", "--no-sync", "--no-instructions", *locale),
            ),
            log_file,
            signal.SIGKILL,
        )
        code = await asyncio.to_thread(child.wait)
    if code != 0:
        shutil.rmtree(making, ignore_errors=True)
        raise Permanent(f"initdb failed with code {code}: {last_words(log_path)}", hint=f"see {log_path}")
    _admit(making)
    place = folder / str(binaries.major)
    making.rename(place)
    return place


def _admit(data: Path) -> None:
    """Only the panel's user comes in, and only through the socket."""
    _write(data / "pg_hba.conf", f"local all {USER} peer map=panel\n")
    _write(data / "pg_ident.conf", f'panel "{panel_user()}" {USER}\n')


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    own(path, 0o600)


def last_words(path: Path, lines: int = 3) -> str:
    """The end of a log in one line."""
    try:
        text = path.read_bytes()[-4000:].decode("utf-8", "replace")
    except OSError:
        return ""
    return " / ".join(line.strip() for line in text.splitlines()[-lines:])


def socket_folder(folder: Path, runtime_dir: Path | None) -> Path:
    """Where the socket lies, mode 0700 of the database's user; elsewhere when the path would be too long for a socket."""
    place = folder / "socket"
    if len(os.fsencode(str(place / f".s.PGSQL.{PORT}"))) > LONGEST_SOCKET:
        name = "manman-" + hashlib.sha256(os.fsencode(str(folder.resolve()))).hexdigest()[:16]
        # Under root /run/user/0 cannot be entered by anybody else.
        place = (runtime_dir if runtime_dir is not None and account() is None else Path(tempfile.gettempdir())) / name
    place.mkdir(mode=0o700, exist_ok=True)
    found = place.lstat()
    runs_as = account()
    expected = {os.geteuid(), runs_as.pw_uid if runs_as else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in expected:
        raise Permanent(f"{place} is somebody else's; remove it")
    own(place, 0o700)
    return place


async def free(data: Path) -> None:
    """Frees a cluster of a postmaster that outlived its panel, or of the file that names a process which is none.

    We hold the state directory's lock, so a living postmaster of this folder belongs to nobody. PostgreSQL itself overcomes a
    dead pid and another user's.
    """
    mark = data / "postmaster.pid"
    pid = _pid(mark)
    if pid is None or not _lives(pid):
        return
    if not _works_in(pid, data):
        log.info("embedded_stale_pid", pid=pid)
        mark.unlink(missing_ok=True)
        return
    log.info("embedded_stop_left", pid=pid)
    for word in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if await _ended(pid, word):
            return
    raise Permanent(f"the PostgreSQL that works in {data} (pid {pid}) does not end")


async def _ended(pid: int, word: signal.Signals) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + _STOP_SECONDS
    try:
        os.kill(pid, word)
    except ProcessLookupError:
        return True
    while _lives(pid):
        if loop.time() > until:
            return False
        await asyncio.sleep(0.02)
    return True


def _pid(mark: Path) -> int | None:
    try:
        return int(mark.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _lives(pid: int) -> bool:
    """Whether there is such a process that is not only waiting to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return not Path("/proc/self").exists()


def _works_in(pid: int, data: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
    except OSError:
        return False
