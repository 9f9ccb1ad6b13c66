"""An AMQP connection without a network: what it would send is kept, what the broker says is fed to it."""

import asyncio
from typing import Any

from pika import frame, spec
from pika.amqp_object import Method

from manman.events.rabbit.lane import LaneChannel, LaneConnection


class Wire(LaneConnection):
    """Open from the start; `sent` holds what was written. It needs no running loop."""

    def __init__(self, frame_max: int = 131072) -> None:
        self.sent: list[bytes] = []
        super().__init__(custom_ioloop=asyncio.AbstractEventLoop(), internal_connection_workflow=False)
        self.params.frame_max = frame_max
        self._body_max_length = self._get_body_frame_max_length()
        self.server_capabilities = {"basic.nack": True, "publisher_confirms": True, "consumer_cancel_notify": True}
        self._opened = True
        self._set_connection_state(self.CONNECTION_OPEN)

    def _adapter_emit_data(self, data: bytes) -> None:
        self.sent.append(data)

    def open(self, number: int) -> LaneChannel:
        """An open channel of that number."""
        channel: LaneChannel = self.channel(number)
        self.hear(method(number, spec.Channel.OpenOk()))
        return channel

    def hear(self, data: bytes) -> None:
        """Takes bytes as if they had come."""
        self._on_data_available(data)

    @property
    def waiting(self) -> int:
        """How many bytes wait for the rest of their frame or message."""
        return len(self._frame_buffer)


def method(number: int, said: Method) -> bytes:
    """A method's frame."""
    return bytes(frame.Method(number, said).marshal())


def message(number: int, said: Method, properties: spec.BasicProperties, body: bytes, most: int) -> list[bytes]:
    """The frames of a message, by pika: its method, its header, its body in parts of `most` bytes."""
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    return [
        method(number, said),
        bytes(frame.Header(number, len(body), properties).marshal()),
        *(bytes(frame.Body(number, part).marshal()) for part in parts),
    ]


def read(data: bytes) -> list[Any]:
    """All frames in these bytes, as pika decodes them."""
    found = []
    while data:
        consumed, one = frame.decode_frame(data)
        assert consumed, "the last frame is not whole"
        found.append(one)
        data = data[consumed:]
    return found
