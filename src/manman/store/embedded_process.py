"""How the embedded PostgreSQL is spawned: as nobody when we are root, and ended by the kernel when we are gone."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from manman.errors import Permanent

_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def account() -> pwd.struct_passwd | None:
    """Who the database runs as: `nobody` when we are root, which PostgreSQL refuses to be; else ourselves (None)."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def panel_user() -> str:
    """The name of the user that we are, as the database sees it at the socket."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise Permanent(
            f"user {os.geteuid()} has no name on this machine, so PostgreSQL cannot run as it",
            hint="set DATABASE_URL, or add the user to /etc/passwd",
        ) from None


def own(path: Path, mode: int) -> None:
    """Gives a folder to whoever the database runs as."""
    runs_as = account()
    if runs_as is not None:
        os.chown(path, runs_as.pw_uid, runs_as.pw_gid)
    path.chmod(mode)


def spawn(arguments: Sequence[str], log: IO[bytes], dies_by: signal.Signals) -> subprocess.Popen[bytes]:
    """Starts a program of the database. When this process goes, however it goes, the kernel sends `dies_by`.

    That signal follows the thread, not the process, so only the main thread may call this.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the database is spawned from the main thread: its end would follow the end of any other")
    runs_as = account()
    return subprocess.Popen(
        list(arguments),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        env=_ENVIRONMENT,
        user=runs_as.pw_uid if runs_as else None,
        group=runs_as.pw_gid if runs_as else None,
        extra_groups=[] if runs_as else None,
        umask=0o077,
        start_new_session=True,
        preexec_fn=_dying_with_us(dies_by),
    )


def _dying_with_us(signal_: signal.Signals) -> Callable[[], None] | None:
    """To be called in the child after it changed users, which would clear the setting."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def set_it() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal_), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return set_it
