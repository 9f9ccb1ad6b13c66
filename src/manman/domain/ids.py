"""Identities: each noun's own number type, and UUIDv7 for events and public tokens."""

from collections.abc import Callable
from datetime import datetime
from typing import NewType
from uuid import UUID

HostId = NewType("HostId", int)
GameId = NewType("GameId", int)
ConfigId = NewType("ConfigId", int)
DeploymentId = NewType("DeploymentId", int)
SessionId = NewType("SessionId", int)
UserId = NewType("UserId", int)

Chance = Callable[[int], bytes]
"""`chance(n)` gives n random bytes; the shell passes `os.urandom`, the simulation its seed."""


def uuid7_text(now: datetime, chance: Chance) -> str:
    """`uuid7` as text, without the value in between: one is made for every event."""
    digits = f"{_uuid7(now, chance):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uuid7(now: datetime, chance: Chance) -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): milliseconds of `now`, then 74 random bits; ids of one process sort by time."""
    return UUID(int=_uuid7(now, chance))


def _uuid7(now: datetime, chance: Chance) -> int:
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    random = int.from_bytes(chance(10), "big")
    return milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
