"""The wrapper's socket: who may connect, what they are told, what they ask. It decides nothing; `answer` does."""

import os
import selectors
import socket
from collections.abc import Callable

from manman.wrapper.pipe import SOCKET, Decoder, Garbled, Said, encode, peer

_CONNECTIONS = 16
_UNREAD = 1024 * 1024  # bytes a client may leave unread before it is let go

Answer = Callable[[Said], Said]


class _Caller:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.decoder = Decoder()
        self.unsent = bytearray()


class Door:
    """Listens on `s` in the current directory, which is the session folder."""

    def __init__(self, selector: selectors.BaseSelector, answer: Answer, hello: Callable[[], Said]) -> None:
        self._selector, self._answer, self._hello = selector, answer, hello
        self._callers: dict[socket.socket, _Caller] = {}
        try:
            os.unlink(SOCKET)  # of a wrapper that was killed; the lock says that it is no more
        except FileNotFoundError:
            pass
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(SOCKET)
        self._listener.listen(_CONNECTIONS)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def say(self, message: Said) -> None:
        """To everybody who is connected."""
        for caller in list(self._callers.values()):
            self._send(caller, message)

    def close(self, patience: float) -> None:
        """Sends what is unsent, waiting at most `patience` seconds for each, then hangs up."""
        for caller in list(self._callers.values()):
            try:
                caller.connection.settimeout(patience)
                caller.connection.sendall(caller.unsent)
            except OSError:
                pass
            self._drop(caller)
        self._selector.unregister(self._listener)
        self._listener.close()
        try:
            os.unlink(SOCKET)
        except FileNotFoundError:
            pass

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        if peer(connection).uid not in (0, os.geteuid()) or len(self._callers) >= _CONNECTIONS:
            connection.close()
            return
        connection.setblocking(False)
        caller = _Caller(connection)
        self._callers[connection] = caller
        self._selector.register(connection, selectors.EVENT_READ, lambda mask: self._turn(caller, mask))
        self._send(caller, self._hello())

    def _turn(self, caller: _Caller, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush(caller)
        if mask & selectors.EVENT_READ and caller.connection in self._callers:
            self._read(caller)

    def _read(self, caller: _Caller) -> None:
        try:
            data = caller.connection.recv(65536)
            messages = caller.decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, Garbled):
            data, messages = b"", []
        if not data:
            self._drop(caller)
            return
        for message in messages:
            reply: Said = {"t": "reply", **self._answer(message)}
            if "id" in message:
                reply["id"] = message["id"]
            self._send(caller, reply)

    def _send(self, caller: _Caller, message: Said) -> None:
        if caller.connection not in self._callers:
            return
        caller.unsent += encode(message)
        self._flush(caller)

    def _flush(self, caller: _Caller) -> None:
        try:
            sent = caller.connection.send(caller.unsent) if caller.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(caller)
            return
        del caller.unsent[:sent]
        if len(caller.unsent) > _UNREAD:
            self._drop(caller)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if caller.unsent else 0)
        if self._selector.get_key(caller.connection).events != events:
            self._selector.modify(caller.connection, events, self._selector.get_key(caller.connection).data)

    def _drop(self, caller: _Caller) -> None:
        if self._callers.pop(caller.connection, None) is not None:
            self._selector.unregister(caller.connection)
            caller.connection.close()
