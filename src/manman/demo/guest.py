"""One telnet connection: bytes to lines and back."""

import re
import selectors
import socket
from collections.abc import Callable

_LONGEST = 512
_UNREAD = 64 * 1024
_TELNET = re.compile(rb"\xff(?:[\xfb-\xfe].|\xfa.*?\xff\xf0|[^\xfa-\xfe])", re.S)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Guest:
    """A connection; `name` is None until the arena took it in. `typed` hears each line, `gone` hears its end, once."""

    def __init__(
        self,
        connection: socket.socket,
        selector: selectors.BaseSelector,
        typed: "Callable[[Guest, str], None]",
        gone: "Callable[[Guest], None]",
    ) -> None:
        self.name: str | None = None
        self._connection, self._selector = connection, selector
        self._typed, self._gone = typed, gone
        self._rest = b""
        self._unsent = b""
        self._closed = False
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, self._turn)

    def write(self, text: str) -> None:
        """A line for this player."""
        if not self._closed:
            self._unsent += text.encode(errors="replace").replace(b"\xff", b"\xff\xff") + b"\r\n"
            self._flush()

    def close(self) -> None:
        """Ends the connection and tells the game once."""
        if not self._closed:
            self._closed = True
            self._selector.unregister(self._connection)
            self._connection.close()
            self._gone(self)

    def _turn(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and not self._closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._rest = _TELNET.sub(b"", self._rest + data).split(b"\n")
        for line in lines:
            if not self._closed:
                self._typed(self, _CONTROL.sub("", line[:_LONGEST].decode(errors="replace")))
        if not data or len(self._rest) > 4 * _LONGEST:
            self.close()

    def _flush(self) -> None:
        try:
            sent = self._connection.send(self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._unsent = self._unsent[sent:]
        if len(self._unsent) > _UNREAD:  # it does not read; the others must not wait for it
            self.close()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._connection, events, self._turn)
