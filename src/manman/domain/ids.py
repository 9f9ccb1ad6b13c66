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


def uuid7(now: datetime, chance: Chance) -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): milliseconds of `now`, then 74 random bits; ids of one process sort by time."""
    milliseconds = int(now.timestamp() * 1000) & (1 << 48) - 1
    random = int.from_bytes(chance(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return UUID(int=value)
