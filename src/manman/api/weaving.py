"""One viewer's console: live lines and lines told again, woven into one rising sequence, each number once. Pure.

Lines come in any order: what is live arrives while older lines are still being told again. What is below the last number given
is dropped, what is beyond a gap waits until the gap is filled or given up.
"""

from __future__ import annotations

from collections.abc import Iterable

from manman.events.contracts import LogLine

MOST_WAITING = 5_000
CHUNK = 1_000


class Weave:
    """`first` is the number of the first line wanted, 0: whatever comes next.

    `ask` is the line from which the host should tell again, None when nothing is missing or it has been asked.
    """

    def __init__(self, first: int) -> None:
        self.last: int | None = first - 1 if first > 0 else None
        self._waiting: dict[int, LogLine] = {}
        self._asked_to = 0
        self._wanted = first > 0

    @property
    def gap(self) -> bool:
        """Whether lines wait for older ones."""
        return bool(self._waiting)

    @property
    def ask(self) -> int | None:
        """The first line to be told again, at most `CHUNK` of them."""
        if self.last is None or not (self._wanted or self._waiting):
            return None
        return self.last + 1 if self.last >= self._asked_to else None

    def asked(self) -> None:
        """The host was asked for the chunk that `ask` named."""
        self._asked_to = (self.last or 0) + CHUNK
        self._wanted = False

    def take(self, lines: Iterable[LogLine]) -> list[LogLine]:
        """Adds lines; those that may be shown now, in order."""
        for line in lines:
            if self.last is None:
                self.last = line.n - 1
            if line.n > self.last:
                self._waiting.setdefault(line.n, line)
        shown = self._ready()
        if self.last is not None and self.last >= self._asked_to > 0:
            # A chunk came whole: there may be more behind it.
            self._wanted = True
        if len(self._waiting) > MOST_WAITING:
            # They will be told again once the gap before them is filled.
            self._waiting.clear()
            self._wanted = True
        return shown

    def give_up(self) -> list[LogLine]:
        """The gap will not be filled: the lines behind it, up to the next gap."""
        if not self._waiting:
            return []
        self.last = min(self._waiting) - 1
        return self._ready()

    def is_complete(self, to: int) -> bool:
        """Whether all is shown that the host had when it answered: lines up to `to`, and none that wait behind a gap."""
        return self.last is not None and self.last >= to and not self._waiting

    def settle(self) -> None:
        """The host has told all that it has: it may be asked again when a gap appears."""
        self._asked_to = 0
        self._wanted = False

    def again(self) -> None:
        """Lines may have been missed (the connection was lost): the host is to be asked from the last one shown."""
        self._asked_to = 0
        self._wanted = self.last is not None

    def _ready(self) -> list[LogLine]:
        shown = []
        while self.last is not None and self.last + 1 in self._waiting:
            shown.append(self._waiting.pop(self.last + 1))
            self.last += 1
        return shown
