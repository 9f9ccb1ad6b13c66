"""The services of a test run: started when first asked for, once, whatever the number of test processes.

A run has a home, a folder in /tmp, and an owner, the process whose end is the run's end: `make test`, or pytest
when it is called directly. Both are handed to test processes in the environment.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.processes import ServiceFailed

HOME = "MANMAN_TEST_HOME"
OWNER = "MANMAN_TEST_OWNER"
TESTS = Path(__file__).resolve().parent.parent


def begin() -> Path | None:
    """Make this process the owner of a run and return its home; None when it already belongs to one."""
    if HOME in os.environ:
        return None
    home = Path(tempfile.mkdtemp(prefix="mm", dir="/tmp"))  # short: socket paths have 107 bytes
    home.chmod(0o711)  # other users pass through it to what is theirs
    os.environ[HOME] = str(home)
    os.environ[OWNER] = str(os.getpid())
    return home


def end(home: Path, patience: float = 90) -> None:
    """Stop every service of a run, wait until they are gone, remove the home."""
    keepers = [said["pid"] for said in map(_read, home.glob("*.json")) if "pid" in said]
    for pid in keepers:
        _signal(pid, signal.SIGTERM)
    until = time.monotonic() + patience
    while any(_lives(pid) for pid in keepers) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in filter(_lives, keepers):
        _signal(pid, signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)
    os.environ.pop(HOME, None)
    os.environ.pop(OWNER, None)


def home() -> Path:
    """The folder of this run."""
    return Path(os.environ[HOME])


def service(name: str) -> dict[str, Any]:
    """What a shared service said when it was ready: `url`, `admin_url`. Raises ServiceFailed with its last words."""
    answer = home() / f"{name}.json"
    if not answer.exists():
        with once(name):
            if not answer.exists():
                _start(name, answer)
    said = _read(answer)
    if "error" in said:
        raise ServiceFailed(f"{name}: {said['error']}")
    return said


class once:
    """A lock between the processes of a run: `with once("template-15"): …`."""

    def __init__(self, name: str) -> None:
        self._path = home() / f"{name}.lock"

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _start(name: str, answer: Path) -> None:
    command = [sys.executable, "-m", "harness.keeper", name, str(home()), os.environ[OWNER]]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    log = home() / f"{name}.keeper.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, start_new_session=True, cwd="/"
        )
    while not answer.exists():
        if child.poll() is not None and not answer.exists():
            raise ServiceFailed(f"{name}: its keeper ended:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)
    child.returncode = 0  # it outlives us on purpose: the run's owner ends it


def _read(path: Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(path.read_text())
    return said


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
