"""Messages that wait in a consumer, a host's together: none of them is acknowledged, and other hosts go on."""

from dataclasses import dataclass

from manman.events.bus import Delivery
from manman.processor.world import Arrived
from manman.store.bounds import TooLong

RETRY_AFTER = 0.1  # seconds, doubling
MOST_PAUSE = 10.0  # seconds

Item = tuple[Delivery, Arrived]


@dataclass(slots=True)
class Held:
    """Messages of one host that wait behind one that fails, or that came too early, in order. `tries` are those that failed by a bug,
    `pauses` those after which it waits. One that is early waits until its predecessor is settled, at most until `early_until`."""

    waiting: list[Item]
    again_at: float
    error: str
    tries: int = 0
    pauses: int = 0
    early_until: float | None = None

    def add(self, item: Item) -> None:
        """Behind what waits. Where that came too early, ahead of what is later, in the same journal or the next: it waits for this one."""
        first = self.waiting[0]
        if self.early_until is not None:
            self._put(item)
        else:
            self.waiting.append(item)
        if self.waiting[0] is not first:
            self.again_at = 0.0

    def _put(self, item: Item) -> None:
        """Ahead of the first that it precedes; what precedes it, or one of those, comes before it too, in the order in which it came."""
        place = next((n for n, other in enumerate(self.waiting) if _precedes(item[1], other[1])), len(self.waiting))
        behind, ahead, last = self.waiting[place:], set[int](), [item]
        while last:
            more = [n for n, one in enumerate(behind) if n not in ahead and any(_precedes(one[1], o[1]) for o in last)]
            ahead |= set(more)
            last = [behind[n] for n in more]
        moved = [behind[n] for n in sorted(ahead)]
        self.waiting[place:] = [*moved, item, *(one for n, one in enumerate(behind) if n not in ahead)]

    def failed(self, error: Exception, now: float) -> None:
        """Wait, longer than the last time. What only took too long is tried for ever: that is no bug."""
        self.pauses += 1
        self.tries += not isinstance(error, TooLong)
        self.error = f"{type(error).__name__}: {error}"
        self.again_at = now + min(RETRY_AFTER * 2 ** min(self.pauses - 1, 10), MOST_PAUSE)


def _precedes(one: Arrived, other: Arrived) -> bool:
    """In its journal, or in the journal before the one that the other begins."""
    if one.journal is None or one.sequence is None or other.journal is None or other.sequence is None:
        return False
    if one.journal == other.journal:
        return one.sequence < other.sequence
    after = None if other.attributes is None else other.attributes.after
    return after is not None and one.journal == (other.host_id, after[0]) and one.sequence <= after[1]
