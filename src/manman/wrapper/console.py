"""The game's console: what it prints becomes lines, what is typed waits until it reads."""

import errno
import os
import selectors
import time
from collections.abc import Callable

from manman.wrapper.child import Game
from manman.wrapper.lines import IDLE, Lines
from manman.wrapper.pipe import INPUT_QUEUE, REMEMBERED_IDS
from manman.wrapper.spool import STDERR

_READ = 64 * 1024
_LAST_WORDS = 256 * 1024  # more than a terminal or a pipe can hold

Written = Callable[[list[tuple[int, bytes]]], None]


class Console:
    """The wrapper's ends of the game's terminal or pipes."""

    def __init__(self, selector: selectors.BaseSelector, game: Game, written: Written) -> None:
        self._selector, self._written = selector, written
        self._stdin = game.stdin
        self._pending = bytearray()
        self._closed = False
        self._outputs = {game.stdout: Lines()}
        if game.stderr is not None:
            self._outputs[game.stderr] = Lines(STDERR)
        self._open = set(self._outputs)
        self._fed = time.monotonic()
        for fd in self._outputs:
            selector.register(fd, selectors.EVENT_READ, self._turn(fd))

    @property
    def waiting(self) -> int:
        """Bytes that were typed and that the game has not taken yet."""
        return len(self._pending)

    @property
    def over(self) -> bool:
        """Whether all who could print have closed their ends."""
        return not self._open

    def _turn(self, fd: int) -> Callable[[int], None]:
        def turn(mask: int) -> None:
            if mask & selectors.EVENT_READ:
                self._read(fd)
            if mask & selectors.EVENT_WRITE:
                self._push()

        return turn

    def type(self, line: bytes, bounded: bool = True) -> bool:
        """Queues a line; False if more than 64 KiB would wait (never asked for the stop command: not `bounded`)."""
        if bounded and len(self._pending) + len(line) > INPUT_QUEUE:
            return False
        self._pending += line
        self._push()
        return True

    def _push(self) -> None:
        if self._closed:
            self._pending.clear()
            return
        try:
            done = os.write(self._stdin, self._pending) if self._pending else 0
        except BlockingIOError:
            done = 0
        except OSError:  # nobody will ever read it
            done = len(self._pending)
        del self._pending[:done]
        self._watch()

    def _watch(self) -> None:
        """Asks to be told when the game takes input only while some waits."""
        wanted = selectors.EVENT_WRITE if self._pending else 0
        wanted |= selectors.EVENT_READ if self._stdin in self._open else 0
        known = self._selector.get_map().get(self._stdin)
        if known is None and wanted:
            self._selector.register(self._stdin, wanted, self._turn(self._stdin))
        elif known is not None and not wanted:
            self._selector.unregister(self._stdin)
        elif known is not None and known.events != wanted:
            self._selector.modify(self._stdin, wanted, known.data)

    def _read(self, fd: int) -> int:
        """One portion of output; how many bytes it was."""
        if fd not in self._open:
            return 0
        try:
            data = os.read(fd, _READ)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # EIO is how a terminal says that its last program is gone
                raise
            data = b""
        if not data:
            self._end(fd)
            return 0
        self._fed = time.monotonic()
        lines = self._outputs[fd].feed(data)
        if lines:
            self._written(lines)
        return len(data)

    def _end(self, fd: int) -> None:
        self._open.discard(fd)
        if fd == self._stdin:
            self._closed = True
            self._pending.clear()
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        rest = self._outputs[fd].flush(ended=True)
        if rest:
            self._written(rest)

    def show_prompts(self, now: float) -> None:
        """A line that was begun and has stood for a second is shown as it is."""
        if now - self._fed < IDLE:
            return
        for fd in self._open:
            rest = self._outputs[fd].flush(ended=False)
            if rest:
                self._written(rest)

    def drain(self) -> None:
        """Reads what is there: the last words of a game that is gone."""
        for fd in list(self._open):
            left = _LAST_WORDS
            while left > 0 and (done := self._read(fd)):
                left -= done

    def close(self) -> None:
        """Ends it; what stands there without a newline becomes a line."""
        self._pending.clear()
        for fd in list(self._open):
            self._end(fd)
        for fd in {*self._outputs, self._stdin}:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            os.close(fd)


class Remembered:
    """The last 256 ids, so that input which the agent says twice is typed once."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __contains__(self, each: str) -> bool:
        return each in self._ids

    def add(self, each: str) -> None:
        """The newest; the oldest is forgotten."""
        self._ids[each] = None
        if len(self._ids) > REMEMBERED_IDS:
            del self._ids[next(iter(self._ids))]
