"""One channel in confirm mode: published in order, an outcome for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel

from manman.errors import Unavailable
from manman.events.bus import Outcome, Outgoing
from manman.events.rabbit import link

CONFIRM_SECONDS = 30.0


class _Batch:
    """The messages of one call that are not settled yet; `done` gets their outcomes, in order."""

    __slots__ = ("done", "left", "outcomes")

    def __init__(self, size: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * size
        self.left = size
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def settle(self, n: int, outcome: Outcome) -> None:
        # A message that was returned is confirmed right after: it stays unroutable.
        if self.outcomes[n] is None:
            self.outcomes[n] = outcome
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result([found for found in self.outcomes if found is not None])


class Publisher:
    """Messages of any number of calls on one channel. A channel that the broker closed fails all of them and is not
    used again."""

    def __init__(self, channel: Channel, user_id: str) -> None:
        self._channel = channel
        self._user_id = user_id
        self._tag = 0
        self._open: dict[int, tuple[_Batch, int]] = {}

    @classmethod
    async def open(cls, connection: AsyncioConnection, user_id: str) -> Publisher:
        """A fresh channel in confirm mode."""
        made: list[Publisher] = []
        channel = await link.open_channel(connection, on_closed=lambda error: made[0]._fail(error) if made else None)
        publisher = cls(channel, user_id)
        made.append(publisher)
        channel.add_on_return_callback(publisher._returned)
        await link.reply(channel, channel.confirm_delivery, publisher._confirmed)
        return publisher

    @property
    def usable(self) -> bool:
        """Whether the channel is open."""
        return bool(self._channel.is_open)

    async def publish(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        """Outcomes in the batch's order; raises what closed the channel, `TimedOut` after 30 s without the last
        confirm."""
        if not batch:
            return []
        waiting = _Batch(len(batch))
        try:
            for n, message in enumerate(batch):
                self._send(message, waiting, n)
            async with asyncio.timeout(CONFIRM_SECONDS):
                return await waiting.done
        except TimeoutError:
            await link.close_channel(self._channel)
            raise Unavailable(f"the broker confirmed nothing for {CONFIRM_SECONDS:.0f} s") from None
        except Exception as error:
            raise link.ours(error) from error

    async def close(self) -> None:
        """Closes the channel; what is unconfirmed fails."""
        await link.close_channel(self._channel)

    def _send(self, message: Outgoing, waiting: _Batch, n: int) -> None:
        tag = self._tag + 1
        # AMQP's basic.return names no delivery tag, so a message that may be returned carries it.
        mark = str(tag) if message.mandatory else None
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=2,
            headers=dict(message.headers) or None,
            message_id=message.message_id,
            correlation_id=mark,
            user_id=self._user_id,
            expiration=None if message.ttl is None else str(max(0, int(message.ttl.total_seconds() * 1000))),
        )
        self._channel.basic_publish(
            message.exchange, message.key, message.body, properties, mandatory=message.mandatory
        )
        self._tag = tag
        self._open[tag] = (waiting, n)

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        outcome = Outcome.CONFIRMED if isinstance(method, pika.spec.Basic.Ack) else Outcome.NACKED
        tags = [method.delivery_tag]
        if method.multiple:
            tags = []
            for tag in self._open:  # in the order published
                if tag > method.delivery_tag:
                    break
                tags.append(tag)
        for tag in tags:
            waiting, n = self._open.pop(tag)
            waiting.settle(n, outcome)

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        waiting, n = self._open[int(properties.correlation_id)]
        waiting.outcomes[n] = Outcome.UNROUTABLE

    def _fail(self, error: BaseException) -> None:
        waiting = {id(batch): batch for batch, _ in self._open.values() if not batch.done.done()}
        self._open.clear()
        why = link.ours(error)
        if len(waiting) > 1 and not isinstance(why, Unavailable):
            # The broker does not say whose message it refused.
            why = Unavailable(f"the broker closed the channel that several publish on: {why}")
        for batch in waiting.values():
            batch.done.set_exception(why)
