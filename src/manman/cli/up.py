"""`manman up`: everything on this machine, in one process on embedded parts, and a first game."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from manman.cli import output, place, plain, up_lock

app = plain.commands()


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Go on in the background once it runs; `manman down` ends it.")
    ] = False,
    game: Annotated[
        str, typer.Option("--game", help="The first game, where there is no deployment yet; '' for none.")
    ] = "teeworlds",
) -> None:
    """Start everything on this machine: panel, database, agent, and a first game. Ctrl-C stops the panel; games run on."""
    from manman.errors import ManManError

    state = place.state_dir()
    try:
        up_lock.prepare(state)
    except ManManError as error:
        output.fail(error)
    lock = up_lock.Lock(state)
    if not lock.take():
        print(up_lock.who_serves(state))
        return
    if detach:
        lock.release()
        _detach(state, game)
        return
    from manman.observability import set_up_logs

    with open(state / "up.log", "a", encoding="utf-8") as out:
        os.fchmod(out.fileno(), 0o600)
        set_up_logs("info", service="up", json=True, stream=lambda: out)
        output.run(_foreground(state, game))


async def _foreground(state: Path, game: str) -> None:
    from manman.cli.up_panel import Panel

    await Panel(state, _Asked()).run(game)


class _Asked:
    """What signals ask for: first the panel's end, then the games' too; SIGUSR1 a new one-time link."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.games = asyncio.Event()
        self.link = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ended, number)
        loop.add_signal_handler(signal.SIGUSR2, self._everything)
        loop.add_signal_handler(signal.SIGUSR1, lambda: self.link.set())
        loop.add_signal_handler(signal.SIGHUP, lambda: self.stop.set())

    def _ended(self, number: int) -> None:
        if self.stop.is_set() and number == signal.SIGINT:
            self.games.set()
        self.stop.set()

    def _everything(self) -> None:
        self.games.set()
        self.stop.set()


def _detach(state: Path, game: str) -> None:
    """Start another `manman up` in a session of its own, show what it prints until it is ready, and leave it."""
    import subprocess

    out = state / "up.out"
    with open(out, "wb") as written:
        os.fchmod(written.fileno(), 0o600)
        child = subprocess.Popen(
            [sys.executable, "-m", "manman", "up", "--game", game],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    _show_until_ready(child, out)


def _show_until_ready(child: "object", out: Path) -> None:
    import subprocess

    assert isinstance(child, subprocess.Popen)
    shown = 0
    while True:
        text = out.read_text(encoding="utf-8", errors="replace")
        print(text[shown:], end="", flush=True)
        shown = len(text)
        if "\nReady." in text:
            print(f"It runs on in the background (pid {child.pid}); end it with: manman down")
            return
        if child.poll() is not None:
            raise SystemExit(child.returncode or 1)
        time.sleep(0.1)
