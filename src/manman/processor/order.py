"""Order over partitions: a message whose predecessor may still lie in another queue waits for it.

A broker that starts again builds its hash ring anew, in any order, so from then on a host's messages may go to another partition
than those that still wait (measured: a `kill -9` moved 130 of 200 hosts). Numbers tell: who comes with a gap, or for the first time
on this channel, is looked up in the inbox; where the number before is not settled the host waits, up to `PATIENCE`. The first of a
journal says which was the last of the journal before it. A number that is really lost costs that wait once. Plain messages have no
number, so no promise.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from manman.domain.ids import HostId
from manman.processor.world import Arrived

PATIENCE = 15.0  # seconds: longer than it takes that another replica consumes a dead one's partitions
MOST_JOURNALS = 200_000

Place = tuple[HostId, str, int]


@dataclass(slots=True)
class Order:
    """Up to which number each journal may be applied, as far as one channel knows: what waits does not count. `settled` says which of
    some numbers are in the inbox."""

    settled: Callable[[Sequence[Place]], Awaitable[set[Place]]]
    last: dict[tuple[HostId, str], int] = field(default_factory=dict)

    def forget(self) -> None:
        """A new channel: others may have gone on meanwhile."""
        self.last.clear()

    async def early(self, batch: Sequence[Arrived]) -> set[int]:
        """The positions in the batch of those that came before their predecessors; asks the inbox once, if at all. Behind one of them
        its host waits: what it says there is taken as not seen."""
        if len(self.last) > MOST_JOURNALS:
            self.forget()
        places = [_place(arrived) for arrived in batch]
        asked: dict[int, Place] = {}
        seen: dict[tuple[HostId, str], int] = {}
        for position, place in enumerate(places):
            if place is None:
                continue
            host, journal, number = place
            passed = seen.get((host, journal), self.last.get((host, journal), 0))
            before = None if number <= passed else _before(batch[position], place)
            if before is not None and before[2] > seen.get(before[:2], self.last.get(before[:2], 0)):
                asked[position] = before
            seen[host, journal] = max(number, passed)
        settled = await self.settled(list(asked.values())) if asked else set()
        early = {position for position, before in asked.items() if before not in settled}
        self._pass(places, early)
        return early

    def passed(self, arrived: Arrived) -> None:
        """One that waited had its turn: what follows it need not wait again, also where nobody keeps its number."""
        self._pass([_place(arrived)], set())

    def _pass(self, places: Sequence[Place | None], early: set[int]) -> None:
        waiting: set[HostId] = set()
        for position, place in enumerate(places):
            if place is None:
                continue
            host, journal, number = place
            if position in early:
                waiting.add(host)
            if host not in waiting:
                self.last[host, journal] = max(number, self.last.get((host, journal), 0))

    async def is_early(self, arrived: Arrived) -> bool:
        """Whether the predecessor of one that waits is still not settled."""
        place = _place(arrived)
        before = None if place is None else _before(arrived, place)
        return before is not None and before not in await self.settled([before])


def _place(arrived: Arrived) -> Place | None:
    """Host, journal and number; a replayed dead letter has its turn whenever it comes."""
    if arrived.replays is not None or arrived.journal is None or arrived.sequence is None:
        return None
    return *arrived.journal, arrived.sequence


def _before(arrived: Arrived, place: Place) -> Place | None:
    """What its host said last before; None where nobody knows."""
    host, journal, number = place
    if number > 1:
        return host, journal, number - 1
    after = None if arrived.attributes is None else arrived.attributes.after
    return None if after is None else (host, *after)
