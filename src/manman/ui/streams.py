"""Server-sent events to the browser: written as the standard wants, ended when the browser goes or the service stops."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

# Proxies that buffer or compress would hold events back.
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no", "content-encoding": "identity"}
SILENT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One event: `name`, JSON data, and the id by which a browser resumes, if it may."""

    name: str
    data: Any
    id: str = ""

    def encode(self) -> bytes:
        """As bytes of the stream. JSON has no raw line breaks, so one data line is enough."""
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.name}\ndata: ".encode() + msgspec.json.encode(self.data) + b"\n\n"


class Streams:
    """Knows when the service stops: every open stream then ends, else a server would wait for browsers for ever."""

    def __init__(self, stop: asyncio.Event | None = None) -> None:
        self.stop = stop or asyncio.Event()

    def reply(self, source: AsyncIterator[Said]) -> StreamingResponse:
        """A stream of what `source` says; a comment where it is silent, so that both ends notice a dead connection."""
        return StreamingResponse(self._written(source), media_type="text/event-stream", headers=HEADERS)

    async def _written(self, source: AsyncIterator[Said]) -> AsyncIterator[bytes]:
        yield b"retry: 1500\n\n"
        ending = asyncio.ensure_future(self.stop.wait())
        coming: asyncio.Future[Said | None] | None = None
        try:
            while not ending.done():
                if coming is None:
                    coming = asyncio.ensure_future(anext(source, None))
                waited: set[asyncio.Future[Any]] = {coming, ending}
                await asyncio.wait(waited, timeout=SILENT, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    yield b": still here\n\n"
                    continue
                said, coming = coming.result(), None
                if said is None:
                    return
                yield said.encode()
        finally:
            for task in (ending, coming):
                if task is not None:
                    task.cancel()
