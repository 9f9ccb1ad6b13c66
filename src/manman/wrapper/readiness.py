"""When a game counts as running: a line that it prints, a port that it opens, a query that the agent makes, or at once."""

from manman.wrapper import processes
from manman.wrapper.launch_file import Readiness
from manman.wrapper.lines import plain
from manman.wrapper.spool import GOES_ON, LONGEST_LINE

EACH = 0.25  # seconds between two looks at the ports


class Watch:
    """One game's readiness. It only says yes; the session acts."""

    def __init__(self, wanted: Readiness) -> None:
        self._wanted = wanted
        self._begun = b""

    def at_once(self) -> bool:
        """Whether nothing is waited for."""
        return self._wanted.kind == "none"

    def by_query(self) -> bool:
        """Whether the agent says so."""
        return self._wanted.kind == "query"

    def by_lines(self, lines: list[tuple[int, bytes]]) -> bool:
        """Whether one of these lines, as it is or without colours, is the one; pieces of a line are put together."""
        pattern = self._wanted.pattern
        if pattern is None:
            return False
        for flags, text in lines:
            whole = (self._begun + text)[:LONGEST_LINE]
            self._begun = whole if flags & GOES_ON else b""
            shown = whole.decode(errors="replace")
            if pattern.search(shown) or pattern.search(plain(shown)):
                return True
        return False

    def by_port(self, game: int, wrapper: int) -> bool:
        """Whether the port is open; a look at /proc, no connection."""
        wanted = self._wanted
        return wanted.kind == "port" and processes.is_bound(game, wrapper, wanted.port, wanted.protocol)
