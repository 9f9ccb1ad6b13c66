"""From the journal to the bus, in order: sent, confirmed, deleted. After anything else it goes on from the first
unconfirmed entry. A broker outage costs nothing but time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from manman.errors import ManManError, TimedOut
from manman.events.bus import MOST_AT_ONCE, Bus, Outcome, Unanswered
from manman.host.journal import Entry, Journal
from manman.observability import acts, get_logger, observe

log = get_logger(__name__)
PATIENCE = timedelta(seconds=15)
PAUSE = timedelta(milliseconds=200)
LONGEST_PAUSE = timedelta(seconds=2)


class Sender:
    """The only one that publishes what is journalled. `wake` when something was written."""

    def __init__(self, journal: Journal, bus: Bus) -> None:
        self._journal, self._bus = journal, bus
        self._news = asyncio.Event()
        self._told = False

    def wake(self) -> None:
        """There is something to send."""
        self._news.set()

    async def run(self) -> None:
        """Sends for ever; cancel it to stop. Nothing is lost by that."""
        pause = PAUSE
        while True:
            self._news.clear()
            try:
                sent = await self.step()
            except ManManError as error:
                self._tell(str(error))
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = PAUSE
            if sent == 0:
                self._told = False
                await self._news.wait()

    async def step(self) -> int:
        """Sends the oldest entries; how many were confirmed and forgotten. Raises what the bus raises, and `TimedOut`
        when it confirmed none."""
        batch = self._journal.unsent(MOST_AT_ONCE)
        if not batch:
            return 0
        with observe(acts.AGENT_SEND) as seen:
            outcomes = await self._publish(batch)
            # What follows the first unconfirmed one may have arrived; it is sent again with it, and known as a duplicate.
            confirmed = 0
            while confirmed < len(batch) and outcomes[confirmed] is Outcome.CONFIRMED:
                confirmed += 1
            if confirmed:
                self._journal.confirmed(batch[confirmed - 1].n)
            seen.add(sent=confirmed)
        if confirmed < len(batch):
            answer = outcomes[confirmed] or "nothing"
            raise TimedOut(f"the bus answered {answer} for {batch[confirmed].message.key}")
        return confirmed

    async def _publish(self, batch: Sequence[Entry]) -> Sequence[Outcome | None]:
        """What the bus answered, None where it did not in time."""
        try:
            return await self._bus.publish([entry.message for entry in batch], patience=PATIENCE)
        except Unanswered as error:
            return error.outcomes

    async def drain(self, deadline: timedelta) -> bool:
        """Sends what is left, at most so long; whether all was confirmed."""
        try:
            async with asyncio.timeout(deadline.total_seconds()):
                while await self.step():
                    pass
        except (ManManError, TimeoutError):
            return False
        return True

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = True
            log.warning("events_wait", waiting=self._journal.waiting_count(), reason=reason)
