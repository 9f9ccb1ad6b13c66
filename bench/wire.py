"""AMQP 0-9-1 as bare frames on a socket: what loads a run must cost little beside what is measured."""

import select
import socket
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import pika
from pika import frame, spec

CHANNEL = 1
END = bytes([spec.FRAME_END])
ACK = spec.Basic.Ack.INDEX.to_bytes(4, "big")
METHOD = slice(7, 11)  # where a method's number stands in its frame


def before(exchange: str, key: str, size: int, headers: Mapping[str, object], **properties: object) -> bytes:
    """What stands before the body of a message of `size` bytes; `END` stands behind it."""
    publish = spec.Basic.Publish(exchange=exchange, routing_key=key)
    said = pika.BasicProperties(headers=dict(headers), content_type="application/json", **properties)  # type: ignore[arg-type]
    head = frame.Method(CHANNEL, publish).marshal() + frame.Header(CHANNEL, size, said).marshal()
    return head + bytes([spec.FRAME_BODY]) + CHANNEL.to_bytes(2, "big") + size.to_bytes(4, "big")


def connect(broker: str) -> socket.socket:
    """A connection with one open channel."""
    url = urlsplit(broker)
    wire = socket.create_connection((url.hostname, url.port or 5672))
    wire.sendall(frame.ProtocolHeader().marshal())
    answer(wire)
    secret = f"\0{unquote(url.username or 'guest')}\0{unquote(url.password or 'guest')}".encode()
    start = spec.Connection.StartOk(client_properties={}, mechanism="PLAIN", response=secret, locale="en_US")
    say(wire, 0, start)
    answer(wire)
    wire.sendall(
        frame.Method(0, spec.Connection.TuneOk(channel_max=10, frame_max=131_072, heartbeat=0)).marshal()
        + frame.Method(0, spec.Connection.Open(virtual_host=unquote(url.path[1:]) or "/")).marshal()
    )
    answer(wire)
    say(wire, CHANNEL, spec.Channel.Open())
    answer(wire)
    return wire


def close(wire: socket.socket) -> None:
    """Say goodbye and wait for the answer, so that everything before it was read."""
    say(wire, 0, spec.Connection.Close(reply_code=200, reply_text="", class_id=0, method_id=0))
    answer(wire)
    wire.close()


def say(wire: socket.socket, channel: int, method: object) -> None:
    """One method."""
    wire.sendall(frame.Method(channel, method).marshal())


def answer(wire: socket.socket) -> None:
    """Wait for one frame."""
    head = wire.recv(7, socket.MSG_WAITALL)
    wire.recv(int.from_bytes(head[3:], "big") + 1, socket.MSG_WAITALL)


class Confirms:
    """A channel in confirm mode: how many of what it published is confirmed. Raises `RuntimeError` where the broker refuses one."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire, self.count = wire, 0
        self._above: set[int] = set()
        self._read = b""
        say(wire, CHANNEL, spec.Confirm.Select())
        answer(wire)

    def take(self, patience: float = 0.0) -> None:
        """What has come; waits so many seconds for it."""
        if not select.select([self.wire], [], [], patience)[0]:
            return
        self._read += self.wire.recv(1 << 18)
        at = 0
        while len(self._read) >= at + 8 and len(self._read) >= (end := at + 8 + _size(self._read, at)):
            self._settle(self._read[at:end])
            at = end
        self._read = self._read[at:]

    def _settle(self, one: bytes) -> None:
        if one[METHOD] != ACK:
            raise RuntimeError(f"the broker does not take what is published: {one!r}")
        tag, below = int.from_bytes(one[11:19], "big"), one[19] & 1
        if below:
            self.count = max(self.count, tag)
            self._above = {other for other in self._above if other > tag}
        else:
            self._above.add(tag)
        while self.count + 1 in self._above:
            self.count += 1
            self._above.remove(self.count)


def _size(read: bytes, at: int) -> int:
    return int.from_bytes(read[at + 3 : at + 7], "big")
