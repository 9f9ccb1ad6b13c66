"""Asking a game how it is, by the protocol that its players use: whether it answers, its name, map and players.

Own codecs where they are a few lines and on the way of readiness (A2S, Teeworlds 0.7, Minetest, BZFlag); the other
protocols by opengsq, which takes 39 MiB and is therefore imported when one is asked for. Every question has a deadline.
"""

from __future__ import annotations

import asyncio
import importlib
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from manman.errors import Malformed, TimedOut

Chance = Callable[[int], bytes]
NOBODY_ANSWERS = (OSError, TimeoutError, asyncio.IncompleteReadError, TimedOut, Malformed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a game said of itself; what the protocol does not tell is null."""

    name: str | None = None
    map: str | None = None
    players: int | None = None
    max_players: int | None = None


class Asked(asyncio.DatagramProtocol):
    """One conversation over UDP with one address."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue(maxsize=64)
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        """The transport is there."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram arrived; more than 64 unread ones are dropped."""
        if not self.arrived.full():
            self.arrived.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens: the wait ends at its deadline or at the next question."""
        if not self.arrived.full():
            self.arrived.put_nowait(b"")

    async def ask(self, question: bytes) -> bytes:
        """Sends and gives the next datagram; raises OSError when the port is closed."""
        if self.transport is None:
            raise OSError("not connected")
        self.transport.sendto(question)
        said = await self.arrived.get()
        if not said:
            raise OSError("nobody listens on that port")
        return said


async def ask(protocol: str, address: str, port: int, *, timeout: timedelta, chance: Chance) -> Answer | None:
    """The game's answer, None when it gives none in time. Raises `Malformed` for a protocol that nobody knows."""
    known = _CODECS.get(protocol)
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            if known is not None:
                return await known(address, port, chance)
            return await _by_opengsq(protocol, address, port, timeout)
    except NOBODY_ANSWERS as error:
        if isinstance(error, Malformed) and error.field == "query.protocol":
            raise
        return None


async def _udp(address: str, port: int, talk: Callable[[Asked], Awaitable[Answer]]) -> Answer:
    transport, asked = await asyncio.get_running_loop().create_datagram_endpoint(Asked, remote_addr=(address, port))
    try:
        return await talk(asked)
    finally:
        transport.close()


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.find(b"\0", at)
    if end < 0:
        raise Malformed("answer", "a text does not end")
    return data[at:end].decode(errors="replace"), end + 1


# ---- Source queries (A2S_INFO) -----------------------------------------------------------------------

_A2S = b"\xff\xff\xff\xffTSource Engine Query\0"


async def _a2s(address: str, port: int, chance: Chance) -> Answer:
    async def talk(asked: Asked) -> Answer:
        said = await asked.ask(_A2S)
        if said[4:5] == b"A":  # a challenge, to be repeated with the question
            said = await asked.ask(_A2S + said[5:9])
        return read_a2s(said)

    return await _udp(address, port, talk)


def read_a2s(said: bytes) -> Answer:
    """An A2S_INFO reply; raises `Malformed`."""
    if said[:5] != b"\xff\xff\xff\xffI" or len(said) < 10:
        raise Malformed("answer", "is no A2S_INFO reply")
    name, at = _text(said, 6)
    where, at = _text(said, at)
    _, at = _text(said, at)
    _, at = _text(said, at)
    if len(said) < at + 4:
        raise Malformed("answer", "ends before the players")
    return Answer(name=name, map=where, players=said[at + 2], max_players=said[at + 3])


# ---- Teeworlds 0.7: a token first, so that a forged address gets no long reply ------------------------

_NO_TOKEN = b"\xff\xff\xff\xff"
_TOKEN_MESSAGE = 5


async def _teeworlds(address: str, port: int, chance: Chance) -> Answer:
    async def talk(asked: Asked) -> Answer:
        mine = chance(4)
        request = b"\x04\0\0" + _NO_TOKEN + bytes((_TOKEN_MESSAGE,)) + mine
        said = await asked.ask(request.ljust(7 + 1 + 512, b"\0"))
        if len(said) < 12 or said[3:7] != mine or said[7] != _TOKEN_MESSAGE:
            raise Malformed("answer", "is no token")
        theirs = said[8:12]
        return read_teeworlds(await asked.ask(b"\x21" + theirs + mine + b"\xff\xff\xff\xffgie3" + b"\0"))

    return await _udp(address, port, talk)


def read_teeworlds(said: bytes) -> Answer:
    """An `inf3` reply of Teeworlds 0.7; raises `Malformed`."""
    if said[9:17] != b"\xff\xff\xff\xffinf3":
        raise Malformed("answer", "is no inf3 reply")
    _, at = _packed(said, 17)
    _, at = _text(said, at)
    name, at = _text(said, at)
    _, at = _text(said, at)
    where, at = _text(said, at)
    _, at = _text(said, at)
    numbers = []
    for _ in range(6):  # flags, skill, players, most players, clients, most clients
        number, at = _packed(said, at)
        numbers.append(number)
    return Answer(name=name, map=where, players=numbers[4], max_players=numbers[5])


def _packed(data: bytes, at: int) -> tuple[int, int]:
    """A number as Teeworlds packs it: six bits and a sign, then seven bits a byte."""
    if at >= len(data):
        raise Malformed("answer", "ends within a number")
    first, shift = data[at], 6
    value, more = first & 0x3F, bool(first & 0x80)
    while more:
        at += 1
        if at >= len(data) or shift > 27:
            raise Malformed("answer", "a number does not end")
        value |= (data[at] & 0x7F) << shift
        more, shift = bool(data[at] & 0x80), shift + 7
    return (~value if first & 0x40 else value), at + 1


# ---- Minetest: a handshake reply means ready ---------------------------------------------------------

_MINETEST = b"\x4f\x45\x74\x03"


async def _minetest(address: str, port: int, chance: Chance) -> Answer:
    async def talk(asked: Asked) -> Answer:
        said = await asked.ask(_MINETEST + b"\0\0\0" + b"\x03\xff\xdc\x01")
        if said[:4] != _MINETEST:
            raise Malformed("answer", "is no Minetest packet")
        if len(said) >= 14 and said[10:12] == b"\0\x01" and asked.transport is not None:
            # It gave us a number among its peers: say goodbye, or it keeps the place for half a minute.
            asked.transport.sendto(_MINETEST + said[12:14] + b"\0" + b"\0\x03")
        return Answer()

    return await _udp(address, port, talk)


# ---- BZFlag: over TCP --------------------------------------------------------------------------------


async def _bzflag(address: str, port: int, chance: Chance) -> Answer:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(b"BZFLAG\r\n\r\n")
        hello = await reader.readexactly(9)
        if hello[:4] != b"BZFS":
            raise Malformed("answer", "is no BZFlag server")
        writer.write(struct.pack(">H2s", 0, b"qg"))
        for _ in range(32):  # other messages may come first
            length, code = struct.unpack(">H2s", await reader.readexactly(4))
            body = await reader.readexactly(length)
            if code == b"qg" and length >= 20:
                numbers = struct.unpack(">10H", body[:20])
                return Answer(players=sum(numbers[4:9]), max_players=numbers[2])
        raise Malformed("answer", "never came")
    finally:
        writer.close()


# ---- OpenTTD: a find-server request; any game info means that it is alive ----------------------------


async def _openttd(address: str, port: int, chance: Chance) -> Answer:
    async def talk(asked: Asked) -> Answer:
        said = await asked.ask(b"\x03\x00\x00")
        if len(said) < 3 or said[2] != 1:
            raise Malformed("answer", "is no OpenTTD game info")
        return Answer()

    return await _udp(address, port, talk)


# ---- everything else ---------------------------------------------------------------------------------

_CODECS: dict[str, Callable[[str, int, Chance], Awaitable[Answer]]] = {
    "a2s": _a2s,
    "source": _a2s,
    "teeworlds": _teeworlds,
    "minetest": _minetest,
    "bzflag": _bzflag,
    "openttd": _openttd,
}
_OPENGSQ = {
    "quake1": "Quake1",
    "quake2": "Quake2",
    "quake3": "Quake3",
    "minecraft": "Minecraft",
    "samp": "Samp",
    "fivem": "FiveM",
    "gamespy1": "GameSpy1",
    "gamespy2": "GameSpy2",
    "gamespy3": "GameSpy3",
    "unreal2": "Unreal2",
    "raknet": "RakNet",
}


def protocols() -> frozenset[str]:
    """The words that `ask` understands."""
    return frozenset(_CODECS) | frozenset(_OPENGSQ)


async def _by_opengsq(protocol: str, address: str, port: int, timeout: timedelta) -> Answer:
    name = _OPENGSQ.get(protocol)
    if name is None:
        known = ", ".join(sorted(protocols()))
        raise Malformed("query.protocol", f"{protocol!r} is not known; one of {known}")
    opengsq: Any = importlib.import_module("opengsq")

    kind: Any = getattr(opengsq, name, None)
    if kind is None:
        raise Malformed("query.protocol", f"{protocol!r} is not in this version of the query library")
    asked: Any = kind(address, port, timeout.total_seconds())
    question: Any = getattr(asked, "get_status", None) or asked.get_info
    try:
        status = await question()
    except Exception as error:  # whatever a strange reply makes it raise means: no answer
        raise TimedOut(f"{protocol} gave no usable answer: {error}") from error
    return _found(status)


def _found(status: Any) -> Answer:
    info = getattr(status, "info", status)

    def read(name: str) -> Any:
        return info.get(name) if isinstance(info, dict) else getattr(info, name, None)

    def first(*names: str) -> Any:
        return next((value for name in names if (value := read(name)) is not None), None)

    listed = getattr(status, "players", None)
    count = len(listed) if isinstance(listed, list) else first("num_players", "numplayers", "players", "clients")
    most = first("max_players", "maxplayers", "sv_maxclients", "clients_max")
    return Answer(
        name=_word(first("name", "hostname", "sv_hostname", "server_name")),
        map=_word(first("map", "mapname", "map_name")),
        players=_count(count),
        max_players=_count(most),
    )


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _count(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
