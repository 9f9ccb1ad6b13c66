"""One channel, one consumer: messages in order, many settled at once; closing it returns the rest in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pika.exceptions import AMQPError

from manman.errors import ManManError, Unavailable
from manman.events.bus import Delivery, QueueMissing
from manman.events.rabbit import frames, leaders, link
from manman.events.rabbit.lane import LaneChannel, LaneConnection

CONSUMER_TAG = "m"  # every message carries it; a channel has one consumer


class RabbitConsumer:
    """See `bus.Consumer`. Made by `open`."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._channel: LaneChannel
        self._arrived: deque[Delivery] = deque()
        self._enough = 1  # how many must have arrived for whoever waits
        self._settled = Settled()
        self._more = asyncio.Event()
        self._ended: ManManError | None = None

    @classmethod
    async def open(cls, connection: LaneConnection, queue: str, prefetch: int) -> RabbitConsumer:
        """Consuming when this returns; raises `QueueMissing`, `QueueLeaderless`, `QueueLocked` or `NotAllowed`."""
        consumer = cls(queue)
        channel = await link.open_channel(connection, on_closed=lambda error: consumer._end(link.ours(error)))
        consumer._channel = channel
        channel.add_on_cancel_callback(lambda _: consumer._end(QueueMissing(f"queue {queue!r} was deleted")))
        channel.take = consumer._take
        try:
            await link.reply(channel, channel.basic_qos, prefetch_count=prefetch)
            await link.reply(channel, channel.basic_consume, queue, consumer._take_slowly, consumer_tag=CONSUMER_TAG)
        except link.NoAnswer as error:
            await link.close_channel(channel)
            raise leaders.leaderless(queue, link.REPLY_SECONDS) from error
        except BaseException:
            await link.close_channel(channel)
            raise
        return consumer

    async def get_batch(
        self, most: int, linger: timedelta = timedelta(0), wait: timedelta | None = None
    ) -> list[Delivery]:
        """See `bus.Consumer.get_batch`."""
        loop = asyncio.get_running_loop()
        if not await self._until(1, None if wait is None else loop.time() + wait.total_seconds()):
            return []
        if linger:
            await self._until(most, loop.time() + linger.total_seconds())
        arrived = self._arrived
        if len(arrived) > most:
            return [arrived.popleft() for _ in range(most)]
        batch = list(arrived)
        arrived.clear()
        return batch

    async def _until(self, enough: int, deadline: float | None) -> bool:
        """Whether `enough` have arrived by the loop's time `deadline`; raises what ended the channel."""
        while len(self._arrived) < enough:
            self._check()
            self._enough = enough
            self._more.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._more.wait()
            except TimeoutError:
                return False
        self._check()
        return True

    async def ack(self, up_to: Delivery) -> None:
        """See `bus.Consumer.ack`."""
        self._check()
        self._ack(up_to.tag, multiple=True)

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        """See `bus.Consumer.ack_many`; what is a run from the oldest unsettled one is settled by one frame."""
        self._check()
        tags = sorted(delivery.tag for delivery in deliveries)
        run = self._settled.run(tags)
        if run:
            self._ack(tags[run - 1], multiple=True)
        for tag in tags[run:]:
            self._ack(tag, multiple=False)

    async def reject(self, delivery: Delivery) -> None:
        """See `bus.Consumer.reject`."""
        self._check()
        try:
            self._channel.basic_reject(delivery.tag, requeue=False)
        except AMQPError as error:
            raise link.ours(error) from error
        self._settled.add(delivery.tag)

    async def close(self) -> None:
        """See `bus.Consumer.close`. Never `basic.cancel`, after which unacked messages come behind the waiting
        ones."""
        self._end(Unavailable("this consumer is closed"))
        await link.close_channel(self._channel)

    def _ack(self, tag: int, *, multiple: bool) -> None:
        if not self._channel.is_open:
            raise Unavailable("the channel is closing")
        self._channel.connection.emit([frames.ack(self._channel.channel_number, tag, multiple=multiple)], 1)
        if multiple:
            self._settled.add_up_to(tag)
        else:
            self._settled.add(tag)

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _end(self, why: ManManError) -> None:
        if self._ended is None:
            self._ended = why
        self._arrived.clear()
        self._more.set()

    def _take(self, delivery: Delivery) -> None:
        if self._ended is not None:
            return
        arrived = self._arrived
        arrived.append(delivery)
        if len(arrived) >= self._enough:
            self._more.set()

    def _take_slowly(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        """A message that pika put together."""
        headers, attempts, message_id, user_id = frames.of_pika(properties)
        self._take(
            Delivery(
                tag=method.delivery_tag,
                exchange=method.exchange,
                key=method.routing_key,
                body=body,
                headers=headers,
                attempts=attempts,
                redelivered=bool(method.redelivered),
                message_id=message_id,
                user_id=user_id,
                held_since=self._channel.connection.held_since,
            )
        )


class Settled:
    """Which of a channel's tags (1, 2, 3, …) are settled: all up to a mark, and some above it."""

    def __init__(self) -> None:
        self._mark = 0
        self._above: set[int] = set()

    def add(self, tag: int) -> None:
        """One is."""
        self._above.add(tag)
        self._rise()

    def add_up_to(self, tag: int) -> None:
        """All up to this one are."""
        if tag > self._mark:
            self._mark = tag
            if self._above:
                self._above = {other for other in self._above if other > tag}
                self._rise()

    def run(self, tags: Sequence[int]) -> int:
        """How many of these rising tags have nothing unsettled between them and before them."""
        mark = self._mark
        for n, tag in enumerate(tags):
            while mark + 1 in self._above:
                mark += 1
            if tag != mark + 1:
                return n
            mark = tag
        return len(tags)

    def _rise(self) -> None:
        while self._mark + 1 in self._above:
            self._mark += 1
            self._above.discard(self._mark)
