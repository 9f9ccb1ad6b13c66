"""Ports of `manman up`: the usual ones, else the next free ones with a word about it."""

import socket

from manman.errors import BadSetting


def take(wanted: int, bind: str, what: str, setting: str) -> tuple[socket.socket, str | None]:
    """A listening socket on `wanted` or the next free port, and a sentence when it is another one.

    The socket is bound here and handed over, so that nobody can take the port in between.
    """
    for port in range(wanted, wanted + 100):
        listener = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((bind, port))
            listener.listen(1024)
        except OSError:
            listener.close()
            continue
        word = None if port == wanted else f"port {wanted} is taken; {what} is on {port} (set {setting} to choose)"
        return listener, word
    raise BadSetting(f"no free port from {wanted} to {wanted + 99} on {bind} for {what}; set {setting}")
