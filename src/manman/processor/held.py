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
        place = len(self.waiting)
        if self.early_until is not None:
            place = next((n for n, other in enumerate(self.waiting) if _precedes(item[1], other[1])), place)
        self.waiting.insert(place, item)
        if place == 0:
            self.again_at = 0.0

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
