"""Heartbeats of many hosts at a rate, as bare frames on a socket: what publishes must not be what is measured.

`python -m bench.beats RABBITMQ_URL HOSTS RATE SECONDS` prints how many it published, in how many seconds, and when it began
(`time.perf_counter`, which is one clock for all processes).
"""

import json
import socket
import sys
import time
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import pika
from pika import frame, spec

from manman.domain.ids import HostId
from manman.events import envelope, topics

TICK = 0.01
CHANNEL = 1
FIRST_BEAT = 10_000_000  # each number has eight digits, so that all bodies of a host have one length
JOURNAL, WRITTEN = "beats", 100  # what each host's journal is said to hold
END = bytes([spec.FRAME_END])


def main(broker: str, hosts: int, rate: int, seconds: int) -> None:
    """One beat of each host after the other, round and round."""
    templates = [template(host) for host in range(1, hosts + 1)]
    wire = connect(broker)
    total, done = rate * seconds, 0
    began = time.perf_counter()
    while done < total:
        due = min(total, int((time.perf_counter() - began) * rate))
        wire.sendall(frames(templates, done, due))
        done = due
        time.sleep(TICK)
    print(json.dumps({"seconds": time.perf_counter() - began, "count": done, "began": began}))
    close(wire)


def frames(templates: Sequence[tuple[bytes, bytes]], first: int, last: int) -> bytes:
    """Beats `first` up to `last`, host after host."""
    out, many = [], len(templates)
    for n in range(first, last):
        before, after = templates[n % many]
        out += (before, b"%d" % (FIRST_BEAT + n // many), after)
    return b"".join(out)


def template(host: int, sessions: int = 3) -> tuple[bytes, bytes]:
    """What stands before and after the beat's number in the frames of the heartbeat of a host that holds so many sessions."""
    before = b'{"host_id":%d,"boot":1,"beat":' % host
    after = (
        b',"journal_id":"%b","sequence":%d,"sessions":{"total":%d,"pending":0,"starting":0,"running":%d,"stopping":0},'
        b'"live":{"count":%d,"xor":%d},"cpu":0.01,"memory":{"used":1234567890,"total":34359738368},'
        b'"disk":{"total":1099511627776,"free":549755813888},"players":0}'
    ) % (JOURNAL.encode(), WRITTEN, *(sessions,) * 3, host if sessions else 0)
    size = len(before) + len(str(FIRST_BEAT)) + len(after)
    publish = spec.Basic.Publish(exchange=topics.INTERNAL, routing_key=topics.heartbeat(HostId(host)))
    properties = pika.BasicProperties(
        headers={envelope.HOST: str(host)}, content_type="application/json", delivery_mode=1
    )
    head = frame.Method(CHANNEL, publish).marshal() + frame.Header(CHANNEL, size, properties).marshal()
    begin = bytes([spec.FRAME_BODY]) + CHANNEL.to_bytes(2, "big") + size.to_bytes(4, "big")
    return head + begin + before, after + END


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


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
