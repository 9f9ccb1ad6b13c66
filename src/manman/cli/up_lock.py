"""One `manman up` for each state folder: a lock that the kernel drops with the process, and what a second start says."""

import fcntl
import os
import shutil
import time
from pathlib import Path

from manman.cli.place import is_alive
from manman.client import LocalFile
from manman.errors import BadSetting

ROOM_FIRST = 256 << 20  # database programs and cluster, the agent's ballast, and a first game
ROOM_AGAIN = 16 << 20


class Lock:
    """The state folder's lock, held as long as this object's file is open."""

    def __init__(self, state: Path) -> None:
        self.path = state / "up.lock"
        self._file: int | None = None

    def take(self) -> bool:
        """Whether it is ours now; False when another `manman up` holds it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._file = descriptor
        return True

    def release(self) -> None:
        """Give it up; harmless when it was not ours."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def prepare(state: Path) -> None:
    """Make the state folder (0711: games under numbers of their own must pass through it), or say which setting to change."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        # Games under numbers of their own must pass through; where they run as this user nobody else has business here.
        state.chmod(0o711 if os.geteuid() == 0 else 0o700)
        probe = state / f".probe-{os.getpid()}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise BadSetting(
            f"the state folder {state} cannot be written: {error.strerror}; set STATE_DIR to another folder"
        ) from error
    _must_have_room(state)


def _must_have_room(state: Path) -> None:
    """Say it before the database, the journal or a game finds out: `BadSetting` names the folder, what is free and what is needed."""
    needed = ROOM_AGAIN if any((state / "pg").glob("[0-9]*")) else ROOM_FIRST
    free = shutil.disk_usage(state).free
    if free < needed:
        raise BadSetting(
            f"the state folder {state} has {free >> 20} MiB free and needs {needed >> 20} MiB; "
            "free some, or set STATE_DIR to a folder on another disk"
        )


def who_serves(state: Path, wait: float = 20.0) -> str:
    """The sentence of a second start: where the first one serves. Waits a little for one that is still coming up."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        local = LocalFile.read(state)
        if local is not None and is_alive(local.pid):
            return f"ManMan runs already (pid {local.pid}): {local.url}  gRPC {local.grpc}  state {state}"
        time.sleep(0.2)
    return f"another `manman up` holds {state} and is still starting"
