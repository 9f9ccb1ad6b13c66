"""`manman processor partitions`: asks for another number, and tells how far the processors are with it.

All it changes is the number that is asked for, in the database; so it may be interrupted, repeated, or run twice.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from manman.cli import output, serve
from manman.domain.partitions import MOST, Generation, Wanted, is_done, owners
from manman.errors import BadSetting, RefusedError, TimedOut, Transient
from manman.events import topics
from manman.events.bus import Bus
from manman.events.settings import BrokerSettings
from manman.store import leadership, partitions
from manman.store import pool as pools
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings

LOOKS_EVERY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What database and broker say now; `depths` are messages ready in a queue, None where there is no such queue or nobody says."""

    wanted: Wanted
    begun: tuple[Generation, ...]
    live: dict[str, str]
    depths: dict[str, int | None]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return is_done(self.wanted, self.begun)


@dataclass(slots=True)
class Place:
    """Where partitions are: the database, and the broker if one is set."""

    pool: Pool
    bus: Bus | None
    events: str
    aside: bool = False  # what is told goes beside the result, which is for programs
    said: set[str] = field(default_factory=set)

    async def look(self) -> Seen:
        """Read everything once."""
        async with self.pool.acquire() as conn:
            begun, wanted = await partitions.begun(conn), await partitions.wanted(conn)
            replicas = await leadership.replicas(conn, "processor")
        live = {one.holder: f"{one.facts.get('machine')} pid {one.facts.get('pid')}" for one in replicas}
        depths = {queue: await self._depth(queue) for one in begun for queue in self.queues(one)}
        return Seen(wanted=wanted, begun=begun, live=live, depths=depths)

    def queues(self, one: Generation) -> list[str]:
        """The queues of a generation, by partition."""
        return [topics.partition(self.events, one.number, n, one.partitions) for n in range(one.partitions)]

    async def _depth(self, queue: str) -> int | None:
        if self.bus is None:
            return None
        try:
            return (await self.bus.depth(queue)).ready
        except Transient:  # missing, or a broker that is too busy to say
            return None

    def tell(self, sentence: str) -> None:
        """Say it, once."""
        if sentence not in self.said:
            self.said.add(sentence)
            print(sentence, file=sys.stderr if self.aside else sys.stdout, flush=True)


def run(count: int | None, *, wait: bool, timeout: float, as_json: bool) -> None:
    """Show, or ask for `count` partitions and follow. Exit codes as everywhere: 2 no such number, 4 the broker cannot, 6 out of
    reach, 8 not done in time (it goes on)."""
    from manman.observability import set_up_logs

    set_up_logs("error", service="partitions")
    database, broker = serve.settings_of(DatabaseSettings), serve.settings_of(BrokerSettings)

    async def work() -> None:
        if count is not None and not 1 <= count <= MOST:
            raise BadSetting(f"the number of partitions must be from 1 to {MOST}, not {count}")
        async with _place(database, broker) as where:
            where.aside = as_json
            if count is not None:
                await _ask(where, count)
                if wait:
                    await _follow(where, timeout)
            if count is None or as_json:
                show(where, await where.look(), as_json)

    output.run(work())


@asynccontextmanager
async def _place(database: DatabaseSettings, broker: BrokerSettings) -> AsyncIterator[Place]:
    from manman.events.rabbit import bus as rabbit

    pool = await pools.connect(database)
    try:
        if broker.rabbitmq_url is None:
            yield Place(pool, None, broker.queue_name)
            return
        bus = await rabbit.connect(broker.rabbitmq_url, name="manman-partitions")
        try:
            yield Place(pool, bus, broker.queue_name)
        finally:
            await bus.close()
    finally:
        await pool.close()


async def _ask(where: Place, count: int) -> None:
    """Write the number down, once it is known that the broker can have it."""
    if count > 1:
        if where.bus is None:
            raise RefusedError(
                "failed_precondition",
                "RABBITMQ_URL is not set, and the bus on PostgreSQL has no partitions: what hosts say is one queue there",
                hint="one partition needs no broker; for more, run the services on RabbitMQ and set RABBITMQ_URL",
            )
        await where.bus.require_hashing()
    async with where.pool.transaction() as conn:
        changed = await partitions.ask(conn, count)
        wanted = await partitions.wanted(conn)
    where.tell(
        f"{'asked for' if changed else 'asked for already:'} {_parts(count)}, as generation {wanted.generation} or later"
    )


async def _follow(where: Place, timeout: float) -> None:
    """Tell each step until nothing is left to do."""
    until = time.monotonic() + timeout
    while True:
        seen = await where.look()
        _tell(where, seen)
        if seen.done:
            where.tell(f"done: {_parts(seen.wanted.partitions)}, generation {seen.begun[-1].number}")
            return
        if time.monotonic() > until:
            raise TimedOut(
                f"not done after {timeout:g} s; it goes on as long as a processor runs",
                hint="manman processor partitions shows where it is",
            )
        await asyncio.sleep(LOOKS_EVERY)


def _tell(where: Place, seen: Seen) -> None:
    if not seen.live:
        where.tell("no processor runs; the first one that starts carries it out")
    newest = seen.begun[-1]
    if len(seen.begun) > 1 and newest.bound_at is not None:
        where.tell(f"generation {newest.number}: its {_parts(newest.partitions)} are bound")
    for old in seen.begun[:-1]:
        if old.closed_at is not None:
            where.tell(f"generation {old.number}: consumed no more, its queues are deleted when they are empty")
        elif old.drained:
            where.tell(f"generation {old.number}: drained; generation {newest.number} is consumed")
        elif old.unbound_at is not None:
            ready = sum(seen.depths[queue] or 0 for queue in where.queues(old))
            ends = sum(1 for mark in old.ended if mark)
            where.tell(
                f"generation {old.number}: draining, {ready} messages waiting, {ends} of {old.partitions} queues at their end"
            )


def show(where: Place, seen: Seen, as_json: bool) -> None:
    """What there is: each partition with its queue, what waits there, and whose it is."""
    rows = [row for one in seen.begun for row in _rows(where, seen, one)]
    if as_json:
        output.show_json(
            {
                "partitions": seen.wanted.partitions,
                "generation": seen.begun[-1].number,
                "done": seen.done,
                "replicas": sorted(seen.live),
                "queues": rows,
            }
        )
        return
    print(f"{_parts(seen.wanted.partitions)}, generation {seen.begun[-1].number}, {len(seen.live)} live processor(s)")
    if not seen.done:
        print("a change is going on: generations " + " → ".join(str(one.number) for one in seen.begun))
    columns = ("generation", "partition", "queue", "ready", "state", "owner")
    output.show_table(columns, [list(row.values()) for row in rows], empty="no partition")


def _rows(where: Place, seen: Seen, one: Generation) -> list[dict[str, Any]]:
    owner = owners(one.partitions, seen.live)
    return [
        {
            "generation": one.number,
            "partition": n,
            "queue": queue,
            "ready": seen.depths[queue],
            "state": _state(one, n),
            "owner": f"{owner[n]} ({seen.live[owner[n]]})" if owner else None,
        }
        for n, queue in enumerate(where.queues(one))
    ]


def _state(one: Generation, partition: int) -> str:
    if one.closed_at is not None:
        return "closed"
    if one.unbound_at is not None:
        return "drained" if one.ended[partition] else "draining"
    return "bound" if one.bound_at is not None else "begun"


def _parts(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"
