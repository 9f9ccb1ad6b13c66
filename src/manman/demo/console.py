"""The game's console on standard input; some commands are there to misbehave, so that whoever runs games can be tried."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable

HELP = "say TEXT · players · save · stop · crash CODE|SIGNAL · hang · flood N · orphan [stubborn] · help"
_STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
_ORPHAN = "import time; time.sleep(600)"


class Console:
    """Standard input, line by line, each given to `obey`. Its end is not the game's end."""

    def __init__(self, selector: selectors.BaseSelector, obey: Callable[[str], None]) -> None:
        self._selector, self._obey = selector, obey
        self._rest = b""
        try:
            selector.register(0, selectors.EVENT_READ, self._turn)
        except (PermissionError, ValueError, OSError):
            pass  # a file, or nothing at all: no console

    def _turn(self, _: int) -> None:
        try:
            data = os.read(0, 65536)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(0)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(line.decode(errors="replace").strip())


def misbehave(word: str, rest: str) -> None:
    """A command that no well-meaning game has; help for any other. What it says goes to standard output."""
    match word:
        case "hang":
            print("Hanging: no answer to anybody, SIGTERM included", flush=True)
            while True:
                time.sleep(3600)
        case "crash":
            _crash(rest or "1")
        case "flood" if rest.isdigit():
            for number in range(1, int(rest) + 1):
                sys.stdout.write(f"flood {number} of {rest}\n")
            sys.stdout.flush()
        case "orphan":
            code = (_STUBBORN if rest == "stubborn" else "") + _ORPHAN
            child = subprocess.Popen([sys.executable, "-I", "-S", "-c", code], start_new_session=True)
            child.returncode = 0  # nobody here waits for it; without this its object would complain
            print(f"Left a child behind: {child.pid}", flush=True)
        case _:
            print(HELP, flush=True)


def _crash(how: str) -> None:
    """Ends at once, unsaved: with an exit code, or by a signal."""
    print(f"Crashing: {how}", flush=True)
    if how.isdigit():
        os._exit(int(how) % 256)
    number = getattr(signal, how.upper(), None)
    if isinstance(number, signal.Signals):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    print(f"{how} is no exit code and no signal", flush=True)
