"""Child processes that die with us, free ports, and who of ours is still alive."""

import contextlib
import ctypes
import functools
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ServiceFailed(Exception):
    """A service that the tests need did not start; the text has its last words. It fails the run, it skips nothing."""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody has at this moment, for TCP and UDP; below those that the system gives to outgoing connections: a
    client that knocks while nobody listens may be given the very port, and holds it then."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(lowest - 12000, lowest)
        with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path | int,
    as_nobody: bool = False,
    dies_by: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own that gets `dies_by` when the thread that calls this ends.

    Call from the main thread. `as_nobody` counts only for root.
    """
    arguments: dict[str, Any] = {}
    if as_nobody and os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        arguments = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    out: IO[bytes] | int = log.open("ab") if isinstance(log, Path) else log
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=functools.partial(_libc.prctl, PR_SET_PDEATHSIG, int(dies_by)),
            **arguments,
        )
    finally:
        if isinstance(log, Path):
            out.close()  # type: ignore[union-attr]


def stop(child: subprocess.Popen[bytes] | None, by: signal.Signals = signal.SIGTERM, patience: float = 60) -> None:
    """Ask a child to end, wait, and kill it when it does not."""
    if child is None:
        return
    if child.poll() is None:
        child.send_signal(by)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait_until(
    ready: Callable[[], bool],
    what: str,
    *,
    alive: Callable[[], bool] = lambda: True,
    log: Path | None = None,
    seconds: float = 120,
) -> None:
    """Ask `ready` until it is true. Raises ServiceFailed when `alive` turns false or `seconds` have passed."""
    until = time.monotonic() + seconds
    while not ready():
        if not alive() or time.monotonic() > until:
            raise ServiceFailed(f"{what} did not start; its last words:\n{last_words(log)}")
        time.sleep(0.02)


def last_words(log: Path | None, count: int = 15) -> str:
    """The end of a log file, for people."""
    if log is None or not log.exists():
        return "(none)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def answers(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mentioning(folder: Path) -> list[psutil.Process]:
    """The processes that belong to `folder`: it is in their arguments, their environment or is where they run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            told = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in told):
            found.append(process)
    return found


def words_of(process: psutil.Process) -> str:
    """A process's command line, shortened; nothing when it is gone meanwhile."""
    try:
        return " ".join(process.cmdline())[:150]
    except psutil.Error:
        return ""


def give_to_nobody(folder: Path) -> None:
    """Let `nobody` own a folder, when we are root."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
