"""Heartbeats: perishable, coalesced to the newest of each host, applied in bulk and in place.

Only a pair (boot, beat) above the known one counts. One that brings an absent host back is announced, and the host is asked for a
report; an older boot, or the known one in another life, is answered by a report request with a boot to go above. Every batch, the
processor's own pulse included, touches the ear by which the sweep knows that silence means something. Nothing here is ever a dead
letter. What this process has held for longer than 2 s is dropped, pulses too: it may have stood still, and its hosts may be gone.
While half of what it may hold is applied, the other half arrives.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from manman.domain.hosts import HostMoved, Presence, boot_to_exceed
from manman.domain.ids import HostId, SessionId
from manman.errors import Malformed, is_transient
from manman.events import codec
from manman.events.bus import Consumer, Delivery
from manman.events.contracts import Counts, Heartbeat
from manman.observability import Seen, acts, get_logger, metrics, observe
from manman.processor import batch
from manman.processor.batch import Rules
from manman.processor.failing import told
from manman.processor.halving import Halving
from manman.processor.own_queue import OwnQueue
from manman.processor.world import World
from manman.store import batches, heartbeats, hosts
from manman.store.heartbeats import Sample
from manman.store.hosts import Beat, Beaten
from manman.store.pool import Connection, Pool

log = get_logger(__name__)
OLD_AFTER = 2.0  # seconds that a message may be held inside this process
SLOW_FROM = OLD_AFTER / 4  # seconds that a step takes
SAY_EVERY = 60.0  # seconds
CLOCK_MAY_DIFFER = timedelta(seconds=60)
WAIT = timedelta(seconds=1)


@dataclass(slots=True)
class HeartbeatConsumer:
    """The loop over the heartbeat queue, `source`. `told` are the session counts last logged, for telling only when they change; `linger`
    is how long a batch waits for more: nothing depends on a beat's being early, and many together cost less than each alone."""

    source: OwnQueue
    pool: Pool
    rules: Rules
    loop_time: Callable[[], float]
    linger: timedelta = timedelta(0)
    told: dict[HostId, Counts] = field(default_factory=dict)
    said: dict[str, float] = field(default_factory=dict)
    clocks_off: set[HostId] = field(default_factory=set)
    sampled: set[HostId] = field(default_factory=set)
    sampled_at: int = 0
    slow: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop`. While the database is away beats are dropped: newer ones follow."""
        await self.source.consume(self.step, stop)

    async def step(self, consumer: Consumer) -> None:
        """Take what is there, apply the newest of each host, acknowledge; what is too old is dropped.

        At most half of what may be held is taken, so that the broker need not wait for this process nor this process for the broker;
        all of it where the last step was slow: what is left would grow old behind it, and only what is about to be too old be taken.
        That makes no step slower by much: a beat of a host that is here costs microseconds, and how many come back in one is bounded.
        """
        held = self.source.prefetch
        most = held if self.slow else max(1, held // 2)
        deliveries = await consumer.get_batch(most, self.linger, WAIT)
        if not deliveries:
            return
        began = self.loop_time()
        try:
            await self._settle(consumer, deliveries)
        finally:
            self.slow = self.loop_time() - began > SLOW_FROM

    async def _settle(self, consumer: Consumer, deliveries: Sequence[Delivery]) -> None:
        """What fails for a moment returns and comes again while any of it is young; all else is acknowledged, applied or not."""
        tried = Halving(self.apply)
        try:
            with observe(acts.APPLY_HEARTBEATS) as seen:
                await tried.apply_all(deliveries, seen)
        except Exception as error:
            if not is_transient(error) or not self._young(deliveries):
                await self._acknowledge(consumer, deliveries, tried)
            raise
        await self._acknowledge(consumer, deliveries, tried)

    async def _acknowledge(self, consumer: Consumer, deliveries: Sequence[Delivery], tried: Halving) -> None:
        """What is acknowledged without having been applied is dropped: counted here alone."""
        await consumer.ack(deliveries[-1])
        dropped = len(deliveries) - tried.applied
        if dropped:
            metrics.count("heartbeats_dropped", dropped)
        if tried.culprits and self._may_say("heartbeat_failed"):
            keys = [one.key for one, _ in tried.culprits]
            log.error("heartbeat_failed", keys=keys[:10], count=len(keys), **told(tried.culprits[0][1]))

    def _may_say(self, what: str) -> bool:
        """Once a minute of each kind: what goes wrong with one beat goes wrong with the next."""
        now = self.loop_time()
        if now - self.said.get(what, float("-inf")) <= SAY_EVERY:
            return False
        self.said[what] = now
        return True

    def _young(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those that are not too old: of all of them the last ones."""
        now = self.loop_time()
        if deliveries[0].held_since + OLD_AFTER >= now:
            return deliveries
        return deliveries[bisect_left(deliveries, now, key=lambda one: one.held_since + OLD_AFTER) :]

    def newest_of(self, deliveries: Sequence[Delivery]) -> tuple[list[Heartbeat], int]:
        """The newest beat of each host by (boot, beat), one without a boot always; and how many pulses came.

        Looked at from the last: under a key that names its host what came before it need not even be decoded. Where beats returned in
        another order an older one may hide the newest for this batch: it counts no more than it would alone, and the next corrects it.
        """
        newest: dict[HostId, Heartbeat] = {}
        done: set[str] = set()
        pulses = 0
        for delivery in reversed(deliveries):
            if delivery.key in done:
                continue
            try:
                message = codec.decode(delivery.key, delivery.headers, delivery.body, delivery.user_id)
            except Malformed as error:
                metrics.count("heartbeats_malformed")
                log.debug("heartbeat_malformed", key=delivery.key, error=str(error))
                continue
            body = message.body
            if not isinstance(body, Heartbeat):
                pulses += 1
                continue
            if message.key.host_id is not None:
                done.add(delivery.key)
            known = newest.get(body.host_id)
            if known is None or _exceeds(body, known):
                newest[body.host_id] = body
        return [newest[host] for host in sorted(newest)], pulses

    async def apply(self, deliveries: Sequence[Delivery], seen: Seen) -> int:
        """One transaction for any number of hosts; then, apart from it, how many play. What is written is dated by the beginning of the
        transaction, however long it then waits or stands still: who is too old by then is dropped. How many were not."""
        async with self.pool.transaction() as conn:
            young = self._young(deliveries)
            beats, pulses = self.newest_of(young)
            if not beats and not pulses:
                return len(young)
            beaten = await hosts.update_last_seen(conn, [_beat(b) for b in beats])
            beaten = await self._make_missing(conn, beats, beaten)
            counted = {b.host_id for b in beaten if b.counted}
            fresh = [b for b in beats if b.host_id in counted]
            await heartbeats.tell_written(conn, _written(fresh))
            now = (await hosts.touch_pulse(conn)).last
            await self._answer(conn, beaten, {b.host_id: b for b in beats})
            await heartbeats.add_samples(conn, self._samples(fresh, now))
        players = _players(fresh)
        if players:
            async with self.pool.transaction() as conn:
                await heartbeats.set_players(conn, players)
        postponed = sum(b.postponed for b in beaten)
        seen.add(hosts=len(beats), counted=len(counted), returned=_returned(beaten), postponed=postponed)
        self._tell(fresh)
        self._tell_clocks(fresh, now)
        return len(young)

    async def _make_missing(self, conn: Connection, beats: list[Heartbeat], beaten: list[Beaten]) -> list[Beaten]:
        """A host without a liveness row gets one; one that does not exist is dropped, and told once a minute."""
        missing = {b.host_id for b in beaten if not b.known}
        if not missing:
            return beaten
        made = await batches.lock_hosts(conn, missing)
        unknown = missing - made.keys()
        if unknown:
            metrics.count("heartbeats_of_unknown_hosts", len(unknown))
            if self._may_say("heartbeat_of_unknown_host"):
                log.warning("heartbeat_of_unknown_host", host_ids=sorted(unknown)[:10], count=len(unknown))
        back = hosts.BACK_TOGETHER - _returned(beaten)
        again = await hosts.update_last_seen(conn, [_beat(b) for b in beats if b.host_id in made], back=back)
        return [b for b in beaten if b.known] + again

    async def _answer(self, conn: Connection, beaten: list[Beaten], beats: dict[HostId, Heartbeat]) -> None:
        """Announce who came back, and ask for a report whoever did or beats under an older boot."""
        returned = [b for b in beaten if b.returned]
        passed = [b for b in beaten if not b.counted and not b.postponed]
        old = {b.host_id: boot for b in passed if (boot := _to_exceed(beats[b.host_id], b)) is not None}
        if not returned and not old:
            return
        known, now = await batches.read_hosts(conn, old.keys() | {b.host_id for b in returned})
        world = World(now=now, threshold=self.rules.threshold, chance=self.rules.chance, hosts=known)
        for one in returned:
            world.hosts_moved.append(
                HostMoved(
                    host_id=one.host_id,
                    from_=one.was,
                    to=Presence.ONLINE,
                    at=now,
                    cause="heartbeat",
                    last_seen=one.last_seen,
                )
            )
            world.ask_report(one.host_id)
        for host_id, boot in old.items():
            world.ask_report(host_id, boot=boot)
        await batch.commit(conn, world, self.rules)

    def _samples(self, beats: list[Heartbeat], now: datetime) -> list[Sample]:
        """Of those of which none is kept yet of these ten seconds, as far as this process knows."""
        begun = int(now.timestamp()) // heartbeats.SAMPLED_EVERY
        if begun != self.sampled_at:
            self.sampled_at = begun
            self.sampled.clear()
        due = [b for b in beats if b.cpu is not None and b.host_id not in self.sampled]
        self.sampled.update(b.host_id for b in due)
        return [_sample(b) for b in due]

    def _tell(self, beats: list[Heartbeat]) -> None:
        """Each host's counts, louder when they changed."""
        say = log.bind()  # once for all of them
        for beat in beats:
            counts = beat.sessions
            if counts is None:
                continue
            changed = self.told.get(beat.host_id) != counts
            self.told[beat.host_id] = counts
            tell = say.info if changed else say.debug
            tell(
                "host_sessions",
                host_id=beat.host_id,
                total=counts.total,
                pending=counts.pending,
                starting=counts.starting,
                running=counts.running,
                stopping=counts.stopping,
            )

    def _tell_clocks(self, beats: list[Heartbeat], now: datetime) -> None:
        """A host whose clock is off is told once, and once more when it is right again. No verdict uses its clock."""
        for beat in beats:
            if beat.at is None:
                continue
            off = beat.at - now
            wrong = abs(off) > CLOCK_MAY_DIFFER
            if wrong and beat.host_id not in self.clocks_off:
                log.warning("host_clock_off", host_id=beat.host_id, seconds=round(off.total_seconds()))
                self.clocks_off.add(beat.host_id)
            elif not wrong and beat.host_id in self.clocks_off:
                log.info("host_clock_right", host_id=beat.host_id)
                self.clocks_off.discard(beat.host_id)


def _exceeds(earlier: Heartbeat, known: Heartbeat) -> bool:
    """Whether one that came before is newer all the same: two agents with one identity, or one that came again."""
    if earlier.boot is None or known.boot is None:
        return False
    return (earlier.boot, earlier.beat or 0) > (known.boot, known.beat or 0)


def _returned(beaten: Iterable[Beaten]) -> int:
    return sum(b.returned for b in beaten)


def _to_exceed(body: Heartbeat, said: Beaten) -> int | None:
    return (
        boot_to_exceed(body.boot or 0, body.journal_id, (said.known_boot, said.known_journal)) if said.known else None
    )


def _beat(body: Heartbeat) -> Beat:
    live = body.live
    return Beat(
        host_id=body.host_id,
        boot=body.boot,
        beat=body.beat,
        journal=body.journal_id,
        live_count=live.count if live is not None else None,
        live_xor=live.xor if live is not None else None,
    )


def _written(beats: Iterable[Heartbeat]) -> dict[tuple[HostId, str], int]:
    return {
        (b.host_id, b.journal_id): b.sequence
        for b in beats
        if b.journal_id is not None and b.sequence is not None and b.sequence > 0
    }


def _players(beats: Iterable[Heartbeat]) -> dict[tuple[HostId, SessionId], int]:
    found = {}
    for beat in beats:
        for sample in beat.samples or ():
            session, players = sample.get("session_id"), sample.get("players")
            if isinstance(session, int) and isinstance(players, int) and 0 < session < 2**63 and 0 <= players < 2**31:
                found[beat.host_id, SessionId(session)] = players
    return found


def _sample(body: Heartbeat) -> Sample:
    memory, disk = _bytes(body.memory), _bytes(body.disk)
    total, free = disk.get("total"), disk.get("free")
    return Sample(
        host_id=body.host_id,
        cpu=body.cpu,
        memory_used=memory.get("used"),
        memory_total=memory.get("total"),
        disk_used=total - free if total is not None and free is not None else disk.get("used"),
        disk_total=total,
        players=min(body.players, 2**31 - 1) if body.players is not None else None,
    )


def _bytes(said: Any) -> dict[str, int]:
    if not isinstance(said, dict):
        return {}
    return {name: value for name, value in said.items() if isinstance(value, int) and 0 <= value < 2**63}
