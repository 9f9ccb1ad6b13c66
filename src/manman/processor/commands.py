"""Commands, from the outbox to hosts' queues: a lane for each host, so that a full or missing queue delays only that host's.

What is left of a TTL is counted by the database's clock; a command whose time is over is not sent. A row leaves by its confirm, so
it may be sent twice and never not at all: commands are idempotent by their id.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from manman.domain.ids import HostId
from manman.events.bus import Bus, Outcome
from manman.events.outbox import outgoing
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.leading import Lease
from manman.store import outbox
from manman.store.outbox import Waiting

log = get_logger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds
# Asked for again by whatever made them: they are dropped where their host has no queue.
PERISHABLE = frozenset({"manman.command.report", "manman.command.lease", "manman.command.tail"})


@dataclass(slots=True)
class Lane:
    """A host whose queue refused: until when it is left alone, and for how long the next time."""

    until: float
    pause: float


@dataclass(slots=True)
class CommandRelay:
    """One leader's way from the outbox to hosts. `lanes` are those that are held up."""

    lease: Lease
    bus: Bus
    most: int = 500
    lanes: dict[HostId | None, Lane] = field(default_factory=dict)

    async def step(self, now: float) -> int:
        """Send what waits; how many left the outbox. `now` is the loop's clock. Raises `Unavailable`, `NotLeading`."""
        held_up = [host or 0 for host, lane in self.lanes.items() if lane.until > now]
        async with self.lease.transaction() as conn:
            waiting = await outbox.commands(conn, self.most, held_up=held_up)
        if not waiting:
            return 0
        with observe(acts.RELAY_COMMANDS) as seen:
            expired = [one for one in waiting if one.ttl_left is not None and one.ttl_left <= timedelta(0)]
            late = {one.id for one in expired}
            sent = await self._send([one for one in waiting if one.id not in late], now)
            for one in expired:
                log.info("command_expired", verb=one.row.type, host_id=one.row.host_id, command_id=one.row.event_id)
            gone = [one.id for one in expired] + sent
            if gone:
                async with self.lease.transaction() as conn:
                    await outbox.remove(conn, gone)
            seen.add(sent=len(sent), expired=len(expired))
        return len(gone)

    async def _send(self, waiting: Sequence[Waiting], now: float) -> list[int]:
        """Publish in order; the ids that are settled. A host that refuses is left alone for a while."""
        if not waiting:
            return []
        outcomes = await self.bus.publish([outgoing(one.row, ttl=one.ttl_left) for one in waiting])
        settled: list[int] = []
        for one, outcome in zip(waiting, outcomes, strict=True):
            if outcome is Outcome.CONFIRMED:
                settled.append(one.id)
                self.lanes.pop(one.row.host_id, None)
            elif outcome is Outcome.UNROUTABLE and one.row.type in PERISHABLE:
                settled.append(one.id)
                metrics.count("commands_without_queue")
            else:
                self._hold_up(one, outcome, now)
        return settled

    def _hold_up(self, one: Waiting, outcome: Outcome, now: float) -> None:
        known = self.lanes.get(one.row.host_id)
        if known is not None and known.until > now:
            return
        pause = FIRST_PAUSE if known is None else min(known.pause * 2, LONGEST_PAUSE)
        self.lanes[one.row.host_id] = Lane(until=now + pause, pause=pause)
        metrics.count("commands_held_up")
        log.warning("commands_held_up", host_id=one.row.host_id, why=outcome.value, command_id=one.row.event_id)
