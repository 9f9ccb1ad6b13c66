"""One channel in confirm mode: published in order, an outcome for each message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from manman.errors import Malformed, Unavailable
from manman.events.bus import PATIENCE, Outcome, Outgoing
from manman.events.rabbit import frames, leaders, link
from manman.events.rabbit.lane import LaneChannel, LaneConnection

CHUNK_BYTES = 1 << 18  # what the socket does not take at once is copied


class _Batch:
    """The messages of one call, with tags from `first`; `done` gets their outcomes, in order. `heard`: when the last was settled."""

    __slots__ = ("_now", "done", "first", "heard", "last", "left", "outcomes")

    def __init__(self, first: int, size: int) -> None:
        self.first, self.last, self.left = first, first + size - 1, size
        self.outcomes = [Outcome.CONFIRMED] * size
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[list[Outcome]] = loop.create_future()
        self._now = loop.time
        self.heard = self._now()

    async def is_settled(self, patience: float) -> bool:
        """Waits for the last confirm (or for what ended the channel); False when none came for so many seconds."""
        while not self.done.done() and (left := self.heard + patience - self._now()) > 0:
            await asyncio.wait([self.done], timeout=left)
        return self.done.done()

    def refuse(self, tag: int) -> None:
        # A message that was returned is confirmed or refused right after: it stays unroutable.
        if self.outcomes[tag - self.first] is Outcome.CONFIRMED:
            self.outcomes[tag - self.first] = Outcome.NACKED

    def settle(self, count: int) -> None:
        self.left -= count
        self.heard = self._now()
        if not self.left and not self.done.done():
            self.done.set_result(self.outcomes)


class Publisher:
    """Messages of any number of calls on one channel. A channel that the broker closed fails all of them and is not
    used again."""

    def __init__(self, channel: LaneChannel, user_id: str) -> None:
        self._channel = channel
        self._connection: LaneConnection = channel.connection
        self._writer = frames.Writer(channel.channel_number, user_id, self._connection._body_max_length)
        self._tag = 0
        self._mark = 0  # all tags up to it are settled,
        self._above: set[int] = set()  # and these
        self._open: deque[_Batch] = deque()  # in the order published

    @classmethod
    async def open(cls, connection: LaneConnection, user_id: str) -> Publisher:
        """A fresh channel in confirm mode."""
        made: list[Publisher] = []
        channel = await link.open_channel(connection, on_closed=lambda error: made[0]._fail(error) if made else None)
        publisher = cls(channel, user_id)
        made.append(publisher)
        channel.add_on_return_callback(publisher._returned)
        try:
            await link.reply(channel, channel.confirm_delivery, lambda _: None)
        except BaseException:
            await link.close_channel(channel)
            raise
        channel.confirmed = publisher._confirmed
        return publisher

    @property
    def usable(self) -> bool:
        """Whether the channel is open."""
        return bool(self._channel.is_open)

    async def publish(self, batch: Sequence[Outgoing], patience: timedelta = PATIENCE) -> list[Outcome]:
        """Outcomes in the batch's order; raises what closed the channel, `Unanswered` when no confirm came for `patience`: the channel is
        then left, and fails all that others publish on it."""
        if not batch:
            return []
        try:
            waiting = self._send(batch)
        except Exception as error:
            raise link.ours(error) from error
        try:
            if await waiting.is_settled(patience.total_seconds()):
                return waiting.done.result()
        finally:
            waiting.done.cancel()  # nobody asks any more
        self._leave()
        raise leaders.unanswered(self._known(waiting), patience.total_seconds())

    def _leave(self) -> None:
        """Closes the channel without waiting for the broker; what is unconfirmed fails."""
        self._channel.confirmed = None  # what is confirmed now is nobody's
        link.leave_channel(self._channel)
        self._fail(Unavailable("the channel was left"))

    def _known(self, batch: _Batch) -> list[Outcome | None]:
        return [
            outcome if tag <= self._mark or tag in self._above else None
            for tag, outcome in enumerate(batch.outcomes, batch.first)
        ]

    def _send(self, batch: Sequence[Outgoing]) -> _Batch:
        """Writes all of it or, where a message has no form in AMQP, nothing: raises `Malformed`."""
        if not self._channel.is_open:
            raise Unavailable("the channel is closed")
        chunks: list[bytes] = []
        out: list[bytes] = []
        size, tag, write = 0, self._tag, self._writer.message
        for message in batch:
            tag += 1
            try:
                # AMQP's basic.return names no delivery tag, so a message that may be returned carries it.
                size += write(out, message, str(tag) if message.mandatory else None)
            except Exception as error:
                raise Malformed(
                    "message", f"under {message.key!r:.60} it has no form in AMQP: {error!r:.200}"
                ) from error
            if size > CHUNK_BYTES:
                chunks.append(b"".join(out))
                out.clear()
                size = 0
        chunks.append(b"".join(out))
        waiting = _Batch(self._tag + 1, len(batch))
        self._tag = tag
        self._open.append(waiting)
        self._connection.emit([chunk for chunk in chunks if chunk], 3 * len(batch))
        return waiting

    def _confirmed(self, tag: int, multiple: bool, is_ack: bool) -> None:
        if multiple:
            self._up_to(tag, is_ack)
            self._mark = max(self._mark, tag)
            if self._above:
                self._above = {other for other in self._above if other > tag}
        else:
            batch = next(batch for batch in self._open if tag <= batch.last)
            if not is_ack:
                batch.refuse(tag)
            batch.settle(1)
            self._above.add(tag)
        while self._mark + 1 in self._above:
            self._mark += 1
            self._above.discard(self._mark)
        while self._open and self._open[0].last <= self._mark:
            self._open.popleft()

    def _up_to(self, tag: int, is_ack: bool) -> None:
        for batch in self._open:
            first, last = max(batch.first, self._mark + 1), min(batch.last, tag)
            before = [other for other in self._above if first <= other <= last]
            if not is_ack:
                for refused in set(range(first, last + 1)).difference(before):
                    batch.refuse(refused)
            if first <= last:
                batch.settle(last + 1 - first - len(before))

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        tag = int(properties.correlation_id)
        for batch in self._open:
            if batch.first <= tag <= batch.last:
                batch.outcomes[tag - batch.first] = Outcome.UNROUTABLE

    def _fail(self, error: BaseException) -> None:
        waiting = [batch for batch in self._open if not batch.done.done()]
        self._open.clear()
        why = link.ours(error)
        if len(waiting) > 1 and not isinstance(why, Unavailable):
            # The broker does not say whose message it refused.
            why = Unavailable(f"the broker closed the channel that several publish on: {why}")
        for batch in waiting:
            batch.done.set_exception(why)
