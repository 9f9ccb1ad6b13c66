"""Starting a wrapper and asking whether it lives; for the host's process runtime. The wrapper itself imports none of this."""

import fcntl
import os
import subprocess
import sys

from manman.wrapper.pipe import LOCK

Folder = str | os.PathLike[str]


class NotStarted(Exception):
    """The wrapper refused or could not begin; the text is one line for a person."""


def command(folder: Folder, *, detach: bool = True, python: str = sys.executable) -> list[str]:
    """The argument list that runs a wrapper over a session folder that holds `launch.json`.

    `detach`: the program forks twice into a session of its own and ends with 0 as soon as the wrapper holds its lock and
    listens; `kill -9` of the starter's process group leaves it. Without, it stays in the foreground (PID 1 of a container).
    Exit codes: 0 begun (a launch that cannot run is an exit record, not a failure here) · 2 no such folder, or bad
    arguments · 3 a wrapper lives there already · 4 the session had ended (a missing exit record was added).
    """
    options = ["--detach"] if detach else []
    return [python, "-I", "-S", "-B", os.path.dirname(os.path.abspath(__file__)), *options, os.fspath(folder)]


def launch(folder: Folder, *, python: str = sys.executable, timeout: float = 30.0) -> int:
    """Starts a detached wrapper and gives its pid. Blocking, some 50 ms; raises `NotStarted`.

    asyncio: run `command(folder)` with `create_subprocess_exec` instead; its standard output is the pid, its standard
    error the reason, its exit code as there.
    """
    done = subprocess.run(command(folder, python=python), capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise NotStarted(done.stderr.strip() or f"the wrapper ended with {done.returncode}")
    return int(done.stdout)


def is_alive(folder: Folder) -> bool:
    """Whether a wrapper holds this folder's lock; never a question of pids, which are reused."""
    try:
        fd = os.open(os.path.join(folder, LOCK), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
