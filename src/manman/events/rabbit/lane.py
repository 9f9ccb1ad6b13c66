"""pika's connection with a fast lane: deliveries and confirms go from the received bytes to whoever waits for them.

Handshake, channels, heartbeats, errors and all other frames are pika's own. What is in the lane is three frames of one message in a
row, and acks; the order of what arrives is kept, whichever way a frame takes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from pika import frame
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.exceptions import ConnectionClosedByClient, InvalidFrameError

from manman.events.bus import Delivery
from manman.events.rabbit import frames

RECEIVE_BYTES = 1 << 16  # pika reads 4096 at once
LOOKS_EVERY = 0.25  # seconds
Take = Callable[[Delivery], None]
Confirmed = Callable[[int, bool, bool], None]
"""Called with the tag, whether all before it are meant, whether it is an ack (else a nack)."""


class LaneChannel(Channel):  # type: ignore[misc]  # pika is untyped
    """A channel whose deliveries (`take`) and confirms (`confirmed`) go past pika once these are set."""

    take: Take | None = None
    confirmed: Confirmed | None = None

    def close(self, reply_code: int = 0, reply_text: str = "Normal shutdown") -> None:
        """Closes without cancelling its consumer first: what is unacked would come behind what waits."""
        self._consumers.clear()
        super().close(reply_code, reply_text)


class LaneConnection(AsyncioConnection):  # type: ignore[misc]
    """See the module."""

    _frame_buffer: bytes
    _looked_at = math.inf
    held_since = math.inf
    """What is read now did not come before this time of the loop."""

    def emit(self, chunks: Sequence[bytes], count: int) -> None:
        """Sends frames, `count` of them, that were encoded elsewhere."""
        self.frames_sent += count
        for chunk in chunks:
            self.bytes_sent += len(chunk)
            self._adapter_emit_data(chunk)

    def hang_up(self) -> None:
        """Ends the connection without asking the broker; its close callback is called soon."""
        self._terminate_stream(ConnectionClosedByClient(320, "the broker did not answer"))

    def _on_connection_workflow_done(self, conn_or_exc: Any) -> None:
        # Of an opening that was given up pika tells the exception's class, and then trips over it.
        super()._on_connection_workflow_done(conn_or_exc() if isinstance(conn_or_exc, type) else conn_or_exc)

    def _create_channel(self, channel_number: int, on_open_callback: Any) -> Channel:
        return LaneChannel(self, channel_number, on_open_callback)

    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = RECEIVE_BYTES
        super()._proto_connection_made(transport)
        loop = asyncio.get_running_loop()
        self._looked_at = loop.time()
        self._look(loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop runs, so the socket is read. When a process goes on that stood still, this is due at once, and what has come in
        between is read within a few rounds: so the look before counts."""
        self.held_since, self._looked_at = self._looked_at, loop.time()
        if self._transport is not None:
            loop.call_later(LOOKS_EVERY, self._look, loop)

    def _on_data_available(self, data_in: bytes) -> None:
        self.bytes_received += len(data_in)
        buffer = self._frame_buffer + data_in if self._frame_buffer else data_in
        at, after = -1, 0
        while after != at:
            at = after
            after = self._read(buffer, at)
        self._frame_buffer = buffer[at:]

    def _read(self, buffer: bytes, at: int) -> int:
        """Where what follows the frame or the message at `at` begins; `at` itself when not all of it has arrived."""
        if len(buffer) - at < frames.OVERHEAD:
            return at
        kind, number, length = frames.FRAME.unpack_from(buffer, at)
        if kind not in frames.KINDS or length > self.params.frame_max:
            raise InvalidFrameError(f"what came is no AMQP frame: {buffer[at : at + 16]!r}")
        end = at + 7 + length
        if end >= len(buffer):
            return at
        if kind == frames.METHOD:
            channel = self._channels.get(number)
            if channel is not None:
                after = self._fast(channel, buffer, at, end)
                if after is not None:
                    return after
        return self._slow(buffer, at, end)

    def _fast(self, channel: Any, buffer: bytes, at: int, end: int) -> int | None:
        """As `_read` for what is in the lane, None for what is not."""
        method = buffer[at + 7 : at + 11]
        if method == frames.DELIVER and channel.take is not None:
            try:
                message, after = frames.delivery(buffer, at, end, self.params.frame_max, self.held_since)
            except frames.Incomplete:
                return at
            if message is None:
                return None
            self.frames_received += 3 if message.body else 2
            channel.take(message)
            return after
        if (method == frames.ACK or method == frames.NACK) and channel.confirmed is not None:
            self.frames_received += 1
            channel.confirmed(*frames.confirm(buffer, at, end), method == frames.ACK)
            return end + 1
        return None

    def _slow(self, buffer: bytes, at: int, end: int) -> int:
        _, decoded = frame.decode_frame(buffer[at : end + 1])
        self._process_frame(decoded)
        return end + 1
