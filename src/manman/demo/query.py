"""Answers to Valve's server queries A2S_INFO and A2S_PLAYER, with the challenge that keeps forged senders from using us.

Source: https://developer.valvesoftware.com/wiki/Server_queries
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

_PLAIN = b"\xff\xff\xff\xff"
_INFO = _PLAIN + b"TSource Engine Query\0"
_PLAYER = _PLAIN + b"U"


class Shown(NamedTuple):
    """What a server browser is shown; players are (name, score, seconds here)."""

    name: str
    map: str
    version: str
    port: int
    most: int
    players: Sequence[tuple[str, int, float]]


def challenge(secret: bytes, address: tuple[str, int]) -> bytes:
    """The four bytes that this sender must repeat: whoever forges an address never sees them. Nothing is remembered."""
    seed = f"{address[0]} {address[1]}".encode()
    found = hashlib.blake2b(seed, key=secret, digest_size=4).digest()
    return found if found != _PLAIN else b"\0\0\0\0"


def reply(request: bytes, secret: bytes, address: tuple[str, int], shown: Shown) -> bytes | None:
    """The answer to a datagram; None for what is no query."""
    if request.startswith(_INFO):
        given, answer = request[len(_INFO) :], _info
    elif request.startswith(_PLAYER):
        given, answer = request[len(_PLAYER) :], _players
    else:
        return None
    expected = challenge(secret, address)
    return answer(shown) if given[:4] == expected else _PLAIN + b"A" + expected


def _text(text: str) -> bytes:
    return text.replace("\0", "").encode() + b"\0"


def _info(shown: Shown) -> bytes:
    return b"".join(
        (
            _PLAIN + b"I\x11",
            _text(shown.name),
            _text(shown.map),
            _text("manman-demo"),
            _text("Text arena"),
            struct.pack("<HBBB", 0, min(255, len(shown.players)), shown.most, 0),
            b"dl\0\0",  # dedicated, Linux, no password, no VAC
            _text(shown.version),
            struct.pack("<BH", 0x80, shown.port),
        )
    )


def _players(shown: Shown) -> bytes:
    rows = [
        bytes((index % 256,)) + _text(name) + struct.pack("<lf", score, seconds)
        for index, (name, score, seconds) in enumerate(shown.players[:255])
    ]
    return _PLAIN + b"D" + bytes((len(rows),)) + b"".join(rows)
