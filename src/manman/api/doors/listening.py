"""Serving an ASGI application until told to stop, without taking over the process's signals."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from manman.errors import BadSetting


def bound(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; raises `BadSetting`, naming `setting`, when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise BadSetting(f"{setting}: {host}:{port} cannot be listened on: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


async def serve(
    app: Any,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    grace: float = 5.0,
    tls: tuple[str, str] | None = None,
) -> None:
    """Serves `app` on a listening socket until `stop` is set, then gives calls in flight `grace` seconds."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        ws="none",
        timeout_graceful_shutdown=max(1, int(grace)),
        timeout_keep_alive=75,
        h11_max_incomplete_event_size=64 * 1024,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group:
        # Not serve(): that would take over the process's signals.
        serving = group.create_task(server._serve(sockets=[listener]))
        waiting = group.create_task(stop.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        waiting.cancel()
