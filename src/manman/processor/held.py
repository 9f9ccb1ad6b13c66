"""Messages that wait in a consumer, a host's together: none of them is acknowledged, and other hosts go on."""

from dataclasses import dataclass
from operator import itemgetter

from manman.events.bus import Delivery
from manman.processor.order import PATIENCE
from manman.processor.world import Arrived, Journal
from manman.store.bounds import TooLong

RETRY_AFTER = 0.1  # seconds, doubling
MOST_PAUSE = 10.0  # seconds
# Of patience, between two looks: while the database or this process is away, the other queue stands too.
MOST_COUNTED = 1.0  # seconds

Item = tuple[Delivery, Arrived]
Numbered = tuple[int, Item]


@dataclass(slots=True)
class Held:
    """Messages of one host that wait behind one that fails, or that came too early. `tries` are those that failed by a bug, `pauses`
    those after which it waits. Where it came too early, `patience` are the seconds that it still waits for its predecessor, `looked_at`
    is when that was last looked for, and the first `in_turn` of what waits stand in their turn."""

    waiting: list[Item]
    again_at: float
    error: str
    tries: int = 0
    pauses: int = 0
    patience: float | None = None
    looked_at: float = 0.0
    in_turn: int = 1

    def add(self, item: Item) -> None:
        """Behind what waits. It takes its turn when somebody looks: a long queue is sorted once, not at each message."""
        self.waiting.append(item)

    def first(self) -> Item:
        """Whose turn it is. Where others came too early for it, it has the patience of one that came now."""
        if self.patience is not None and self.in_turn < len(self.waiting):
            before = self.waiting[0]
            self.waiting = in_turn(self.waiting)
            self.in_turn = len(self.waiting)
            if self.waiting[0] is not before:
                self.patience = PATIENCE
        return self.waiting[0]

    def waited(self, patience: float, now: float) -> float:
        """What is left of its patience."""
        return patience - min(now - self.looked_at, MOST_COUNTED)

    def failed(self, error: Exception, now: float) -> None:
        """Wait, longer than the last time. What only took too long is no bug, and is tried until others wait behind it."""
        self.pauses += 1
        self.tries += not isinstance(error, TooLong)
        self.error = f"{type(error).__name__}: {error}"
        self.again_at = now + min(RETRY_AFTER * 2 ** min(self.pauses - 1, 10), MOST_PAUSE)


def in_turn(items: list[Item]) -> list[Item]:
    """A host's messages by journal and number: the journal whose first came first, and ahead of it the one that it follows. What has no
    number stays where it is."""
    places: list[int] = []
    journals: dict[Journal, list[Numbered]] = {}
    for place, item in enumerate(items):
        journal, number = item[1].journal, item[1].sequence
        if journal is not None and number is not None:
            places.append(place)
            journals.setdefault(journal, []).append((number, item))
    for told in journals.values():
        told.sort(key=itemgetter(0))
    moved: list[Numbered] = []
    while journals:
        for journal in _line(journals):
            moved += journals.pop(journal)
    stand = list(items)
    for place, (_, item) in zip(places, moved, strict=True):
        stand[place] = item
    return stand


def _line(journals: dict[Journal, list[Numbered]]) -> list[Journal]:
    """The first journal, ahead of it the one that it follows, and so on. Journals that follow each other in a ring, which no host says
    by mistake, stand as they came."""
    line: dict[Journal, None] = {}
    journal: Journal | None = next(iter(journals))
    while journal is not None:
        if journal in line:
            return list(line)
        line[journal] = None
        journal = _followed(journals, journals[journal][0])
    return list(reversed(line))


def _followed(journals: dict[Journal, list[Numbered]], first: Numbered) -> Journal | None:
    """The journal that the first of another one names, where some of what it said up to there waits too."""
    number, (_, arrived) = first
    after = None if arrived.attributes is None or number != 1 else arrived.attributes.after
    if after is None or arrived.journal is None:
        return None
    journal = (arrived.journal[0], after[0])
    return journal if journal in journals and journals[journal][0][0] <= after[1] else None
