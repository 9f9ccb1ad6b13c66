"""An open stream: its messages, a sign of life, and its end when the caller's rights or the process end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from manman.api import usecases
from manman.api.asking import Ask
from manman.api.authenticating import authenticate, permit
from manman.api.office import Office
from manman.errors import RefusedError, Transient

LOOK_AGAIN = 5.0
TICK = 1.0


async def open_stream(office: Office, ask: Ask) -> AsyncIterator[Message | None]:
    """The messages of a stream; None each second in which nothing is said. Raises before the first what `call` raises.

    Ends with the method's own `bye` when rights are lost (looked at every 5 s) or the process ends.
    """
    async with asyncio.timeout(ask.timeout), office.pool.acquire() as conn:
        caller = await authenticate(office, ask, conn)
        office.rates.take(caller.key or caller.address)
        permit(ask, caller)
    stream = usecases.streams[ask.method.name]
    source = await stream.open(ask.request, caller, office)
    return _Pump(office, ask, stream, source).run()


class _Pump:
    def __init__(self, office: Office, ask: Ask, stream: usecases.Stream, source: AsyncIterator[Message]) -> None:
        self.office = office
        self.ask = ask
        self.stream = stream
        self.source = source
        self.looked = office.clock()

    async def run(self) -> AsyncIterator[Message | None]:
        stopping = asyncio.ensure_future(self.office.stopping.wait())
        coming = asyncio.ensure_future(anext(self.source, None))
        try:
            while True:
                await asyncio.wait({coming, stopping}, timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    message = coming.result()
                    if message is None:
                        return
                    yield message
                    coming = asyncio.ensure_future(anext(self.source, None))
                else:
                    yield None
                reason = "shutting_down" if stopping.done() else await self._lost()
                if reason is not None:
                    yield self.stream.bye(reason)
                    return
        finally:
            # In a task of its own: whoever reads may be cancelled at every await, and queues must be given back.
            closing = asyncio.ensure_future(self._end(coming, stopping))
            self.office.closing.add(closing)
            closing.add_done_callback(self.office.closing.discard)

    async def _lost(self) -> str | None:
        """Why the caller may no longer listen; a database that is away takes nobody's rights."""
        if self.office.clock() - self.looked < LOOK_AGAIN:
            return None
        self.looked = self.office.clock()
        try:
            async with self.office.pool.acquire() as conn:
                permit(self.ask, await authenticate(self.office, self.ask, conn))
        except RefusedError as error:
            return error.refused_code
        except Transient:
            return None
        return None

    async def _end(self, *tasks: asyncio.Future[Any]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        close = getattr(self.source, "aclose", None)
        if close is not None:
            await close()
