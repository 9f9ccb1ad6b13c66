"""A game's output → lines, and what somebody types → one line that is safe to type."""

import re

from manman.wrapper.pipe import LONGEST_INPUT
from manman.wrapper.spool import GOES_ON, LONGEST_LINE

IDLE = 1.0  # seconds after which a line without an end (a prompt) is shown as it is
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-_])")


class Lines:
    """Cuts one stream into lines of at most 64 KiB; a longer one goes on in the next, flagged `GOES_ON`."""

    def __init__(self, flags: int = 0) -> None:
        self._flags = flags
        self._rest = b""

    @property
    def open(self) -> bool:
        """Whether a line without its end is held."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(flags, text without newline) of all lines that `data` completes, in order."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        found: list[tuple[int, bytes]] = []
        for line in whole:
            self._cut(line[:-1] if line.endswith(b"\r") else line, found, last=True)
        if len(self._rest) > LONGEST_LINE:
            self._rest = self._cut(self._rest, found, last=False)
        return found

    def flush(self, ended: bool) -> list[tuple[int, bytes]]:
        """What is held, as a line: for good (`ended`: the stream is over), or to be gone on with."""
        rest, self._rest = self._rest, b""
        return [(self._flags | (0 if ended else GOES_ON), rest)] if rest else []

    def _cut(self, line: bytes, found: list[tuple[int, bytes]], last: bool) -> bytes:
        while len(line) > LONGEST_LINE:
            found.append((self._flags | GOES_ON, line[:LONGEST_LINE]))
            line = line[LONGEST_LINE:]
        if last:
            found.append((self._flags, line))
        return line


def plain(text: str) -> str:
    """A line without its escape sequences, for the eye of a pattern."""
    return _ESCAPE.sub("", text)


def typed(text: str) -> bytes | None:
    """What may be typed on a game's console: control characters gone, a newline at the end; None if over 4,095 bytes."""
    line = _CONTROL.sub("", text).encode(errors="replace")
    return None if len(line) > LONGEST_INPUT else line + b"\n"
