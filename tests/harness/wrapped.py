"""A real wrapper over a session folder of a test, and short ways to ask for what it promises."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from manman.wrapper import launch, pipe, spool_reader
from manman.wrapper.spool import LINE, SAMPLE, STATE

PATIENCE = 30.0
PYTHON = [sys.executable, "-I", "-S", "-u", "-c"]


def until(question: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first true answer; fails when there is none within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain"
        time.sleep(0.02)
    return answer


async def eventually(question: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """`until`, aside: a loop that is blocked for seconds loses its connection to the broker."""
    return await asyncio.to_thread(until, question, patience)


def lives(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Wrapped:
    """A session folder. `with Wrapped(tmp_path, argv, …) as it:` starts it; what is left at the end is killed."""

    def __init__(self, place: Path, argv: list[str] | None = None, *, start: bool = True, **launch_fields: Any) -> None:
        self.folder = place / "session"
        self.folder.mkdir(mode=0o700)
        fields: dict[str, Any] = {
            "session": "s1",
            "cwd": str(place),
            "env": {"PATH": os.environ["PATH"]},
            "stop": {"signal": "SIGTERM", "grace": 30},
        }
        fields |= ({} if argv is None else {"argv": argv}) | launch_fields
        (self.folder / "launch.json").write_text(json.dumps(fields))
        self.pid = 0
        self._start = start

    def __enter__(self) -> "Wrapped":
        if self._start:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pid and self.alive:
            game = self.game
            os.kill(self.pid, signal.SIGKILL)  # its game dies with it
            until(lambda: not lives(self.pid) and not (game and lives(game)))

    def start(self) -> None:
        """Launches the wrapper, as the process runtime does."""
        self.pid = launch.launch(self.folder)

    @property
    def alive(self) -> bool:
        return launch.is_alive(self.folder)

    @property
    def game(self) -> int | None:
        """The game's pid, once it was started."""
        starting = [said["game"] for said in self.states() if said["state"] == "starting"]
        return starting[0] if starting else None

    def client(self) -> pipe.Client:
        return pipe.Client(self.folder, timeout=PATIENCE)

    def ask(self, do: str, **fields: object) -> pipe.Said:
        with self.client() as client:
            return client.ask(do, **fields)

    def records(self) -> list[Any]:
        found: list[Any] = []
        offset = 0
        while (batch := spool_reader.read_from(self.folder, offset)).records:
            found += batch.records
            offset = batch.offset
        return found

    def lines(self) -> list[str]:
        return [record.text for record in self.records() if record.kind == LINE]

    def samples(self) -> list[pipe.Said]:
        return [record.said for record in self.records() if record.kind == SAMPLE]

    def states(self) -> list[pipe.Said]:
        return [record.said for record in self.records() if record.kind == STATE]

    def words(self) -> list[str]:
        return [said["state"] for said in self.states()]

    def line(self, text: str) -> str:
        """Waits for a line that contains `text`."""
        found: str = until(lambda: next((line for line in self.lines() if text in line), None))
        return found

    def state(self, word: str) -> pipe.Said:
        """Waits for this state."""
        found: pipe.Said = until(lambda: next((said for said in self.states() if said["state"] == word), None))
        return found

    def exit(self, patience: float = PATIENCE) -> pipe.Said:
        """Waits for the exit and for the wrapper's own end."""
        record = until(lambda: spool_reader.exit_of(self.folder), patience)
        until(lambda: not self.alive)
        said: pipe.Said = record.said
        return said

    def verdict(self) -> tuple[str, str, int | None, int | None]:
        """(outcome, reason, exit code, signal), waited for."""
        said = self.exit()
        return said["outcome"], said["reason"], said["exit_code"], said["signal"]
