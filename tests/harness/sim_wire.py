"""The way of a simulation's driver to its server: what begins a transaction travels with its first statement, not before it.

The driver knows nothing of it: the gate writes a simple query ahead of the driver's own message, and swallows its answer.
"""

import asyncio
from typing import Any

import uvloop

from manman.errors import ManManError

COMPLETE, READY = b"C"[0], b"Z"[0]


class Gate(asyncio.Protocol):
    """Between the transport and the driver's protocol; to the driver it is the transport. `ahead` goes before what is written next."""

    def __init__(self, protocol: Any) -> None:
        self.protocol, self.transport = protocol, None
        self.ahead: bytes | None = None
        self._answers = b""
        self._swallows = False

    def first(self, statements: str) -> None:
        """Have these statements, which return nothing, run before the driver's next one."""
        said = statements.encode() + b"\0"
        self.ahead = b"Q" + (len(said) + 4).to_bytes(4, "big") + said

    # ---- for the driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: Any) -> None:
        transport: Any = self.transport
        if self.ahead is not None:
            data, self.ahead, self._swallows = self.ahead + bytes(data), None, True
        transport.write(data)

    # ---- for the event loop

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._swallows:
            data = self._without_answer(data)
        if data:
            self.protocol.data_received(data)

    def _without_answer(self, data: bytes) -> bytes:
        self._answers += data
        while len(self._answers) >= 5:
            kind, size = self._answers[0], 1 + int.from_bytes(self._answers[1:5], "big")
            if kind not in (COMPLETE, READY):
                raise ManManError(f"the server answers {self._answers!r} to the begin of a transaction")
            if len(self._answers) < size:
                break
            self._answers = self._answers[size:]
            if kind == READY:
                rest, self._answers, self._swallows = self._answers, b"", False
                return rest
        return b""

    def eof_received(self) -> Any:
        return self.protocol.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()


class Loop(uvloop.Loop):  # type: ignore[misc]
    """An event loop whose connections to servers on this machine go through a gate."""

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **more: Any) -> Any:
        gate = Gate(protocol_factory())
        await super().create_unix_connection(lambda: gate, path, **more)
        return gate, gate.protocol


__all__ = ["Gate", "Loop"]
