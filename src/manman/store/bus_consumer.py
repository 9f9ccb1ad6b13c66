"""One consumer on PostgreSQL: takes messages in order above a low-water mark, settles many at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Protocol

from manman.errors import ManManError, Unavailable
from manman.events.bus import Delivery
from manman.events.rabbit import keeping
from manman.store import bus_publish
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)

POLL_SECONDS = 1.0
CLOSE_SECONDS = 5.0


class Home(Protocol):
    """What a consumer needs of its bus."""

    routes: bus_publish.Routes

    def work(self, *, hurry: bool = False) -> AbstractAsyncContextManager[Connection]:
        """A transaction; with `hurry` its commit need not be on disk: losing it is a redelivery."""
        ...

    async def leave(self, consumer: PostgresConsumer) -> None:
        """Returns what the consumer holds, now or as soon as the database is in reach again."""
        ...


class PostgresConsumer:
    """See `manman.events.bus.Consumer`. `id` is its row; `wake` is called when its queue may have something."""

    def __init__(self, home: Home, queue: str, id: int, prefetch: int) -> None:
        self.id = id
        self.queue = queue
        self._home = home
        self._prefetch = prefetch
        self._arrived: deque[Delivery] = deque()
        self._ids: dict[int, int] = {}  # tag → message id, of everything unsettled
        self._tag = 0
        self._low = 0
        self._swept = 0.0
        self._wake = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None
        self._ended: ManManError | None = None

    def wake(self) -> None:
        """Something was published, returned or lost."""
        self._wake.set()

    def end(self, why: ManManError) -> None:
        """Every further call raises `why`."""
        if self._ended is None:
            self._ended = why
        self._arrived.clear()
        self._wake.set()

    async def get_batch(
        self, most: int, linger: timedelta = timedelta(0), wait: timedelta | None = None
    ) -> list[Delivery]:
        """See `bus.Consumer.get_batch`."""
        loop = asyncio.get_running_loop()
        if not await self._until(1, most, None if wait is None else loop.time() + wait.total_seconds()):
            return []
        await self._until(most, most, loop.time() + linger.total_seconds())
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    async def _until(self, enough: int, most: int, deadline: float | None) -> bool:
        """Whether `enough` have arrived by the loop's time `deadline`; asks for up to `most`."""
        loop = asyncio.get_running_loop()
        while len(self._arrived) < enough:
            self._wake.clear()
            await self._take(most - len(self._arrived))
            if len(self._arrived) >= enough:
                break
            next_poll = loop.time() + POLL_SECONDS
            until = next_poll if deadline is None else min(deadline, next_poll)
            if deadline is not None and loop.time() >= deadline:
                return False
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                pass
        self._check()
        return True

    async def _take(self, most: int) -> None:
        """Takes messages into `_arrived`; goes on when its caller is cancelled, so that nothing is taken and forgotten."""
        self._check()
        if self._taking is None or self._taking.done():
            room = min(most, self._prefetch - len(self._ids))
            if room < 1:
                return
            self._taking = asyncio.get_running_loop().create_task(self._fetch(room))
        await asyncio.shield(self._taking)
        self._check()

    async def _fetch(self, room: int) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._swept >= POLL_SECONDS:
            # What another consumer gave back lies below the mark.
            self._low, self._swept = 0, now
        async with self._home.work(hurry=True) as conn:
            began = asyncio.get_running_loop().time()
            rows = await conn.fetch(sql["fetch"], self.queue, self._low, room, self.id)
            if not rows and not await conn.fetchval(sql["here"], self.id):
                self.end(Unavailable(f"the consumer of queue {self.queue!r} is no longer known to the database"))
        if self._ended is not None:
            return
        for row in sorted(rows, key=lambda row: row["id"]):
            self._tag += 1
            self._low = row["id"]
            self._ids[self._tag] = row["id"]
            self._arrived.append(_delivery(self._tag, row, began))

    async def ack(self, up_to: Delivery) -> None:
        """See `bus.Consumer.ack`."""
        await self._settle([tag for tag in self._ids if tag <= up_to.tag])

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        """See `bus.Consumer.ack_many`."""
        await self._settle([delivery.tag for delivery in deliveries])

    async def _settle(self, tags: Sequence[int]) -> None:
        self._check()
        ids = [self._ids[tag] for tag in tags if tag in self._ids]
        if not ids:
            return
        async with self._home.work(hurry=True) as conn:
            done = await conn.execute(sql["settle"], self.queue, ids, self.id)
        for tag in tags:
            self._ids.pop(tag, None)
        self._wake.set()
        if done != f"DELETE {len(ids)}":
            self.end(Unavailable(f"messages of queue {self.queue!r} returned before they were settled"))
            self._check()

    async def reject(self, delivery: Delivery) -> None:
        """See `bus.Consumer.reject`."""
        self._check()
        async with self._home.work() as conn:
            rows = await conn.fetch(sql["reject"], self.queue, self._ids[delivery.tag], self.id)
            for row in rows:
                await bus_publish.bury(conn, self._home.routes, row["dead_letter_exchange"], [row])
        self._ids.pop(delivery.tag, None)
        self._wake.set()

    async def close(self) -> None:
        """See `bus.Consumer.close`."""
        self.end(Unavailable("this consumer is closed"))
        if self._taking is not None:
            self._taking.add_done_callback(keeping.unheard)
            await asyncio.wait([self._taking], timeout=CLOSE_SECONDS)
        await self._home.leave(self)

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended


def _delivery(tag: int, row: Any, held_since: float) -> Delivery:
    return Delivery(
        tag=tag,
        exchange=row["exchange"],
        key=row["key"],
        body=row["body"],
        headers=row["headers"],
        attempts=row["attempts"],
        redelivered=row["attempts"] > 0,
        message_id=row["message_id"],
        held_since=held_since,
    )
