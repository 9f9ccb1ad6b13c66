"""What `make bench` measures without any service can still be measured: it calls what the product calls."""

import socket

import msgspec
import pytest
from pika import frame, spec

from bench import codec, wire
from bench.world import World, keys, stream


def test_each_step_of_a_message_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "ROUNDS", 2)
    assert {figure.what for figure in codec.measure()} >= {"decode a plain body", "encode", "read its frames"}


def test_what_is_said_is_known_by_session_and_word() -> None:
    world = World(hosts=3, deployments=7, rounds=2)
    said = [msgspec.json.decode(message.body) for message in stream(world)]
    assert keys(world) == [(body["session_id"], body["status"]) for body in said]


def test_confirms_are_counted_without_gaps_however_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(wire, "answer", lambda _: None)
    confirms = wire.Confirms(ours)
    counts = []
    for tag, multiple in ((2, False), (1, False), (6, False), (5, True), (7, False)):
        theirs.sendall(frame.Method(1, spec.Basic.Ack(delivery_tag=tag, multiple=multiple)).marshal())
        confirms.take(1)
        counts.append(confirms.count)
    assert counts == [0, 2, 2, 6, 7]
    two = b"".join(frame.Method(1, spec.Basic.Ack(delivery_tag=tag)).marshal() for tag in (8, 9))
    for piece in (two[:30], two[30:]):
        theirs.sendall(piece)
        confirms.take(1)
    assert confirms.count == 9
    theirs.sendall(frame.Method(1, spec.Basic.Nack(delivery_tag=10)).marshal())
    with pytest.raises(RuntimeError, match="does not take"):
        confirms.take(1)
    ours.close()
    theirs.close()
