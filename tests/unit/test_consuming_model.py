"""Two consumers, whose queues a host's messages are spread over, under drawn trouble: what each host said has its effect once, in order.

Drawn from a seed: journals that follow each other, moves from queue to queue, messages that come again, channels that are cut (what is
unacknowledged returns in order), a database that is away before a commit or whose answer is lost behind it, transactions that take too
long, and a message of a host that is a bug each time.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from unit.test_order import said

from manman.errors import Unavailable
from manman.events.bus import Delivery
from manman.processor.consumer import EventConsumer
from manman.processor.order import Order, Place
from manman.processor.outcomes import Refusal
from manman.processor.world import Arrived
from manman.store.bounds import TooLong

HOSTS = (1, 2, 3)
PREFETCH = 100
Said = tuple[Place, tuple[str, int] | None]
Queue = list[tuple[Said, int]]


class Database:
    """The inbox, and what had its effect; away now and then."""

    def __init__(self, dice: Random, bugs: set[Place]) -> None:
        self.dice, self.bugs = dice, bugs
        self.applied: list[Place] = []
        self.notes: dict[str, int] = {}

    async def _weather(self) -> None:
        await asyncio.sleep(0)
        if self.dice.random() < 0.05:
            raise Unavailable("away")

    async def settled(self, places: Sequence[Place]) -> set[Place]:
        await self._weather()
        return set(self.applied) & set(places)

    async def apply(self, batch: list[Arrived], erase: Collection[str]) -> dict[str, int]:
        await self._weather()
        if self.dice.random() < 0.02:
            raise TooLong("slow")
        places = [place_of(arrived) for arrived in batch]
        if self.bugs & set(places):
            raise RuntimeError("a bug")
        self._settle(places, erase)
        await asyncio.sleep(0)
        if self.dice.random() < 0.03:
            raise Unavailable("the answer to the commit is lost")
        return {}

    async def condemn(self, arrived: Arrived, why: Refusal, erase: Collection[str]) -> None:
        assert place_of(arrived) in self.bugs or why.reason == "kills_the_process"
        self._settle([place_of(arrived)], erase)

    async def note_attempt(self, name: str, _arrived: Arrived) -> int:
        self.notes[name] = self.notes.get(name, 0) + 1
        return self.notes[name]

    async def take_back(self, names: Collection[str]) -> None:
        for name in names:
            self.notes[name] -= 1

    def _settle(self, places: Sequence[Place], erase: Collection[str]) -> None:
        for place in places:
            if place not in self.applied:
                self.applied.append(place)
        for name in erase:
            self.notes.pop(name, None)


class Channel:
    """Hands out what is ready of a queue; once it is closed, what was not acknowledged is ready again, in its old order."""

    def __init__(self, ready: Queue, database: Database) -> None:
        self.ready, self.database = ready, database
        self.unacked: dict[int, tuple[Said, int]] = {}
        self.tag = 0

    async def get_batch(self, most: int, *_: Any) -> list[Delivery]:
        await asyncio.sleep(0)
        found: list[Delivery] = []
        for _n in range(self.database.dice.randint(0, most)):
            if not self.ready or len(self.unacked) >= PREFETCH:
                break
            self.tag += 1
            (place, after), attempts = self.unacked[self.tag] = self.ready.pop(0)
            one = said(place[0], place[2], place[1], after=after)
            there = {"tag": self.tag, "exchange": "manman", "attempts": attempts}
            found.append(Delivery(key=one.key, body=one.body, headers=one.headers, **there))  # type: ignore[arg-type]
        return found

    async def ack_many(self, deliveries: Collection[Delivery]) -> None:
        for delivery in deliveries:
            (place, _), _ = self.unacked.pop(delivery.tag)
            assert place in self.database.applied, f"{place} is acknowledged before it is settled"

    def close(self) -> None:
        self.ready[:0] = [(one, attempts + 1) for _, (one, attempts) in sorted(self.unacked.items())]
        self.unacked.clear()


@dataclass
class Play:
    """What two consumers have in common; `clock` goes on by itself, and by some seconds where one of them waits for the database."""

    dice: Random
    database: Database
    queues: tuple[Queue, Queue]
    ordered: bool
    clock: float = 0.0
    over: bool = False

    async def wait(self, _stop: asyncio.Event) -> None:
        self.clock += self.dice.uniform(0, 5)
        await asyncio.sleep(0)

    def reset(self) -> None: ...

    async def consume(self, ready: Queue) -> None:
        """Channel after channel."""
        anything: Any = self
        consumer = EventConsumer(
            bus=type("Bus", (), {"user_id": "control"})(),
            queue="events.1.0",
            prefetch=PREFETCH,
            batch_max=self.dice.choice([1, 3, 20]),
            ways=self.database,  # type: ignore[arg-type]
            backoff=anything,
            loop_time=lambda: self.clock,
            order=Order(self.database.settled) if self.ordered else None,
        )
        while not self.over:
            channel = Channel(ready, self.database)
            consumer.held.clear()
            if consumer.order is not None:
                consumer.order.forget()
            for _ in range(self.dice.randint(1, 60)):
                await consumer.step(channel)  # type: ignore[arg-type]
                await asyncio.sleep(0)
            channel.close()


def place_of(arrived: Arrived) -> Place:
    assert arrived.journal is not None and arrived.sequence is not None
    return (*arrived.journal, arrived.sequence)


def drawn(dice: Random, host: int) -> list[Said]:
    """What a host says in up to three lives; one that said nothing is passed over."""
    told: list[Said] = []
    after: tuple[str, int] | None = None
    for life in range(dice.randint(1, 3)):
        many = dice.randint(0, 6)
        told += [((host, f"j{life}", n), after if n == 1 else None) for n in range(1, many + 1)]  # type: ignore[misc]
        after = (f"j{life}", many) if many else after
    return told


def spread(dice: Random, told: dict[int, list[Said]]) -> tuple[Queue, Queue]:
    """Two queues with what the hosts say: one host's in turns, side by side with the others', some of it twice."""
    queues: tuple[Queue, Queue] = ([], [])
    left, where = {host: 0 for host in told if told[host]}, dict.fromkeys(told, 0)
    while left:
        host = dice.choice(list(left))
        if dice.random() < 0.3:
            where[host] = 1 - where[host]
        queues[where[host]].append((told[host][left[host]], 0))
        left[host] += 1
        if dice.random() < 0.15:
            left[host] = max(0, left[host] - dice.randint(1, 3))
        if left[host] == len(told[host]):
            del left[host]
    return queues


async def played(seed: int, *, ordered: bool = True) -> tuple[dict[int, list[Place]], dict[int, list[Place]]]:
    """What each host said, and what had its effect once all is settled, both in order."""
    dice = Random(seed)
    told = {host: drawn(dice, host) for host in HOSTS}
    bugs = {dice.choice(those)[0] for those in told.values() if those and dice.random() < 0.4}
    play = Play(dice, Database(dice, bugs), spread(dice, told), ordered)
    everything = {one[0] for those in told.values() for one in those}
    async with asyncio.TaskGroup() as tasks:
        for ready in play.queues:
            tasks.create_task(play.consume(ready))
        for _ in range(100_000):
            await asyncio.sleep(0)
            play.clock += 0.005
            if everything <= set(play.database.applied):
                break
        play.over = True
    said_ = {host: [one[0] for one in those] for host, those in told.items()}
    return said_, {host: [place for place in play.database.applied if place[0] == host] for host in told}


@pytest.mark.parametrize("seed", range(12))
async def test_what_a_host_said_has_its_effect_once_and_in_order(seed: int) -> None:
    said_, applied = await played(seed)
    assert applied == said_


async def test_the_model_shows_what_happens_where_nobody_waits() -> None:
    plays = [await played(seed, ordered=False) for seed in range(12)]
    assert any(applied != said_ for said_, applied in plays)
    assert all(
        {p for one in applied.values() for p in one} == {p for one in said_.values() for p in one}
        for said_, applied in plays
    )
