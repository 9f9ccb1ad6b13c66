"""One `manman up` for each state folder: a lock that the kernel drops with the process, and what a second start says."""

import fcntl
import os
import time
from pathlib import Path

from manman.cli.place import is_alive
from manman.client import LocalFile
from manman.errors import BadSetting


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
        state.chmod(0o711)
        probe = state / f".probe-{os.getpid()}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise BadSetting(
            f"the state folder {state} cannot be written: {error.strerror}; set STATE_DIR to another folder"
        ) from error


def who_serves(state: Path, wait: float = 20.0) -> str:
    """The sentence of a second start: where the first one serves. Waits a little for one that is still coming up."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        local = LocalFile.read(state)
        if local is not None and is_alive(local.pid):
            return f"ManMan runs already (pid {local.pid}): {local.url}  gRPC {local.grpc}  state {state}"
        time.sleep(0.2)
    return f"another `manman up` holds {state} and is still starting"
