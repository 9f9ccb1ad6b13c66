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


_VARIANTS = dict(
    zip("0123456789abcdef", "89ab" * 4, strict=True)
)  # the two bits that say "RFC 9562", and two random ones


def uuid7(now: datetime, chance: Chance) -> UUID:
    """A UUIDv7 (RFC 9562, section 5.7): milliseconds of `now`, then 74 random bits; ids of one process sort by time."""
    return UUID(uuid7_text(now, chance))


def uuid7_text(now: datetime, chance: Chance) -> str:
    """`uuid7` as text."""
    return uuid7_texts(now, chance, 1)[0]


def uuid7_texts(now: datetime, chance: Chance, count: int) -> list[str]:
    """So many at once: chance is asked once. One is made for every event."""
    milliseconds = f"{int(now.timestamp() * 1000) & (1 << 48) - 1:012x}"
    head, digits = f"{milliseconds[:8]}-{milliseconds[8:]}-7", chance(10 * count).hex()
    made = (digits[at : at + 20] for at in range(0, 20 * count, 20))
    return [f"{head}{one[:3]}-{_VARIANTS[one[3]]}{one[4:7]}-{one[7:19]}" for one in made]
