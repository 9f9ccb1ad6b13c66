"""A TCP proxy of our own between a process and a service: what goes through it can be cut, held or slowed."""

import asyncio
import contextlib
from dataclasses import dataclass, field


@dataclass(eq=False)
class Proxy:
    """One door on 127.0.0.1 that leads to `target` (a port there). `port` is its own, known once `open` was awaited.

    `cut`: connections are reset and new ones end at once. `hold`: nothing passes in either direction, though everything stays open
    and new connections are accepted, as with a wire that was pulled. `forget`: that only for what is open now, and for ever, as with
    an address that moved. `delay`: seconds that each piece takes longer. `lasts`: how many pieces of what the service says pass before
    a connection is reset, `resets` how often that was. `inject`: bytes that the service never said. `heal` ends all of it; what was
    held goes on where its ends still live.
    """

    target: int
    port: int = 0
    delay: float = 0.0
    is_cut: bool = False
    lasts: int | None = None
    resets: int = 0
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _fronts: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> "Proxy":
        """Accept connections from now on."""
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def cut(self) -> None:
        """Reset what is open and refuse what comes."""
        self.is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing pass."""
        self._flows.clear()

    def forget(self) -> None:
        """Let nothing pass any more on what is open; what comes is new."""
        self._flows.clear()
        self._flows = asyncio.Event()
        self._flows.set()

    def inject(self, data: bytes) -> None:
        """Say this to everyone who came in, as if the service had."""
        for writer in self._fronts:
            writer.write(data)

    def heal(self) -> None:
        """Be a wire again."""
        self.is_cut, self.delay, self.lasts = False, 0.0, None
        self._flows.set()

    async def close(self) -> None:
        """End everything."""
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self._fronts.add(writer)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._fronts.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            return
        flows = self._flows
        await flows.wait()
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers.add(back)
        try:
            ways = [
                asyncio.ensure_future(self._pump(flows, reader, back)),
                asyncio.ensure_future(self._pump(flows, there, writer, self.lasts)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._writers.discard(back)
            back.transport.abort()

    async def _pump(
        self,
        flows: asyncio.Event,
        source: asyncio.StreamReader,
        drain: asyncio.StreamWriter,
        lasts: int | None = None,
    ) -> None:
        """Bytes from one side to the other until one of them ends, or `lasts` pieces have passed."""
        passed = 0
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if passed == lasts:
                    self.resets += 1
                    return
                passed += 1
                if self.delay:
                    await asyncio.sleep(self.delay)
                await flows.wait()
                drain.write(piece)
                await drain.drain()


__all__ = ["Proxy"]
