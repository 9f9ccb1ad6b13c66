"""One channel, one consumer: messages in order, many settled at once; closing it returns the rest in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pika import exceptions as failures
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from manman.errors import ManManError, Unavailable
from manman.events.bus import NO_HEADERS, Delivery, QueueMissing
from manman.events.envelope import Header
from manman.events.rabbit import link

COUNT_HEADER = "x-delivery-count"


class RabbitConsumer:
    """See `bus.Consumer`. Made by `open`."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._channel: Channel
        self._arrived: deque[Delivery] = deque()
        self._unacked: dict[int, None] = {}
        self._more = asyncio.Event()
        self._ended: ManManError | None = None

    @classmethod
    async def open(cls, connection: AsyncioConnection, queue: str, prefetch: int) -> RabbitConsumer:
        """Consuming when this returns; raises `QueueMissing`, `QueueLocked` or `NotAllowed`."""
        consumer = cls(queue)
        channel = await link.open_channel(connection, on_closed=lambda error: consumer._end(link.ours(error)))
        consumer._channel = channel
        channel.add_on_cancel_callback(lambda _: consumer._end(QueueMissing(f"queue {queue!r} was deleted")))
        try:
            await link.reply(channel, channel.basic_qos, prefetch_count=prefetch)
            await link.reply(channel, channel.basic_consume, queue, consumer._take)
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
        return [self._arrived.popleft() for _ in range(min(most, len(self._arrived)))]

    async def _until(self, enough: int, deadline: float | None) -> bool:
        """Whether `enough` have arrived by the loop's time `deadline`; raises what ended the channel."""
        while len(self._arrived) < enough:
            self._check()
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
        self._settle(up_to.tag, multiple=True)

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        """See `bus.Consumer.ack_many`; what is a run from the oldest unsettled one is settled by one frame."""
        tags = sorted(delivery.tag for delivery in deliveries)
        run = 0
        for known, tag in zip(list(self._unacked), tags, strict=False):
            if known != tag:
                break
            run += 1
        if run:
            self._settle(tags[run - 1], multiple=True)
        for tag in tags[run:]:
            self._settle(tag, multiple=False)

    async def reject(self, delivery: Delivery) -> None:
        """See `bus.Consumer.reject`."""
        self._check()
        try:
            self._channel.basic_reject(delivery.tag, requeue=False)
        except failures.AMQPError as error:
            raise link.ours(error) from error
        self._unacked.pop(delivery.tag, None)

    async def close(self) -> None:
        """See `bus.Consumer.close`. Never `basic.cancel`, after which unacked messages come behind the waiting
        ones."""
        self._end(Unavailable("this consumer is closed"))
        await link.close_channel(self._channel)

    def _settle(self, tag: int, *, multiple: bool) -> None:
        self._check()
        try:
            self._channel.basic_ack(tag, multiple=multiple)
        except failures.AMQPError as error:
            raise link.ours(error) from error
        if not multiple:
            self._unacked.pop(tag, None)
            return
        for known in list(self._unacked):
            if known > tag:
                break
            del self._unacked[known]

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _end(self, why: ManManError) -> None:
        if self._ended is None:
            self._ended = why
        self._arrived.clear()
        self._more.set()

    def _take(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if self._ended is not None:
            return
        raw: dict[str, Any] = properties.headers or {}
        self._unacked[method.delivery_tag] = None
        self._arrived.append(
            Delivery(
                tag=method.delivery_tag,
                exchange=method.exchange,
                key=method.routing_key,
                body=body,
                headers=_plain(raw) if raw else NO_HEADERS,
                attempts=int(raw.get(COUNT_HEADER, 0)),
                redelivered=bool(method.redelivered),
                message_id=properties.message_id,
                user_id=properties.user_id,
            )
        )
        self._more.set()


def _plain(raw: dict[str, Any]) -> Mapping[str, Header]:
    """Headers of simple types; the broker's own (`x-…`) and nested ones are left out, times become RFC 3339."""
    out: dict[str, Header] = {}
    for name, value in raw.items():
        if name.startswith("x-"):
            continue
        if isinstance(value, datetime):
            out[name] = value.isoformat()
        elif value is None or isinstance(value, str | int | float | bool):
            out[name] = value
    return out
