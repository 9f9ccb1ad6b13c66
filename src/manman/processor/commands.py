"""Commands, from the outbox to hosts' queues: a lane for each host, so that a full, missing or silent queue delays only that host's.

What is left of a TTL is counted by the database's clock; a command whose time is over is not sent. A row leaves by its confirm, so
it may be sent twice and never not at all: commands are idempotent by their id.

A queue without leader answers nothing, and the broker holds up all that follows it on one channel. The first command without an
answer names the host: the others go on without it, on a new channel. Where one is silent, the next is soon suspected too: whoever
is so for nothing is free again after its first trial. Commands of silent hosts are tried one at a time, each apart, beside the
steps; while that is so no other way is open to them, which keeps their order.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from manman.domain.ids import HostId
from manman.errors import Malformed, Transient
from manman.events import topics
from manman.events.bus import MOST_AT_ONCE, Bus, Outcome, Unanswered
from manman.events.outbox import outgoing
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.leading import Lease
from manman.store import outbox
from manman.store.outbox import Waiting

log = get_logger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds
LONGEST_SILENCE = 60.0
PATIENCE, HURRIED = timedelta(seconds=5), timedelta(seconds=1)
TRIALS = 4  # at once
# Asked for again by whatever made them: they are dropped where their host has no queue.
PERISHABLE = frozenset({"manman.command.report", "manman.command.lease", "manman.command.tail"})


@dataclass(slots=True)
class Lane:
    """A host whose queue refused, or answered nothing (`silent`): until when it is left alone, and for how long the next time."""

    until: float
    pause: float
    silent: bool


@dataclass(slots=True)
class CommandRelay:
    """One leader's way from the outbox to hosts. `lanes` are those that are held up, `trials` the silent ones that are tried;
    `loop_time` is the loop's clock."""

    lease: Lease
    bus: Bus
    loop_time: Callable[[], float]
    most: int = MOST_AT_ONCE
    lanes: dict[HostId | None, Lane] = field(default_factory=dict)
    trials: dict[HostId | None, asyncio.Task[None]] = field(default_factory=dict)

    async def step(self) -> int:
        """Send what waits; how much of it was seen to: sent, expired, held up or tried. Raises `Unavailable`, `NotLeading`, and the bug
        that a trial ended with."""
        self._join()
        held_up = self._held_up()
        async with self.lease.transaction() as conn:
            waiting = await outbox.commands(conn, self.most, held_up=[host or 0 for host in held_up])
        if len(waiting) < self.most:
            self._free({*held_up, *(one.row.host_id for one in waiting)})
        if not waiting:
            return 0
        with observe(acts.RELAY_COMMANDS) as seen:
            expired = [one for one in waiting if one.ttl_left is not None and one.ttl_left <= timedelta(0)]
            late = {one.id for one in expired}
            sent = await self._send(self._try([one for one in waiting if one.id not in late]))
            for one in expired:
                log.info("command_expired", verb=one.row.type, host_id=one.row.host_id, command_id=one.row.event_id)
            await self._remove([one.id for one in expired] + sent)
            seen.add(sent=len(sent), expired=len(expired))
        return len(waiting)

    async def close(self) -> None:
        """End the trials; what they sent stays in the outbox."""
        for trial in self.trials.values():
            trial.cancel()
        await asyncio.gather(*self.trials.values(), return_exceptions=True)
        self.trials.clear()

    def silence(self) -> str | None:
        """For readiness: whose queues answer nothing."""
        silent = sorted(topics.host_commands(host) for host, lane in self.lanes.items() if host and lane.silent)
        return f"no answer from {', '.join(silent)}" if silent else None

    def _held_up(self) -> list[HostId | None]:
        """Hosts of which nothing is wanted now: their pause is not over, or no trial of theirs can begin."""
        now, are_full = self.loop_time(), len(self.trials) >= TRIALS
        paused = [host for host, lane in self.lanes.items() if lane.until > now or (lane.silent and are_full)]
        return [*self.trials, *paused]

    async def _remove(self, ids: Sequence[int]) -> None:
        if ids:
            async with self.lease.transaction() as conn:
                await outbox.remove(conn, ids)

    async def _send(self, waiting: Sequence[Waiting]) -> list[int]:
        """Publish in order; the ids that are settled. A host that refuses or answers nothing is left alone for a while."""
        if not waiting:
            return []
        try:
            outcomes = await self._publish(waiting, HURRIED if self.silence() else PATIENCE)
        except Malformed as error:
            return await self._without_culprit(waiting, error)
        except Unanswered as error:
            settled = self._settle(waiting, error.outcomes)
            self._fall_silent(waiting[error.outcomes.index(None)], error)
            return settled
        return self._settle(waiting, outcomes)

    async def _without_culprit(self, waiting: Sequence[Waiting], error: Malformed) -> list[int]:
        """Nothing was sent, since one of them has no form: each alone, behind none of its host that did not go. That one will never have
        one, and goes."""
        if len(waiting) == 1:
            row = waiting[0].row
            log.error("command_dropped", key=row.key, verb=row.type, host_id=row.host_id, error=str(error))
            return [waiting[0].id]
        settled: list[int] = []
        stuck: set[HostId | None] = set()
        for one in waiting:
            if one.row.host_id not in stuck:
                settled += (sent := await self._send([one]))
                stuck |= set() if sent else {one.row.host_id}
        return settled

    async def _publish(self, waiting: Sequence[Waiting], patience: timedelta, *, apart: bool = False) -> list[Outcome]:
        messages = [outgoing(one.row, ttl=one.ttl_left) for one in waiting]
        return await self.bus.publish(messages, apart=apart, patience=patience)

    def _settle(self, waiting: Sequence[Waiting], outcomes: Sequence[Outcome | None]) -> list[int]:
        settled: list[int] = []
        for one, outcome in zip(waiting, outcomes, strict=True):
            if outcome is Outcome.CONFIRMED:
                settled.append(one.id)
                self.lanes.pop(one.row.host_id, None)
            elif outcome is Outcome.UNROUTABLE and one.row.type in PERISHABLE:
                settled.append(one.id)
                metrics.count("commands_without_queue")
            elif outcome is not None:
                self._refuse(one, outcome)
        return settled

    # ---- a host's lane ------------------------------------------------------------------------------

    def _refuse(self, one: Waiting, outcome: Outcome) -> None:
        known = self.lanes.get(one.row.host_id)
        if known is None or known.until <= self.loop_time():
            self._hold_up(one, LONGEST_PAUSE, silent=False)
            log.warning("commands_held_up", host_id=one.row.host_id, why=outcome.value, command_id=one.row.event_id)

    def _fall_silent(self, one: Waiting, error: Unanswered) -> None:
        host = one.row.host_id
        self._hold_up(one, LONGEST_SILENCE, silent=True)
        # A dead letter that is replayed goes another way.
        queue = topics.host_commands(host) if host and one.row.key.startswith(topics.COMMANDS) else one.row.key
        said = {"why": "unanswered", "queue": queue, "reason": error.detail, "hint": error.hint}
        log.warning("commands_held_up", host_id=host, command_id=one.row.event_id, **said)

    def _hold_up(self, one: Waiting, longest: float, *, silent: bool) -> None:
        known = self.lanes.get(one.row.host_id)
        pause = FIRST_PAUSE if known is None else min(known.pause * 2, longest)
        self.lanes[one.row.host_id] = Lane(until=self.loop_time() + pause, pause=pause, silent=silent)
        metrics.count("commands_held_up")

    # ---- trials -------------------------------------------------------------------------------------

    def _try(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Begin trials for silent hosts, each with its oldest command; the commands of all others."""
        silent = {host for host, lane in self.lanes.items() if lane.silent}
        for one in waiting:
            host = one.row.host_id
            if host in silent and host not in self.trials and len(self.trials) < TRIALS:
                self.trials[host] = asyncio.create_task(self._trial(one), name=f"trial-{host}")
        return [one for one in waiting if one.row.host_id not in silent]

    async def _trial(self, one: Waiting) -> None:
        """One command on a way of its own. Any answer frees the lane, or holds it up as it does any other."""
        try:
            [outcome] = await self._publish([one], PATIENCE, apart=True)
        except Unanswered as error:
            self._fall_silent(one, error)
            return
        except Malformed as error:
            await self._remove(await self._without_culprit([one], error))
            return
        except Transient:
            self._hold_up(one, LONGEST_SILENCE, silent=True)  # the broker is away: whose business that is says so
            return
        del self.lanes[one.row.host_id]
        await self._remove(self._settle([one], [outcome]))

    def _free(self, others: set[HostId | None]) -> None:
        """Forget the silent hosts of which nothing waits any more: nothing would be tried."""
        for host in [host for host, lane in self.lanes.items() if lane.silent and host not in others]:
            del self.lanes[host]

    def _join(self) -> None:
        """Forget the trials that ended; raises what one ended with."""
        for host in [host for host, trial in self.trials.items() if trial.done()]:
            self.trials.pop(host).result()
