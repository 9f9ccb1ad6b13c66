"""Console lines to the bus: batches of 50 ms or 64 KiB, best effort, numbers as the wrapper gave them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from manman.domain.ids import HostId, SessionId
from manman.errors import ManManError
from manman.events import codec, contracts, topics
from manman.events.bus import MOST_AT_ONCE, Bus, Outgoing
from manman.events.envelope import HOST
from manman.wrapper import spool_reader
from manman.wrapper.spool import Record

BATCH_BYTES = 64 * 1024
EVERY = 0.05
MOST_WAITING = MOST_AT_ONCE  # batches; more are dropped, and the numbers tell viewers how many lines that were
PATIENCE = timedelta(seconds=5)
MOST_TAIL = 1000


def line_of(record: Record) -> contracts.LogLine:
    """A line as it travels."""
    at = datetime.fromtimestamp(record.time / 1_000_000, UTC)
    return contracts.LogLine(n=record.number, at=at, stream=record.stream, text=record.text.replace("\0", ""))


def batches(session_id: SessionId, host_id: HostId, lines: Iterable[Record]) -> list[Outgoing]:
    """The messages that carry these lines, each of at most 64 KiB of text (or one line)."""
    out: list[Outgoing] = []
    batch: list[contracts.LogLine] = []
    size = 0
    for record in lines:
        if batch and size + len(record.payload) > BATCH_BYTES:
            out.append(_message(session_id, host_id, batch))
            batch, size = [], 0
        batch.append(line_of(record))
        size += len(record.payload)
    if batch:
        out.append(_message(session_id, host_id, batch))
    return out


def _message(
    session_id: SessionId, host_id: HostId, lines: Sequence[contracts.LogLine], complete_to: int | None = None
) -> Outgoing:
    body = contracts.LogLines(session_id=session_id, host_id=host_id, lines=list(lines), complete_to=complete_to)
    return Outgoing(
        exchange=topics.INTERNAL,
        key=topics.logs(session_id, host_id),
        body=codec.encode_body(body),
        headers={HOST: str(host_id)},
    )


class Lines:
    """Publishes lines as they come, never holding up whoever reads them."""

    def __init__(self, bus: Bus, host_id: HostId) -> None:
        self._bus, self._host_id = bus, host_id
        self._waiting: deque[Outgoing] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()

    def add(self, session_id: SessionId, lines: Sequence[Record]) -> None:
        """Takes lines of a session, in order."""
        if lines:
            self._waiting.extend(batches(session_id, self._host_id, lines))
            self._news.set()

    def tail(self, session_id: SessionId, folder: Path | None, first: int, most: int) -> None:
        """Publishes lines again from number `first` on, at most `most` (1,000); says so where there are no more. Without a
        folder there are none."""
        most = min(most, MOST_TAIL)
        lines = spool_reader.lines_from(folder, first, most) if folder is not None else []
        self.add(session_id, lines)
        if len(lines) < most:
            last = lines[-1].number if lines else first - 1
            self._waiting.append(_message(session_id, self._host_id, [], complete_to=last))
            self._news.set()

    async def run(self) -> None:
        """Publishes for ever; cancel it to stop."""
        while True:
            await self._news.wait()
            await asyncio.sleep(EVERY)
            self._news.clear()
            await self.step()

    async def step(self) -> None:
        """Publishes what waits; without a bus it is dropped: the spool has it, and a viewer asks for it."""
        batch = list(self._waiting)
        self._waiting.clear()
        if not batch or not self._bus.connected:
            return
        try:
            await self._bus.publish(batch, patience=PATIENCE)
        except ManManError:
            pass
