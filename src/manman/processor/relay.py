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
from manman.store.events import Event

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

    async def step(self) -> int:
        """Number what waits and publish what is numbered; how many events were passed on. Raises `Unavailable`, `NotLeading`.

        A failure keeps the rows: the next step begins at the last position that is known to be published.
        """
        async with self.lease.transaction() as conn:
            if self.published is not None:
                await events.advance(conn, self.published)
            moved = await events.move(conn, self.most)
            batch = await events.unpublished(conn, self.most)
        self.published = None
        if not batch:
            return 0
        with observe(acts.RELAY_EVENTS) as seen:
            public = [event for event in batch if event.row.exchange is not None]
            if public:
                await self.publish(public)
            seen.add(moved=moved, published=len(public))
        self.published = batch[-1].position
        return len(batch)

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
