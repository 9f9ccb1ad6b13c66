"""`manman up` on a terminal: the first Ctrl-C stops the panel, the second the games, in order."""

import os
import pty
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness.installations import MANMAN, PATIENCE, Up
from harness.wrapped import until

pytestmark = pytest.mark.timeout(400)
CTRL_C = b"\x03"


class Terminal:
    """A program that has a pseudo-terminal of its own, as its controlling one."""

    def __init__(self, child: "subprocess.Popen[bytes]", master: int) -> None:
        self.child, self.master, self.printed = child, master, ""

    def until_said(self, text: str) -> None:
        """Read until it has printed this."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.printed:
            assert time.monotonic() < deadline, self.printed
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.printed += os.read(self.master, 65536).decode(errors="replace")
                except OSError:  # the other end is closed: it has ended
                    assert text in self.printed, self.printed

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self.master, keys)


@contextmanager
def on_a_terminal(installation: Up, *arguments: str) -> Iterator[Terminal]:
    """`manman …` with a terminal."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *MANMAN, *arguments],
        env=installation.env,
        cwd=installation.state,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        yield Terminal(child, master)
    finally:
        os.close(master)
        child.wait(PATIENCE)


def test_a_second_ctrl_c_stops_the_games_and_the_next_up_runs_them_again(fresh_up: Up) -> None:
    with on_a_terminal(fresh_up, "up", "--game", "demo") as terminal:
        terminal.until_said("Ready. Ctrl-C stops the panel; games run on.")
        session = fresh_up.json("sessions", "list")[0]
        terminal.press(CTRL_C)
        terminal.until_said("1 game runs on. Ctrl-C again stops them too.")
        terminal.press(CTRL_C)
        terminal.until_said("Stopping 1 game in order")
        terminal.child.wait(PATIENCE)
    fresh_up.up(game="demo")
    ended = fresh_up.session(session["session_id"])
    assert ended["status"] == "stopped" and ended["exit_code"] == 0
    assert fresh_up.deployment("demo")["desired"] == "running"
    follower = until(lambda: (s := fresh_up.latest("demo"))["status"] == "running" and s, PATIENCE)
    assert follower["previous_session_id"] == session["session_id"]
