"""The relay: from the outbox to numbered `events` rows, and from there to `external`, in order, with confirms.

The leader moves rows under the counter's lock (positions are commit-ordered and gap-free), publishes, and advances its cursor while
it holds the lease. Two leaders repeat, never reorder: a subscriber may see an event twice, never under two ids. A subscriber
whose queue refuses is retried three times and then passed, so that it holds up nobody else; it catches up by replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manman.events.bus import Bus, Outcome
from manman.events.outbox import outgoing
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.leading import Lease
from manman.store import events
from manman.store.events import Event, Turn

log = get_logger(__name__)
TRIES = 3


@dataclass(slots=True)
class Relay:
    """One leader's way from the outbox to `external`. `refusing`: a queue refused lately; each event is then tried once."""

    lease: Lease
    bus: Bus
    exchange: str
    most: int = 500
    published: int | None = None
    refusing: bool = False

    async def step(self) -> bool:
        """Number what waits and publish what is numbered; whether more may wait. Raises `Unavailable`, `NotLeading`.

        A failure keeps the rows: the next step begins at the last position that is known to be published. What this one published is
        noted by the next: by the time that there is more, or at the end (`finish`).
        """
        turn = await self._turn(self.most)
        self.published = None
        if turn.last is None:
            return False
        with observe(acts.RELAY_EVENTS) as seen:
            if turn.public:
                await self.publish(turn.public)
            seen.add(moved=turn.moved, published=len(turn.public))
        self.published = turn.last
        return turn.due >= self.most

    async def finish(self) -> None:
        """Note what is published, so that the next leader need not repeat it."""
        if self.published is not None:
            await self._turn(0)
            self.published = None

    async def _turn(self, most: int) -> Turn:
        async with self.lease.pool.acquire() as conn:
            turn = await events.relay(conn, most, published=self.published, lease=(self.lease.name, self.lease.holder))
        if not turn.leads:
            self.lease.lose()
        return turn

    async def publish(self, public: Sequence[Event]) -> None:
        """Publish in order; what is refused is tried again, but only the first of a row of refusals."""
        messages = [outgoing(event.row, exchange=self.exchange) for event in public]
        outcomes = await self.bus.publish(messages)
        for event, message, outcome in zip(public, messages, outcomes, strict=True):
            if outcome is not Outcome.NACKED:
                self.refusing = False
                continue
            tries = 1
            while not self.refusing and outcome is Outcome.NACKED and tries < TRIES:
                [outcome] = await self.bus.publish([message])
                tries += 1
            if outcome is Outcome.NACKED:
                self._pass(event)

    def _pass(self, event: Event) -> None:
        if not self.refusing:
            log.warning("subscriber_refuses", type=event.row.type, event_id=event.row.event_id, position=event.position)
        self.refusing = True
        metrics.count("external_refused")
