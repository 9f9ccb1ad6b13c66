"""`manman down`: stops a running `manman up`."""

import os
import signal
import time
from typing import Annotated

import typer

from manman.cli import place, plain
from manman.client import LocalFile

app = plain.commands()


@app.command()
def down(
    games: Annotated[
        bool,
        typer.Option("--games", help="Stop the games too, in order; what should run runs again with the next `up`."),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it.")] = 120,
) -> None:
    """Stop what `manman up` started. Games run on, unless --games."""
    state = place.state_dir()
    local = LocalFile.read(state)
    if local is None or not place.is_alive(local.pid):
        print(f"No `manman up` runs with its state in {state}.")
        return
    os.kill(local.pid, signal.SIGUSR2 if games else signal.SIGTERM)
    until = time.monotonic() + timeout
    while place.is_alive(local.pid):
        if time.monotonic() > until:
            print(f"pid {local.pid} has not ended within {timeout:g} s; it goes on ending")
            raise SystemExit(8)
        time.sleep(0.1)
    print("ManMan is down; its games are stopped." if games else "ManMan is down; its games run on.")
