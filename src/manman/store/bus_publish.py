"""Publishing on PostgreSQL: routing as a topic exchange does, bounds, time to live, dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from manman.events import topics
from manman.events.bus import Outcome, Outgoing, Overflow
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)

DEFAULT_EXCHANGE = ""  # a key is a queue's name there
_UNBOUNDED = 1_000_000_000


class Routes:
    """All bindings, read again when they changed; matches are remembered for each (exchange, key)."""

    def __init__(self) -> None:
        self._known = (-1, -1)
        self._by_exchange: dict[str, list[tuple[str, str]]] = {}
        self._found: dict[tuple[str, str], tuple[str, ...]] = {}

    async def refresh(self, conn: Connection) -> None:
        """Asks whether bindings changed since; one statement."""
        rows = await conn.fetch(sql["routes"], *self._known)
        if not rows:
            return
        self._by_exchange, self._found = {}, {}
        bound = [row for row in rows if row["id"] is not None]
        for row in bound:
            self._by_exchange.setdefault(row["exchange"], []).append((row["pattern"], row["queue"]))
        self._known = (rows[0]["count"], max((row["id"] for row in bound), default=0))

    def queues(self, exchange: str, key: str) -> tuple[str, ...]:
        """The queues that want this key, each once."""
        if exchange == DEFAULT_EXCHANGE:
            return (key,)
        found = self._found.get((exchange, key))
        if found is None:
            bound = self._by_exchange.get(exchange, ())
            found = tuple(dict.fromkeys(queue for pattern, queue in bound if topics.matches(pattern, key)))
            if len(self._found) > 10_000:
                self._found.clear()
            self._found[exchange, key] = found
        return found


@dataclass(slots=True)
class _Room:
    """What one locked queue still takes. None: no bound."""

    ttl: timedelta | None
    max_length: int | None
    max_bytes: int | None
    rejects: bool
    dead_letter_exchange: str | None
    free: int | None = None
    free_bytes: int | None = None

    def take(self, size: int) -> bool:
        if not self.rejects:
            return True
        if (self.free is not None and self.free < 1) or (self.free_bytes is not None and self.free_bytes < size):
            return False
        if self.free is not None:
            self.free -= 1
        if self.free_bytes is not None:
            self.free_bytes -= size
        return True


async def publish(conn: Connection, routes: Routes, batch: Sequence[Outgoing]) -> list[Outcome]:
    """Within the caller's transaction: each message into every queue that wants it; an outcome for each, in order.

    The caller's commit is the confirm. Queues are locked by name, so publishers of the same queue follow one another.
    """
    await routes.refresh(conn)
    targets = [routes.queues(message.exchange, message.key) for message in batch]
    rooms = await _lock(conn, {queue for wanted in targets for queue in wanted})
    outcomes: list[Outcome] = []
    rows: list[tuple[str, Outgoing]] = []
    for message, wanted in zip(batch, targets, strict=True):
        there = [queue for queue in wanted if queue in rooms]
        taken = [queue for queue in there if rooms[queue].take(len(message.body))]
        rows.extend((queue, message) for queue in taken)
        outcomes.append(_outcome(message, len(there), len(taken)))
    if rows:
        await _insert(conn, rows, rooms)
        await _drop_heads(conn, routes, rooms, {queue for queue, _ in rows})
        await conn.execute(sql["wake"], sorted({queue for queue, _ in rows}))
    return outcomes


def _outcome(message: Outgoing, wanted: int, taken: int) -> Outcome:
    if not wanted:
        return Outcome.UNROUTABLE if message.mandatory else Outcome.CONFIRMED
    return Outcome.CONFIRMED if taken == wanted else Outcome.NACKED


async def _lock(conn: Connection, names: Iterable[str]) -> dict[str, _Room]:
    rooms = {}
    for row in await conn.fetch(sql["lock_queues"], sorted(names)):
        room = _Room(
            ttl=row["ttl"],
            max_length=row["max_length"],
            max_bytes=row["max_bytes"],
            rejects=row["overflow"] == Overflow.REJECT_PUBLISH,
            dead_letter_exchange=row["dead_letter_exchange"],
        )
        if room.rejects:
            ready = await conn.fetchrow(sql["room"], row["name"], room.max_length or _UNBOUNDED)
            room.free = None if room.max_length is None else room.max_length - ready["messages"]
            room.free_bytes = None if room.max_bytes is None else room.max_bytes - ready["bytes"]
        rooms[row["name"]] = room
    return rooms


async def _insert(conn: Connection, rows: Sequence[tuple[str, Outgoing]], rooms: Mapping[str, _Room]) -> None:
    columns: tuple[list[Any], ...] = ([], [], [], [], [], [], [])
    for queue, message in rows:
        lives = [span for span in (message.ttl, rooms[queue].ttl) if span is not None]
        values = (
            queue,
            message.exchange,
            message.key,
            msgspec.json.encode(dict(message.headers)).decode(),
            message.body,
            message.message_id,
            min(lives) if lives else None,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    await conn.execute(sql["insert"], *columns)


async def _drop_heads(conn: Connection, routes: Routes, rooms: Mapping[str, _Room], queues: Iterable[str]) -> None:
    """Queues that grew over their bound lose their oldest, counted, to their dead letters where they have some."""
    for queue in sorted(queues):
        room = rooms[queue]
        if room.rejects or (room.max_length is None and room.max_bytes is None):
            continue
        excess = await _excess(conn, queue, room)
        if excess:
            dropped = await conn.fetch(sql["drop_head"], queue, excess)
            await conn.execute(sql["count_dropped"], queue, len(dropped))
            await bury(conn, routes, room.dead_letter_exchange, dropped)


async def _excess(conn: Connection, queue: str, room: _Room) -> int:
    ready = await conn.fetchrow(sql["room"], queue, _UNBOUNDED)
    over = max(0, ready["messages"] - room.max_length) if room.max_length is not None else 0
    if room.max_bytes is None or ready["bytes"] <= room.max_bytes:
        return over
    left, n = ready["bytes"], 0
    for row in await conn.fetch(sql["head_sizes"], queue, ready["messages"]):
        if left <= room.max_bytes:
            break
        left, n = left - row["size"], n + 1
    return max(over, n)


async def bury(conn: Connection, routes: Routes, exchange: str | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Publishes what a queue gave up to its dead-letter exchange, in order, without its time to live."""
    if exchange is None or not rows:
        return
    ordered = sorted(rows, key=lambda row: row["id"])
    again = [
        Outgoing(
            exchange=exchange, key=row["key"], body=row["body"], headers=row["headers"], message_id=row["message_id"]
        )
        for row in ordered
    ]
    await publish(conn, routes, again)


async def expire(conn: Connection, routes: Routes) -> int:
    """Takes out what waited longer than it may, a thousand at most; returns how many."""
    rows = await conn.fetch(sql["expired"])
    for exchange in {row["dead_letter_exchange"] for row in rows}:
        await bury(conn, routes, exchange, [row for row in rows if row["dead_letter_exchange"] == exchange])
    return len(rows)
