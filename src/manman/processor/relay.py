"""The relay: from the outbox to numbered `events` rows, and from there to `external`, in order, with confirms.

The leader moves rows under the counter's lock (positions are commit-ordered and gap-free), publishes, and advances its cursor while
it holds the lease. What it says itself may have its numbers already (`leader`); what of that follows the cursor without a gap is
published without another look at the database (`hand`). Two leaders repeat, never reorder: a subscriber may see an event twice, never
under two ids. A subscriber whose queue refuses is retried three times and then passed, so that it holds up nobody else; it catches up
by replay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from manman.events.bus import Bus, Outcome
from manman.events.outbox import outgoing
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.leading import Lease
from manman.store import events
from manman.store.events import Event, Turn
from manman.store.outbox import Leader

log = get_logger(__name__)
TRIES = 3
MOST_HANDED = 5000  # events that are kept while a publish waits; the database has them all


@dataclass(slots=True)
class Known:
    """What a leader knows beside the database, in one term and while the database answers: the last position that is `published`, until
    it is noted; the epoch and the position after which what is `handed` over `follows`, unless it is `behind`: then something may wait
    that is not."""

    term: int | None
    published: int | None = None
    follows: tuple[int, int] | None = None
    handed: list[Event] = field(default_factory=list)
    behind: bool = True


@dataclass(slots=True)
class Relay:
    """One leader's way from the outbox to `external`. `refusing`: a queue refused lately; each event is then tried once."""

    lease: Lease
    bus: Bus
    exchange: str
    most: int = 500
    refusing: bool = False
    _known: Known = field(default_factory=lambda: Known(None))

    @property
    def known(self) -> Known:
        """Of this term."""
        if self._known.term != self.lease.term:
            self.forget()
        return self._known

    def forget(self) -> None:
        """The database was away and may come back without what it had: only what it knows counts."""
        self._known = Known(self.lease.term)

    def leader(self) -> Leader | None:
        """As whom this process may number what it says; None while another one leads, as far as it knows."""
        if not self.lease.led.is_set():
            return None
        return Leader(lease=self.lease.name, holder=self.lease.holder, published=self.known.published)

    def hand(self, numbered: Sequence[Event]) -> None:
        """What a transaction of this process made events, once it is committed; nothing: it may have put rows into the outbox."""
        if numbered and len(self.known.handed) < MOST_HANDED:
            self.known.handed += numbered
        else:
            self.look()

    def look(self) -> None:
        """Something may wait that is not handed over."""
        self.known.behind = True

    async def step(self) -> bool:
        """Publish what was handed over, or number what waits and publish what is numbered; whether more may wait. Raises `Unavailable`,
        `NotLeading`.

        A failure keeps the rows: the next step begins at the last position that is known to be published. What this one published is
        noted by the next that numbers: by the time that there is more, or at the end (`finish`).
        """
        known = self.known
        turn = _taken(known) or await self._turn(known, self.most)
        known.follows = None
        if turn.due:
            with observe(acts.RELAY_EVENTS) as seen:
                if turn.public:
                    await self.publish(turn.public)
                seen.add(moved=turn.moved, published=len(turn.public))
            known.published = turn.last
        if not turn.more:
            known.follows = turn.epoch, turn.last
        return turn.more or known.behind or bool(known.handed)

    async def finish(self) -> None:
        """Publish what was said last, and note it, so that the next leader need neither wait for it nor repeat it."""
        if self.lease.led.is_set():
            await self.step()
        if self.known.published is not None:
            await self._turn(self.known, 0)

    async def _turn(self, known: Known, most: int) -> Turn:
        # What is handed over from here on may be missing in the answer, all before is in it.
        known.handed.clear()
        known.follows, known.behind = None, False
        lease = self.lease.name, self.lease.holder
        try:
            async with self.lease.pool.acquire() as conn:
                turn = await events.relay(conn, most, published=known.published, lease=lease)
        except BaseException:
            self.forget()
            raise
        if not turn.leads:
            self.lease.lose()
        known.published = None
        return turn

    async def publish(self, public: Sequence[Event]) -> None:
        """Publish in order; what is refused is tried again, but only the first of a row of refusals, and only where nothing of its host
        or session was published behind it: that queue would hear them in the wrong order."""
        messages = [outgoing(event.row, exchange=self.exchange) for event in public]
        outcomes = await self.bus.publish(messages)
        for place, (event, message, outcome) in enumerate(zip(public, messages, outcomes, strict=True)):
            if outcome is not Outcome.NACKED:
                self.refusing = False
                continue
            tries = 1
            may_repeat = not self.refusing and not any(_concerns(event, later) for later in public[place + 1 :])
            while may_repeat and outcome is Outcome.NACKED and tries < TRIES:
                [outcome] = await self.bus.publish([message])
                tries += 1
            if outcome is Outcome.NACKED:
                self._pass(event)

    def _pass(self, event: Event) -> None:
        if not self.refusing:
            log.warning("subscriber_refuses", type=event.row.type, event_id=event.row.event_id, position=event.position)
        self.refusing = True
        metrics.count("external_refused")


def _concerns(event: Event, other: Event) -> bool:
    """Whether both are of one session, or of one host."""
    ours, theirs = event.row, other.row
    of_session = ours.session_id is not None and ours.session_id == theirs.session_id
    return of_session or (ours.host_id is not None and ours.host_id == theirs.host_id)


def _taken(known: Known) -> Turn | None:
    """What was handed over, where it follows without a gap; all else is the database's to tell."""
    if known.behind or known.follows is None:
        return None
    epoch, last = known.follows
    due = sorted((event for event in known.handed if event.position > last), key=lambda event: event.position)
    known.handed.clear()
    if not due or due[0].epoch != epoch or due[-1].position != last + len(due):
        return None
    public = [event for event in due if event.row.exchange is not None]
    return Turn(leads=True, moved=0, due=len(due), more=False, epoch=epoch, last=due[-1].position, public=public)
