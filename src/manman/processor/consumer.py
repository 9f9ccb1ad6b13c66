"""Consumes the events queue: batches, one transaction each (a long one in two, side by side), one acknowledgement after the commit.

What may go wrong, and what then happens: database or broker away → nothing is acked, the same batch waits with jittered backoff; a bug on
one message → the batch is split until the culprit is alone, its host waits, the others go on, and after five tries it is a dead letter;
what takes longer than the database allows → split in the same way, the one alone waits with its host, and is a dead letter only where
others wait behind it; a message that was redelivered may have killed a process → one at a time, its attempts noted before; one that came
before its predecessor (`order`) → its host waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from manman.domain.ids import HostId
from manman.errors import Transient, Unavailable, is_transient
from manman.events.bus import Bus, Consumer, Delivery, QueueLeaderless
from manman.observability import acts, get_logger, metrics, observe
from manman.processor.arrivals import arrive
from manman.processor.backoff import Backoff
from manman.processor.failing import told
from manman.processor.held import RETRY_AFTER, Held, Item
from manman.processor.marks import Mark, mark_of
from manman.processor.order import PATIENCE, Order
from manman.processor.outcomes import Refusal
from manman.processor.suspects import is_suspect, name_of, together
from manman.processor.world import Arrived
from manman.store.bounds import TooLong

log = get_logger(__name__)
TRIES = 5
SLOW_TRIES = 3  # of a batch that takes too long; then it is split
SLOW_MOST = 20  # of one alone, over some two minutes, where others wait behind it
SIDE_BY_SIDE_FROM = 400  # messages; of two at once only one can number, which below costs more than waiting
WAIT = timedelta(seconds=1)
WAIT_WITH_HELD = timedelta(seconds=RETRY_AFTER)

T = TypeVar("T")


class Ways(Protocol):
    """What a consumer calls on the database. Each raises `Unavailable`, or anything for a bug; the first two `TooLong` too."""

    async def apply(self, batch: list[Arrived], erase: Collection[str]) -> dict[str, int]:
        """One transaction: load, fold, save; the counts of outcomes. `erase` are notes that end with it."""
        ...

    async def condemn(self, arrived: Arrived, why: Refusal, erase: Collection[str]) -> None:
        """Set one message aside as a dead letter."""
        ...

    async def note_attempt(self, name: str, arrived: Arrived) -> int:
        """Note an attempt before it is made; how many there were with this one."""
        ...

    async def take_back(self, names: Collection[str]) -> None:
        """The last attempt at each, which was noted, was none."""
        ...


@dataclass(slots=True)
class EventConsumer:
    """The loop over one queue. `loop_time` is the loop's clock, in seconds; `backoff` jitters the pauses; `ended` notes a mark, once
    all that came before it is settled. `side_by_side`: whether a long batch may be two transactions at once, each with its hosts, so
    that neither the database nor this process waits for the other; where other queues are consumed beside this one they do that."""

    bus: Bus
    queue: str
    prefetch: int
    batch_max: int
    ways: Ways
    backoff: Backoff
    loop_time: Callable[[], float]
    side_by_side: Callable[[], bool] = lambda: False
    linger: timedelta = timedelta(0)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ended: Callable[[Mark], Awaitable[None]] | None = None
    order: Order | None = None
    held: dict[HostId | None, Held] = field(default_factory=dict)
    marks: list[tuple[Delivery, Mark]] = field(default_factory=list)
    paused: str | None = None
    leaderless: str | None = None
    held_up: str | None = None
    gathers: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`; leaving closes the channel, so that whatever is unacked returns in order."""
        self.stop = stop
        while not stop.is_set():
            try:
                async with self.bus.consume(self.queue, self.prefetch) as consumer:
                    self.leaderless = None
                    self.held.clear()
                    self.marks.clear()
                    if self.order is not None:
                        self.order.forget()
                    while not stop.is_set():
                        await self.step(consumer)
            except Transient as error:
                self.pause(error)
                await self.backoff.wait(stop)

    def pause(self, error: BaseException) -> None:
        """Say once why consumption pauses."""
        if self.paused is None and not self.stop.is_set():
            log.warning("consumption_paused", queue=self.queue, reason=str(error))
        self.paused = str(error)
        if isinstance(error, QueueLeaderless):
            if self.leaderless is None:
                log.warning("queue_without_leader", queue=self.queue, reason=error.detail, hint=error.hint)
            self.leaderless = f"{error.detail}; {error.hint}"

    def resume(self) -> None:
        """All is well again: the broker gave what it has, were it nothing, or the database did what was asked."""
        if self.paused is not None:
            log.info("consumption_resumed", queue=self.queue)
        self.paused = None
        self.backoff.reset()

    async def step(self, consumer: Consumer) -> None:
        """Take what is there (a lone message at once; of many more), settle it, acknowledge it."""
        linger = self.linger if self.gathers else timedelta(0)
        deliveries = await consumer.get_batch(self.batch_max, linger, WAIT_WITH_HELD if self.held else WAIT)
        self.resume()
        self.gathers = len(deliveries) > 1
        deliveries = self._without_marks(deliveries)
        taken = self.loop_time()
        await self._take(consumer, [(d, arrive(d, self.bus.user_id, taken)) for d in deliveries])
        await self._try_held(consumer)
        self._tell_held_up()
        await self._note_marks(consumer)

    def _without_marks(self, deliveries: list[Delivery]) -> list[Delivery]:
        """What is no mark; a mark waits until all before it is settled."""
        if self.ended is None:
            return deliveries
        marks = [(one, mark) for one in deliveries if (mark := mark_of(one, self.bus.user_id)) is not None]
        self.marks += marks
        found = {delivery.tag for delivery, _ in marks}
        return [one for one in deliveries if one.tag not in found] if found else deliveries

    async def _note_marks(self, consumer: Consumer) -> None:
        if not self.marks or self.held or self.ended is None:
            return
        for _, mark in self.marks:
            await self._patiently(self.ended, mark)
        await consumer.ack_many([delivery for delivery, _ in self.marks])
        self.marks.clear()

    async def _take(self, consumer: Consumer, batch: list[Item]) -> None:
        """Settle and acknowledge what may be applied now; then a host whose message came before its predecessor waits, with what
        it said behind that."""
        free, waits = await self._in_order(self._behind_held(batch))
        while free:
            part = together(free)
            free = free[len(part) :]
            await self._ack(consumer, await self._settle_sides(self._behind_held(part)))
        for item in waits:
            if self._behind_held([item]):
                now, why = self.loop_time(), "its predecessor is not settled"
                self.held[item[1].host_id] = Held([item], now + RETRY_AFTER, why, patience=PATIENCE, looked_at=now)
                metrics.count("messages_early")

    async def _in_order(self, batch: list[Item]) -> tuple[list[Item], list[Item]]:
        """Those that may be applied now, and those that come too early, with what their hosts say behind them."""
        if self.order is None or not batch:
            return batch, []
        arrived = [one for _, one in batch]
        early: set[int] = await self._patiently(self.order.early, arrived)
        if not early:
            return batch, []
        free: list[Item] = []
        waits: list[Item] = []
        hosts: set[HostId | None] = set()
        for position, item in enumerate(batch):
            if position in early:
                hosts.add(item[1].host_id)
            (waits if item[1].host_id in hosts else free).append(item)
        return free, waits

    def _behind_held(self, batch: list[Item]) -> list[Item]:
        """A host that waits keeps its order: its further messages queue up behind."""
        if not self.held:
            return batch
        free = []
        for item in batch:
            held = self.held.get(item[1].host_id)
            if held is None:
                free.append(item)
            else:
                held.add(item)
        return free

    async def _settle_sides(self, part: list[Item]) -> list[Item]:
        """As `_settle`; a long part as two at once, by host: that keeps each host's order. What names no host may be of any."""
        sides: tuple[list[Item], list[Item]] = ([], [])
        if len(part) >= SIDE_BY_SIDE_FROM and self.side_by_side() and not any(map(_is_of_any_host, part)):
            for item in part:
                sides[(item[1].host_id or 0) % 2].append(item)
        if not all(sides):
            return await self._settle(part)
        # Both are waited for, also where one ends by an error: nothing may go on behind this consumer's back.
        done = await asyncio.gather(*(self._settle(side) for side in sides), return_exceptions=True)
        for one in done:
            if isinstance(one, BaseException):
                raise one
        return [item for one in done if isinstance(one, list) for item in one]

    async def _settle(self, part: list[Item], slow: int = SLOW_TRIES) -> list[Item]:
        """Apply it; split on a bug, and where it takes too long (`slow` times, one alone once); in place, again and again, while the
        database is away. What may be acknowledged."""
        if not part:
            return []
        error = await self._error_of(part, slow if len(part) > 1 else 1)
        return part if error is None else await self._split(part, error)

    async def _error_of(self, part: list[Item], slow: int = 1) -> Exception | None:
        """Attempt it; why it cannot be applied. What follows from that is done apart from it: the next error must not look as if this
        one had caused it, or a bug behind a slow transaction would be waited for as an outage is."""
        try:
            await self._attempt(part, slow)
        except Exception as error:
            if _is_end(error):
                raise
            return error
        return None

    async def _attempt(self, part: list[Item], slow: int = 1) -> None:
        """Apply it; a suspect, which is alone, is noted before, and set aside where its attempts are over. `slow`: see `_patiently`."""
        notes = [name_of(item) for item in part if is_suspect(item)]
        condemned: bool = bool(notes) and await self._patiently(self._is_condemned, part[0], notes)
        if condemned:
            return
        try:
            await self._patiently(self._apply, part, notes, slow=slow)
        except Unavailable:
            # The message did not fail, and did not end the process. Where the database is away the note stays.
            if notes:
                with suppress(Exception):
                    await self.ways.take_back(notes)
            raise

    async def _patiently(self, way: Callable[..., Awaitable[T]], *args: Any, slow: int = 1) -> T:
        """Do it, again and again while the database is away; raises `Unavailable` once the service ends, and `TooLong` the `slow`-th
        time that it is that."""
        while True:
            try:
                done = await way(*args)
            except Exception as error:
                slow -= isinstance(error, TooLong)
                if slow <= 0 or not is_transient(error):
                    raise
                self.pause(error)
                await self.backoff.wait(self.stop)
                if self.stop.is_set():
                    raise Unavailable("the service ends") from error
                continue
            self.resume()
            return done

    async def _apply(self, part: list[Item], notes: Collection[str] = ()) -> None:
        with observe(acts.APPLY_EVENTS) as seen:
            seen.add(**await self.ways.apply([arrived for _, arrived in part], notes))

    async def _ack(self, consumer: Consumer, settled: list[Item]) -> None:
        if settled:
            await consumer.ack_many([delivery for delivery, _ in settled])

    async def _split(self, part: list[Item], error: Exception) -> list[Item]:
        metrics.count("batches_split")
        if len(part) > 1:
            half = len(part) // 2
            first = await self._settle(self._behind_held(part[:half]), slow=1)
            return first + await self._settle(self._behind_held(part[half:]), slow=1)
        arrived = part[0][1]
        if isinstance(error, TooLong):
            log.warning("message_takes_too_long", key=arrived.key, host_id=arrived.host_id, reason=str(error))
        else:
            log.error("message_failed", key=arrived.key, **told(error))
        self.held[arrived.host_id] = held = Held(list(part), 0.0, "")
        held.failed(error, self.loop_time())
        return []

    async def _try_held(self, consumer: Consumer) -> None:
        """The culprits that are due, once each; what waited behind one follows it."""
        for host, held in list(self.held.items()):
            if held.again_at > self.loop_time() or not await self._try_again(held):
                continue
            await consumer.ack_many([held.waiting[0][0]])
            if self.order is not None:
                self.order.passed(held.waiting[0][1])
            del self.held[host]
            for at in range(1, len(held.waiting), self.batch_max):
                await self._take(consumer, held.waiting[at : at + self.batch_max])

    def _tell_held_up(self) -> None:
        """Say once whose messages fill half of what the broker hands out: soon nobody else's come."""
        if sum(len(held.waiting) for held in self.held.values()) * 2 <= self.prefetch:
            self.held_up = None
            return
        host, held = max(self.held.items(), key=lambda one: len(one[1].waiting))
        if self.held_up is None:
            log.warning("queue_held_up", queue=self.queue, host_id=host, messages=len(held.waiting), reason=held.error)
        self.held_up = f"{len(held.waiting)} messages of host {host} wait: {held.error}"

    async def _try_again(self, held: Held) -> bool:
        """One more try of the first that waits; after the last one it is set aside. Whether it is settled."""
        item = held.first()
        if await self._is_early(held, item[1]):
            return False
        error = await self._error_of([item])
        if error is None:
            return True
        held.failed(error, self.loop_time())
        return (why := self._given_up(held)) is not None and await self._is_set_aside(why, item)

    def _given_up(self, held: Held) -> Refusal | None:
        """Why it is tried no more. What takes too long may go on for as long as nobody else waits for it: the end of a partition,
        which a mark says, or those whom the broker hands nothing out of."""
        if held.tries >= TRIES:
            return Refusal("bug", f"it failed {held.tries} times: {held.error}", ask_report=True)
        if held.pauses >= SLOW_MOST and (self.marks or self.held_up):
            said = f"it took too long {held.pauses} times, and others wait behind it: {held.error}"
            return Refusal("takes_too_long", said, ask_report=True)
        return None

    async def _is_set_aside(self, why: Refusal, item: Item) -> bool:
        """Make a dead letter of it. One that cannot even be that waits on, with its host, and is tried again."""
        try:
            await self._patiently(self.ways.condemn, item[1], why, [name_of(item)])
        except Exception as error:
            if _is_end(error):
                raise
            log.error("dead_letter_failed", key=item[1].key, host_id=item[1].host_id, **told(error))
            return False
        return True

    async def _is_early(self, held: Held, arrived: Arrived) -> bool:
        """Whether it goes on waiting for its predecessor; one that waited long enough is applied as it is."""
        if self.order is None or held.patience is None:
            return False
        held.patience = held.waited(held.patience, self.loop_time())
        early: bool = await self._patiently(self.order.is_early, arrived)
        held.looked_at = self.loop_time()
        if early and held.patience > 0:
            held.again_at = held.looked_at + RETRY_AFTER
            return True
        if early:
            log.warning("predecessor_never_came", queue=self.queue, key=arrived.key, host_id=arrived.host_id)
        held.patience = None
        return False

    async def _is_condemned(self, item: Item, notes: Collection[str]) -> bool:
        """Note an attempt at a redelivered message before it is made; after five, that failed or ended the process, it is set aside."""
        [name] = notes
        if await self.ways.note_attempt(name, item[1]) <= TRIES:
            return False
        said = f"its processing failed or ended the processor {TRIES} times"
        why = Refusal("kills_the_process", said, ask_report=True)
        await self.ways.condemn(item[1], why, notes)
        return True


def _is_end(error: Exception) -> bool:
    """Whether the service ends: all other weather is waited for, and what takes too long is one message's trouble."""
    return isinstance(error, Unavailable) and not isinstance(error, TooLong)


def _is_of_any_host(item: Item) -> bool:
    return item[1].message is not None and item[1].host_id is None
