"""Who waits for a predecessor that lies in another queue."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from manman.domain.ids import HostId
from manman.errors import Unavailable
from manman.events import envelope
from manman.events.bus import Delivery
from manman.processor import held as held_module
from manman.processor.arrivals import arrive
from manman.processor.consumer import EventConsumer
from manman.processor.held import Held, Item
from manman.processor.order import PATIENCE, Order, Place
from manman.processor.world import Arrived


def said(
    host: int,
    number: int | None,
    journal: str = "j",
    *,
    body: bytes | None = None,
    after: tuple[str, int] | None = None,
) -> Arrived:
    """A status of a host as it arrives, with its number in the journal."""
    headers: dict[str, envelope.Header] = {}
    if number is not None:
        event = envelope.attributes(
            id=f"{journal}-{number}", source=envelope.journal_source(HostId(host), journal),
            type="manman.status.session.running", time=datetime(2026, 1, 1, tzinfo=UTC), sequence=number,
            after=after,
        )  # fmt: skip
        headers = envelope.to_headers(event)
    content = msgspec.json.encode({"session_id": 1}) if body is None else body
    key = f"status.session.running.{host}"
    return arrive(Delivery(tag=1, exchange="manman", key=key, body=content, headers=headers), None, 0.0)


@dataclass
class Inbox:
    """Which numbers are settled, and what was asked."""

    has: set[Place] = field(default_factory=set)
    asked: list[list[Place]] = field(default_factory=list)
    away: bool = False

    async def settled(self, places: Sequence[Place]) -> set[Place]:
        if self.away:
            raise Unavailable("away")
        self.asked.append(list(places))
        return self.has & set(places)


async def test_numbers_that_follow_each_other_never_ask() -> None:
    inbox = Inbox()
    order = Order(inbox.settled)
    assert await order.early([said(7, 1), said(7, 2), said(8, 1)]) == set()
    assert await order.early([said(7, 3), said(8, 2), said(7, 4)]) == set()
    assert inbox.asked == []


async def test_the_first_of_a_journal_on_a_channel_is_looked_up_once() -> None:
    inbox = Inbox({(HostId(7), "j", 4)})
    order = Order(inbox.settled)
    assert await order.early([said(7, 5), said(7, 6)]) == set()
    assert await order.early([said(7, 7)]) == set()
    assert inbox.asked == [[(7, "j", 4)]]
    order.forget()
    inbox.has = {(HostId(7), "j", 7)}
    assert await order.early([said(7, 8)]) == set()
    assert len(inbox.asked) == 2


async def test_the_first_of_a_journal_waits_for_the_last_of_the_journal_before() -> None:
    inbox = Inbox()
    order = Order(inbox.settled)
    first, second = said(7, 1, "k", after=("j", 4)), said(7, 2, "k")
    assert await order.early([first, second, said(8, 1)]) == {0}
    assert await order.is_early(first)
    inbox.has = {(HostId(7), "j", 4)}
    assert not await order.is_early(first)
    assert inbox.asked == [[(7, "j", 4)]] * 3


async def test_what_this_channel_saw_of_the_journal_before_is_not_looked_up() -> None:
    inbox = Inbox()
    order = Order(inbox.settled)
    assert await order.early([said(7, 1), said(7, 2)]) == set()
    assert await order.early([said(7, 3), said(7, 1, "k", after=("j", 3)), said(7, 2, "k")]) == set()
    assert inbox.asked == []


async def test_one_whose_predecessor_is_not_settled_is_early_until_it_is() -> None:
    inbox = Inbox()
    order = Order(inbox.settled)
    assert await order.early([said(8, 1), said(7, 5), said(8, 2), said(7, 6)]) == {1}
    assert await order.is_early(said(7, 5))
    inbox.has = {(HostId(7), "j", 4)}
    assert not await order.is_early(said(7, 5))


async def test_a_gap_in_the_middle_is_early_and_what_comes_again_is_not() -> None:
    order = Order(Inbox().settled)
    assert await order.early([said(7, 1), said(7, 2), said(7, 4)]) == {2}
    assert await order.early([said(7, 2), said(7, 3), said(7, 4)]) == set()


async def test_what_waits_does_not_count_as_seen() -> None:
    inbox = Inbox({(HostId(7), "j", 4)})
    order = Order(inbox.settled)
    assert await order.early([said(7, 5), said(7, 8), said(7, 9), said(7, 1, "k")]) == {1}
    assert order.last == {(7, "j"): 5}
    assert await order.early([said(7, 6), said(7, 9)]) == {1}


async def test_journals_of_one_host_are_counted_apart() -> None:
    order = Order(Inbox().settled)
    assert await order.early([said(7, 1, "a"), said(7, 1, "b"), said(7, 2, "a"), said(7, 2, "b")]) == set()


async def test_what_has_no_number_is_never_early_and_what_means_nothing_counts_with_its_number() -> None:
    inbox = Inbox()
    order = Order(inbox.settled)
    assert await order.early([said(7, None), said(7, 1), said(7, 2, body=b"nonsense"), said(7, 3)]) == set()
    assert inbox.asked == []


async def test_a_question_that_failed_is_asked_again() -> None:
    inbox = Inbox(away=True)
    order = Order(inbox.settled)
    with pytest.raises(Unavailable):
        await order.early([said(7, 5)])
    inbox.away = False
    assert await order.early([said(7, 5)]) == {0}


def waiting(held: Held) -> list[tuple[str, int | None]]:
    return [(arrived.journal[1] if arrived.journal else "", arrived.sequence) for _, arrived in held.waiting]


def test_what_comes_behind_what_waits_for_it_goes_ahead() -> None:
    def item(number: int | None, journal: str = "j") -> Item:
        return Delivery(tag=1, exchange="manman", key="", body=b"", headers={}), said(7, number, journal)

    early = Held([item(5)], again_at=9.0, error="", patience=3.0)
    for one in (item(6), item(1, "k"), item(None), item(5)):
        early.add(one)
    assert early.first()[1].sequence == 5
    assert early.patience == 3.0
    early.add(item(3))
    early.add(item(4))
    assert early.first()[1].sequence == 3
    assert early.patience == PATIENCE
    # What has no number stays in its place.
    assert waiting(early) == [("j", 3), ("j", 4), ("j", 5), ("", None), ("j", 5), ("j", 6), ("k", 1)]

    failing = Held([item(5)], tries=1, again_at=9.0, error="a bug")
    failing.add(item(4))
    failing.first()
    assert waiting(failing) == [("j", 5), ("j", 4)]


@pytest.mark.parametrize(
    ("came", "stands"),
    [
        (["k1", "k2", "j7", "j6"], ["j6", "j7", "k1", "k2"]),
        (["l1", "j6", "k1", "k2"], ["j6", "k1", "k2", "l1"]),
        (["k3", "j6", "k1", "k2"], ["j6", "k1", "k2", "k3"]),
        (["m1", "j6", "k1", "l1"], ["j6", "k1", "l1", "m1"]),
        (["x1", "y1", "x2"], ["x1", "x2", "y1"]),
    ],
)
def test_what_the_journal_before_brings_goes_ahead(came: list[str], stands: list[str]) -> None:
    follows = {"k1": ("j", 6), "l1": ("k", 2), "m1": ("l", 9), "x1": ("y", 9), "y1": ("x", 9)}

    def item(name: str) -> Item:
        delivery = Delivery(tag=1, exchange="manman", key="", body=b"", headers={})
        return delivery, said(7, int(name[1]), name[0], after=follows.get(name))

    for at_once in (True, False):
        early = Held([item(came[0])], again_at=9.0, error="", patience=3.0)
        for name in came[1:]:
            early.add(item(name))
            if not at_once:
                early.first()
        early.first()
        assert [f"{journal}{number}" for journal, number in waiting(early)] == stands
        assert early.patience == (3.0 if came[0] == stands[0] else PATIENCE)


def test_sorting_what_waits_takes_no_longer_where_a_host_says_what_is_to_make_it_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted, not timed: how often what waits is looked at for what it follows."""
    many, big, asked = 2000, 9 * 10**18, [0]
    ring = [said(7, 1, f"c{n}", after=(f"c{n - 1}" if n else "k", big)) for n in range(many // 2)]
    ring += [said(7, n + 1, "k", after=(f"c{many // 2 - 1}", big)) for n in range(many // 2)]
    items = [(Delivery(tag=1, exchange="manman", key="", body=b"", headers={}), one) for one in ring]
    followed = held_module._followed

    def counted(*args: Any) -> Any:
        asked[0] += 1
        return followed(*args)

    monkeypatch.setattr(held_module, "_followed", counted)
    stands = held_module.in_turn(items)
    assert asked[0] <= many
    assert held_module.in_turn(stands) == stands
    assert sorted(id(one) for one in stands) == sorted(id(one) for one in items)


async def test_what_waited_and_had_its_turn_counts_as_passed() -> None:
    order = Order(Inbox().settled)
    first = said(7, 1, "k", after=("j", 6))
    assert await order.early([first, said(7, 2, "k")]) == {0}
    order.passed(first)
    assert await order.early([first, said(7, 2, "k"), said(7, 3, "k")]) == set()


class Ways:
    """A database with its inbox; `applied` are the numbers of host 7 in the order in which they had their effect."""

    def __init__(self, *has: int) -> None:
        self.inbox = Inbox({(HostId(7), "j", number) for number in has})
        self.applied: list[int | None] = []

    async def apply(self, batch: list[Arrived], _erase: Collection[str]) -> dict[str, int]:
        for one in batch:
            if one.sequence is None or (HostId(7), "j", one.sequence) not in self.inbox.has:
                self.settle(one.sequence)
        return {}

    def settle(self, number: int | None) -> None:
        self.applied.append(number)
        self.inbox.has |= set() if number is None else {(HostId(7), "j", number)}


class Channel:
    """What comes, batch by batch; `acked` are the tags that were settled."""

    def __init__(self, batches: Sequence[Sequence[int | None]]) -> None:
        self.batches, self.acked, self.tag = [list(batch) for batch in batches], list[int](), 0

    async def get_batch(self, *_: Any) -> list[Delivery]:
        numbers = self.batches.pop(0) if self.batches else []
        return [self.delivery(number) for number in numbers]

    def delivery(self, number: int | None) -> Delivery:
        self.tag += 1
        one = said(7, number)
        return Delivery(tag=self.tag, exchange="manman", key=one.key, body=one.body, headers=one.headers)

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        self.acked += [delivery.tag for delivery in deliveries]


def consuming(ways: Ways, clock: list[float]) -> EventConsumer:
    anything: Any = type("Backoff", (), {"reset": lambda self: None})()
    return EventConsumer(
        bus=type("Bus", (), {"user_id": "control"})(),
        queue="events.1.0",
        prefetch=500,
        batch_max=500,
        ways=ways,  # type: ignore[arg-type]
        backoff=anything,
        loop_time=lambda: clock[0],
        order=Order(ways.inbox.settled),
    )


async def consumed(
    ways: Ways,
    batches: Sequence[Sequence[int | None]],
    meanwhile: Mapping[int, Sequence[int]] = MappingProxyType({}),
    tick: float = 0.2,
    steps: int = 12,
) -> None:
    """All that comes is consumed, in so many steps; `meanwhile`: which numbers another replica settles before which of them."""
    clock = [0.0]
    consumer = consuming(ways, clock)
    channel = Channel(batches)
    for step in range(steps):
        for number in meanwhile.get(step, ()):
            ways.settle(number)
        await consumer.step(channel)  # type: ignore[arg-type]
        clock[0] += tick
    assert not consumer.held
    assert sorted(channel.acked) == list(range(1, channel.tag + 1))


@pytest.mark.parametrize("numbers", [[3, 5, 4, 6], [3, 5, 6, 4], [5, 3, 4, 6], [5, 6, 3, 4, 5, 6], [6, 5, 4, 3]])
@pytest.mark.parametrize("at_once", [1, 2, 9])
async def test_what_comes_out_of_order_is_applied_in_order(numbers: list[int], at_once: int) -> None:
    ways = Ways(1, 2)
    await consumed(ways, [numbers[n : n + at_once] for n in range(0, len(numbers), at_once)])
    assert ways.applied == sorted(set(numbers))


@pytest.mark.parametrize("batches", [[[5, 8, 6, 7]], [[5, 8], [6], [7]], [[5], [8, 6, 7]], [[5, 8], [], [7], [6]]])
async def test_each_of_two_gaps_is_waited_for(batches: list[list[int]]) -> None:
    ways = Ways(1, 2, 3)
    await consumed(ways, batches, {1: [4]})
    assert ways.applied == [4, 5, 6, 7, 8]


async def test_a_second_gap_is_waited_for_until_another_replica_settles_it() -> None:
    ways = Ways(1, 2, 3)
    await consumed(ways, [[5, 8]], {1: [4], 6: [6], 8: [7]})
    assert ways.applied == [4, 5, 6, 7, 8]


async def test_what_has_no_number_and_came_before_a_gap_waits_for_nobody() -> None:
    ways = Ways(1, 2, 3)
    await consumed(ways, [[None, 4, 6, None]], {2: [5]})
    assert ways.applied == [None, 4, 5, 6, None]


class Nobody(Ways):
    """A database that does not know the host: it keeps none of its numbers."""

    def settle(self, number: int | None) -> None:
        self.applied.append(number)


async def test_a_host_that_nobody_knows_waits_once_and_not_for_each_of_its_messages() -> None:
    ways = Nobody()
    await consumed(ways, [[4], *([[]] * 15), [5, 6]], tick=1.0, steps=17)
    assert ways.applied == [4, 5, 6]


async def test_what_the_database_was_away_for_is_no_waiting() -> None:
    """The predecessor is in the hands of another consumer, which stands as long."""
    ways, clock = Ways(1, 2, 3), [0.0]
    consumer, channel = consuming(ways, clock), Channel([[5]])

    async def back_after_an_hour(_stop: Any) -> None:
        clock[0] += 3600.0
        ways.inbox.away = False

    consumer.backoff.wait = back_after_an_hour  # type: ignore[method-assign]
    await consumer.step(channel)  # type: ignore[arg-type]
    clock[0], ways.inbox.away = 0.5, True
    await consumer.step(channel)  # type: ignore[arg-type]
    assert clock[0] > 3600.0 and ways.applied == []
    clock[0] += 3600.0  # this process was frozen
    await consumer.step(channel)  # type: ignore[arg-type]
    assert ways.applied == []
    ways.settle(4)
    clock[0] += 0.2
    await consumer.step(channel)  # type: ignore[arg-type]
    assert ways.applied == [4, 5]


async def test_one_that_others_came_too_early_for_has_patience_of_its_own() -> None:
    ways = Ways(1, 2, 3)
    late = [[8], *([[]] * 13), [5, 6, 7]]
    await consumed(ways, late, {18: [4]}, tick=1.0, steps=22)
    assert ways.applied == [4, 5, 6, 7, 8]
