"""Logs: Stream. Each viewer has an exclusive, bounded queue of its own on the bus; the past is told again by the host."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from manman.api import json
from manman.api.callers import Caller
from manman.api.office import Office
from manman.api.refusals import invalid, not_found
from manman.api.usecases import stream_case
from manman.api.weaving import CHUNK, Weave
from manman.domain.ids import HostId, SessionId
from manman.errors import Malformed, Transient, Unavailable
from manman.events import codec, topology
from manman.events.bus import Consumer, Delivery
from manman.events.contracts import LogLine, LogLines
from manman.events.outbox import command
from manman.store import listed, power
from manman.store.listed import now as database_now
from manman.v1 import logs_pb2 as pb

PREFETCH = 200
LINGER = timedelta(milliseconds=20)
LOOK = timedelta(milliseconds=500)
# Seconds without a word after which the host, which says when it has told all, says no more; its first answer may take longer.
QUIET = 1.5
FIRST_ANSWER = 6.0
MOST_LINES = 500
RECONNECT = 0.5


def bye(reason: str) -> pb.LogBatch:
    """The last thing said."""
    return pb.LogBatch(bye=reason)


@dataclass(slots=True, kw_only=True)
class View:
    """One viewer. `heard` and `asked` are moments of the office's clock; `told` whether anything came since it was asked."""

    office: Office
    session: SessionId
    host: HostId
    weave: Weave
    until_now: bool
    heard: float
    asked: float = 0.0
    told: bool = True

    def quiet(self) -> bool:
        """Whether the host has said all that it will say for now."""
        since = self.office.clock() - max(self.heard, self.asked)
        return since > (QUIET if self.told else FIRST_ANSWER)


@stream_case("Logs.StreamLogs", bye)
async def stream_logs(request: pb.StreamLogsRequest, caller: Caller, office: Office) -> AsyncIterator[pb.LogBatch]:
    first = getattr(request, "from")
    if first < 0:
        raise invalid("/from", "must not be negative")
    async with office.pool.acquire() as conn:
        row = await listed.one(conn, "sessions", "session_id", request.session_id, timedelta(seconds=10))
    if row is None:
        raise not_found("session", request.session_id)
    view = View(
        office=office,
        session=SessionId(row["session_id"]),
        host=HostId(row["host_id"]),
        weave=Weave(first or (1 if request.until_now else 0)),
        until_now=request.until_now,
        heard=office.clock(),
    )
    return _stream(view)


async def _stream(view: View) -> AsyncIterator[pb.LogBatch]:
    while True:
        try:
            async for batch in _connected(view):
                yield batch
            return
        except Unavailable:
            # The bus comes back by itself; what was missed meanwhile is told again.
            await asyncio.sleep(RECONNECT)
            view.weave.again()


async def _connected(view: View) -> AsyncIterator[pb.LogBatch]:
    bus = view.office.bus
    name = f"view.{view.session}.{view.office.chance(8).hex()}"
    await bus.declare(topology.live_view(name, view.session, view.host))
    try:
        async with bus.consume(name, PREFETCH) as consumer:
            async for batch in _follow(view, consumer):
                yield batch
    finally:
        with contextlib.suppress(Transient):
            await bus.delete_queue(name)


async def _follow(view: View, consumer: Consumer) -> AsyncIterator[pb.LogBatch]:
    reason: str | None = None
    while reason is None:
        if view.weave.ask is not None:
            await _ask(view, view.weave.ask)
        deliveries = await consumer.get_batch(PREFETCH, linger=LINGER, wait=LOOK)
        said = [body for one in deliveries if (body := said_by(one)) is not None]
        shown = view.weave.take(line for body in said for line in body.lines)
        ends = max((body.complete_to for body in said if body.complete_to is not None), default=None)
        if deliveries:
            await consumer.ack(deliveries[-1])
            view.heard, view.told = view.office.clock(), True
        if ends is not None and view.weave.is_complete(ends):
            reason = await _settled(view)
        elif not deliveries and view.quiet():
            shown = view.weave.give_up()
            reason = await _settled(view)
        for batch in batches(view.session, shown):
            yield batch
    yield bye(reason)


async def _settled(view: View) -> str | None:
    """Why the stream ends now that nothing comes; None while it goes on."""
    if view.weave.gap:
        return None
    view.weave.settle()
    return "until_now" if view.until_now else await _over(view)


async def _ask(view: View, first: int) -> None:
    """Asks the host to tell lines again; one that is away answers when it returns."""
    async with view.office.pool.transaction() as conn:
        told = command(
            view.host,
            "tail",
            now=await database_now(conn),
            chance=view.office.chance,
            session_id=view.session,
            from_=first,
            limit=CHUNK,
        )
        await power.tell(conn, [told])
    view.weave.asked()
    view.asked, view.told = view.office.clock(), False


async def _over(view: View) -> str | None:
    """`session_over`, once it is and nothing more came."""
    async with view.office.pool.acquire() as conn:
        row: Any = await listed.one(conn, "sessions", "session_id", view.session, timedelta(seconds=10))
    view.heard = view.office.clock()
    return "session_over" if row is None or row["ended_at"] is not None else None


def said_by(delivery: Delivery) -> LogLines | None:
    """What a message says of the console; None for one that cannot be understood."""
    try:
        body = codec.decode(delivery.key, delivery.headers, delivery.body).body
    except Malformed:
        return None
    return body if isinstance(body, LogLines) else None


def batches(session: int, lines: list[LogLine]) -> list[pb.LogBatch]:
    """Lines as messages of the stream."""
    made = []
    for start in range(0, len(lines), MOST_LINES):
        part = lines[start : start + MOST_LINES]
        shown = [
            json.fill(
                pb.LogLine(), {"n": line.n, "at": line.at, "stream": line.stream, "text": line.text.replace("\0", "")}
            )
            for line in part
        ]
        made.append(pb.LogBatch(session_id=session, lines=shown, last=part[-1].n))
    return made
