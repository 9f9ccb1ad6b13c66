"""One tail of the events per process: it feeds every stream, each bounded, and none holds a connection.

A reader who asks for the past reads it in pages and then goes on from the tail; what both gave is dropped by position.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from typing import Any

from manman.errors import Transient
from manman.observability import get_logger
from manman.store import events
from manman.store.pool import Connection, Pool

log = get_logger(__name__)
MOST_WAITING = 5_000
BATCH = 500
LOOK = 1.0
Listen = Callable[[], Awaitable[Connection]]


class TooSlow(Exception):
    """A reader fell so far behind that events were dropped; it must resume from where it was."""


class Reader:
    """What waits for one stream."""

    def __init__(self) -> None:
        self._rows: deque[Any] = deque()
        self._woken = asyncio.Event()
        self._lost = False

    def put(self, row: Any) -> None:
        """Adds an event; a full reader loses all, and is told."""
        if len(self._rows) >= MOST_WAITING:
            self._rows.clear()
            self._lost = True
        if not self._lost:
            self._rows.append(row)
        self._woken.set()

    async def get(self) -> Any:
        """The next event; raises `TooSlow`."""
        while True:
            if self._lost:
                raise TooSlow
            if self._rows:
                return self._rows.popleft()
            self._woken.clear()
            await self._woken.wait()


class Tail:
    """Follows the events from the moment it runs. `epoch` and `position` are those of the last event it gave."""

    def __init__(self, pool: Pool, listen: Listen | None) -> None:
        self._pool = pool
        self._listen = listen
        self._readers: set[Reader] = set()
        self._wake = asyncio.Event()
        self._conn: Connection | None = None
        self.epoch = 0
        self.position = -1

    @contextmanager
    def reading(self) -> Any:
        """A reader of what comes from now on."""
        reader = Reader()
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until stopped; a database that is away is waited for."""
        delay = 0.1
        while not stop.is_set():
            try:
                await self._follow(stop)
                delay = 0.1
            except (Transient, OSError) as error:
                log.warning("events_tail_waits", error=str(error))
                await _pause(stop, delay)
                delay = min(delay * 2, 5.0)
            finally:
                await self._forget()

    async def _follow(self, stop: asyncio.Event) -> None:
        if self._listen is not None:
            self._conn = await self._listen()
            await events.listen(self._conn, self._wake.set)
        while not stop.is_set():
            self._wake.clear()
            if self._conn is not None and self._conn.is_closed():
                return
            while await self._step():
                pass
            await _wait(self._wake, stop)

    async def _step(self) -> bool:
        """Gives what is new to every reader; whether there may be more."""
        async with self._pool.acquire() as conn:
            bounds = await events.bounds(conn)
            if self.position < 0 or bounds.epoch != self.epoch:
                self.epoch, self.position = bounds.epoch, bounds.last
                return False
            rows = await events.after(conn, self.epoch, self.position, BATCH)
        for row in rows:
            self.position = row["position"]
            for reader in self._readers:
                reader.put(row)
        return len(rows) == BATCH

    async def _forget(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None and not conn.is_closed():
            conn.terminate()


async def _wait(wake: asyncio.Event, stop: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waiting, timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def past(pool: Pool, epoch: int, position: int) -> AsyncIterator[Any]:
    """Every event after a position up to now, in pages; no connection is held between them."""
    while True:
        async with pool.acquire() as conn:
            rows = await events.after(conn, epoch, position, BATCH)
        for row in rows:
            position = row["position"]
            yield row
        if len(rows) < BATCH:
            return
