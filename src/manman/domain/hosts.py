"""Hosts: the order of their heartbeats, when one is silent, and when that may be judged at all.

Only the database's clock is asked, so skew on a host or a replica cannot change a verdict. `stale` is how a host becomes
offline without having said so.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from manman.domain.ids import HostId

GOODBYE = (1 << 63) - 1
"""The beat of a boot that said goodbye: nothing of that boot is newer."""

PULSE_FRESH = timedelta(seconds=3)
MASS_OF = 4


class Presence(StrEnum):
    """What a host's history and events say of it; `new` has never been heard."""

    NEW = "new"
    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Liveness of one host, as its row says. `last_seen` is None until it was first heard.

    `returned_at` is set when it came back and cleared once a report was applied; `asked_at` is when it was last asked for one.
    `journal` is that of the life that (boot, beat) are of.
    """

    host_id: HostId
    online: bool
    boot: int
    beat: int
    last_seen: datetime | None
    returned_at: datetime | None = None
    asked_at: datetime | None = None
    journal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMoved:
    """A host came or went: one history row, and one external event where it `is_announced`."""

    host_id: HostId
    from_: Presence
    to: Presence
    at: datetime
    cause: str
    last_seen: datetime | None = None
    mass: bool | None = None
    event_id: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_announced(self) -> bool:
        """Whether it left or returned. One that was gone already, and says so late, leaves no second time."""
        return Presence.ONLINE in (self.from_, self.to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The ear: when heartbeats last came through, and since when without a pause."""

    last: datetime
    since: datetime


def presence(*, online: bool, beat: int, last_seen: datetime | None) -> Presence:
    """What a liveness row says: who was never heard is new, and a goodbye is a beat that nothing of its boot exceeds."""
    if online:
        return Presence.ONLINE
    if last_seen is None:
        return Presence.NEW
    return Presence.OFFLINE if beat == GOODBYE else Presence.STALE


def is_newer(boot: int | None, beat: int | None, known: tuple[int, int] | None) -> bool:
    """Whether a heartbeat counts. One without a boot is always the newest (a plain publisher); else (boot, beat) must rise."""
    if known is None or boot is None:
        return True
    return (boot, beat or 0) > known


def boot_to_exceed(boot: int, journal: str | None, known: tuple[int, str | None]) -> int | None:
    """The boot above which an agent must go to be heard; None where its own is good.

    An older boot than the known one, or the known one under another journal, is a disk that came back from a copy: its beats would
    not count, or count only once they exceed those of the life that is over.
    """
    known_boot, known_journal = known
    if boot < known_boot:
        return known_boot
    if boot == known_boot and journal is not None and known_journal is not None and journal != known_journal:
        return known_boot + 1
    return None


def is_silent(last_seen: datetime, now: datetime, threshold: timedelta) -> bool:
    """Whether nothing was heard for longer than the threshold."""
    return now - last_seen > threshold


def can_judge(pulse: Pulse | None, now: datetime, threshold: timedelta, reconnect: timedelta) -> bool:
    """Whether silence means something: heartbeats come through, and have for long enough that every agent is back."""
    if pulse is None or now - pulse.last > PULSE_FRESH:
        return False
    return now - pulse.since > threshold + reconnect


def deaf_since(pulse: Pulse | None, now: datetime) -> datetime | None:
    """Since when nothing is heard at all; None while the ear is good."""
    if pulse is None:
        return None
    return pulse.last if now - pulse.last > PULSE_FRESH else None


def is_mass(silent: int, online: int) -> bool:
    """Whether more than half of at least four fell silent together: they wait one further threshold."""
    return online >= MASS_OF and silent * 2 > online


def unreachable_since(heard: Heard | None, now: datetime, threshold: timedelta) -> datetime | None:
    """Since when nobody knows how a host's sessions are: silent or offline since it was last seen; back, but no report
    applied yet: since then; else None."""
    if heard is None:
        return None
    if heard.last_seen is None or not heard.online or is_silent(heard.last_seen, now, threshold):
        return heard.last_seen
    return heard.returned_at


def lease_size(deployments: int) -> int:
    """How many session ids a host should hold: a reboot takes one for each deployment at once."""
    return max(50, 4 * deployments)
