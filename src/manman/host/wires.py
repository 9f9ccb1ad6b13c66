"""The agent's side of a wrapper's socket: commands with replies, and a word whenever the wrapper says something.

What the wrapper says unasked is in the spool too, and is read there; the socket only tells that there is something.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manman.errors import Unavailable
from manman.wrapper import pipe

REPLY_DEADLINE = 10.0


class Wire:
    """A connection to one wrapper. Made by `open`; ends when the wrapper goes or `close` is called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, news: Callable[[], None]) -> None:
        self._reader, self._writer, self._news = reader, writer, news
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def open(cls, folder: Path, wrapper: int | None, news: Callable[[], None]) -> Wire:
        """Connects; `news` is called whenever the wrapper says something or goes. Raises `Unavailable` when nobody
        listens, or somebody else than the wrapper of pid `wrapper` does."""
        try:
            connection = pipe.connect(folder)
        except OSError as error:
            raise Unavailable(f"the wrapper in {folder} does not listen: {error}") from error
        if wrapper is not None and pipe.peer(connection).pid not in (wrapper, 0):
            connection.close()
            raise Unavailable(f"another process than the wrapper listens in {folder}")
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=2 * pipe.LONGEST_MESSAGE)
        return cls(reader, writer, news)

    @property
    def is_open(self) -> bool:
        """Whether commands can be given."""
        return not self._listener.done()

    async def ask(self, do: str, *, id: str | None = None, **fields: object) -> dict[str, Any]:
        """The reply to one command; raises `Unavailable` when the wrapper goes before it or takes longer than 10 s."""
        if not self.is_open:
            raise Unavailable("the wrapper is gone")
        self._next += 1
        name = id or f"a{self._next}"
        reply = self._waiting.setdefault(name, asyncio.get_running_loop().create_future())
        try:
            self._writer.write(pipe.encode({"do": do, "id": name, **fields}))
            await self._writer.drain()
            async with asyncio.timeout(REPLY_DEADLINE):
                return await asyncio.shield(reply)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"the wrapper gave no reply to {do!r}") from error
        finally:
            self._waiting.pop(name, None)

    async def close(self) -> None:
        """Closes the connection; the wrapper and its game do not mind."""
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)

    async def _listen(self) -> None:
        decoder = pipe.Decoder()
        try:
            while data := await self._reader.read(65536):
                for said in decoder.feed(data):
                    self._hear(said)
        except (OSError, pipe.Garbled):
            pass
        finally:
            for reply in self._waiting.values():
                if not reply.done():
                    reply.set_exception(Unavailable("the wrapper is gone"))
                    reply.exception()  # whoever waits has it; nobody waiting is no fault
            self._writer.close()
            self._news()

    def _hear(self, said: dict[str, Any]) -> None:
        if said.get("t") != "reply":
            self._news()
            return
        reply = self._waiting.get(str(said.get("id")))
        if reply is not None and not reply.done():
            reply.set_result(said)
