"""Partitions of what hosts say: who consumes which, and how their number changes under load.

A generation is a number of partitions with its own way from `manman`: one partition is the queue `processor-events`, more are queues
behind a consistent-hash exchange. A change makes another generation, in this order; each step may be repeated:

    begin → bind → (both ways, for a moment) → unbind the old → mark its ends → the old is drained → mark again → close → delete

What a host says while both ways are bound comes twice and is a duplicate. A mark is a message that is put at a queue's end once nothing
is routed there any more: whoever consumes it has settled all before it. Only when each old queue's mark was consumed may the new
generation be consumed, so a host's messages keep their order. The second mark, some time later, proves that nothing was late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

OVERLAP = timedelta(seconds=2)  # both ways are bound: what was routed before is in its queue when the old way ends
QUIET = timedelta(seconds=2)  # from drained to the second mark, and from closed to deleted
MARK_AGAIN = timedelta(seconds=10)  # a mark may be lost with a purged queue
# The connection of a process that froze while it led lives no longer than this: before, its last step may still arrive.
TAKEN_OVER = timedelta(seconds=10)
MOST = 64
FIRST_MARK, LAST_MARK = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A generation that was begun and is not gone. `ended`: for each partition the last mark that was consumed at its end.

    Times are the database's: `bound_at` since when hosts' messages go there, `unbound_at` since when no more do, `marked_at` when its
    ends were marked last, `drained_at` when the first mark of each was seen, `closed_at` since when nobody consumes it.
    """

    number: int
    partitions: int
    ended: tuple[int, ...]
    bound_at: datetime | None = None
    unbound_at: datetime | None = None
    marked_at: datetime | None = None
    drained_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def drained(self) -> bool:
        """Whether all that was routed there is settled, as far as its first marks say."""
        return self.unbound_at is not None and min(self.ended) >= FIRST_MARK

    @property
    def round(self) -> int:
        """Which marks are wanted at its ends."""
        return FIRST_MARK if self.drained_at is None else LAST_MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for: so many partitions. `generation` rises with each asking."""

    partitions: int
    generation: int


class Do(StrEnum):
    """A step of a change."""

    BEGIN = "begin"
    BIND = "bind"
    UNBIND = "unbind"
    MARK = "mark"
    NOTE_DRAINED = "note_drained"
    CLOSE = "close"
    REOPEN = "reopen"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done next, with which generation."""

    do: Do
    number: int
    partitions: int


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One partition of one generation."""

    generation: int
    partitions: int
    number: int


def may_act(led_for: timedelta | None) -> bool:
    """Whether nothing of this leader's predecessor can arrive any more; None where there was none."""
    return led_for is None or led_for >= TAKEN_OVER


def next_step(wanted: Wanted, begun: Sequence[Generation], now: datetime, *, led_for: timedelta | None) -> Step | None:
    """What the leader does next, None when there is nothing (yet). `begun` in the order of their numbers.

    `led_for`: how long this process has led after another one, None when there was none before it. One that took over waits until
    nothing of its predecessor can arrive any more.
    """
    if not may_act(led_for):
        return None
    if not begun:
        return Step(do=Do.BEGIN, number=wanted.generation, partitions=wanted.partitions)
    newest = begun[-1]
    if newest.bound_at is None:
        return _step(Do.BIND, newest)
    for old in begun[:-1]:
        return _retire(old, newest.bound_at, now)
    if newest.partitions != wanted.partitions:
        number = max(wanted.generation, newest.number + 1)
        return Step(do=Do.BEGIN, number=number, partitions=wanted.partitions)
    return None


def _retire(old: Generation, replaced_at: datetime, now: datetime) -> Step | None:
    """The next step that takes an old generation away; None while one has to wait."""
    if old.unbound_at is None:
        return _step(Do.UNBIND, old) if now - replaced_at >= OVERLAP else None
    if old.closed_at is not None:
        return _step(Do.DELETE, old) if now - old.closed_at >= QUIET else None
    if old.drained_at is not None and now - old.drained_at < QUIET:
        return None
    if min(old.ended) >= old.round:
        return _step(Do.NOTE_DRAINED if old.drained_at is None else Do.CLOSE, old)
    if old.marked_at is None or now - old.marked_at >= MARK_AGAIN:
        return _step(Do.MARK, old)
    return None


def _step(do: Do, generation: Generation) -> Step:
    return Step(do=do, number=generation.number, partitions=generation.partitions)


def consumed(begun: Sequence[Generation]) -> tuple[Generation, ...]:
    """Which generations are consumed: every old one until it is closed, the newest only once all old ones are drained."""
    old, newest = begun[:-1], begun[-1:]
    open_ = tuple(one for one in old if one.closed_at is None)
    return open_ + (tuple(newest) if all(one.drained for one in old) else ())


def owners(partitions: int, replicas: Iterable[str]) -> Mapping[int, str]:
    """Partition p belongs to the live replica p mod n, replicas in their order; nobody lives: an empty mapping."""
    live = sorted(set(replicas))
    return {p: live[p % len(live)] for p in range(partitions)} if live else {}


def share(begun: Sequence[Generation], replicas: Iterable[str], me: str) -> frozenset[Part]:
    """What the replica `me` consumes now."""
    live = sorted(set(replicas))
    return frozenset(
        Part(one.number, one.partitions, p)
        for one in consumed(begun)
        for p, owner in owners(one.partitions, live).items()
        if owner == me
    )


def is_done(wanted: Wanted, begun: Sequence[Generation]) -> bool:
    """Whether the number that was asked for is there and nothing of an earlier one is left."""
    return len(begun) == 1 and begun[0].bound_at is not None and begun[0].partitions == wanted.partitions
