"""One-time links, handed from a running `manman up` to a command of the same user through a file (mode 600)."""

import os
import signal
import time
from pathlib import Path

from manman.errors import TimedOut

PATIENCE = 15.0


def write(state: Path, link: str) -> None:
    """Put a link where `ask` waits for it, whole or not at all."""
    new = state / ".link.new"
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(link)
    os.replace(new, state / "link")


def ask(state: Path, pid: int) -> str:
    """Have the `manman up` with that pid make a link; raises `TimedOut` when it does not within 15 s."""
    path = state / "link"
    path.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            link = path.read_text(encoding="ascii")
        except FileNotFoundError:
            time.sleep(0.05)
            continue
        path.unlink(missing_ok=True)
        return link
    raise TimedOut(f"`manman up` (pid {pid}) made no link within {PATIENCE:g} s")
