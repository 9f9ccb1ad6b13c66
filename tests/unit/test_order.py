"""Who waits for a predecessor that lies in another queue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import pytest

from manman.domain.ids import HostId
from manman.errors import Unavailable
from manman.events import envelope
from manman.events.bus import Delivery
from manman.processor.arrivals import arrive
from manman.processor.consumer import Held, Item
from manman.processor.order import Order, Place
from manman.processor.world import Arrived


def said(host: int, number: int | None, journal: str = "j", *, body: bytes | None = None) -> Arrived:
    """A status of a host as it arrives, with its number in the journal."""
    headers: dict[str, envelope.Header] = {}
    if number is not None:
        event = envelope.attributes(
            id=f"{journal}-{number}", source=envelope.journal_source(HostId(host), journal),
            type="manman.status.session.running", time=datetime(2026, 1, 1, tzinfo=UTC), sequence=number,
        )  # fmt: skip
        headers = envelope.to_headers(event)
    content = msgspec.json.encode({"session_id": 1}) if body is None else body
    key = f"status.session.running.{host}"
    return arrive(Delivery(tag=1, exchange="manman", key=key, body=content, headers=headers), None)


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
    assert await order.early([said(7, 2), said(7, 3), said(7, 5)]) == set()


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

    early = Held([item(5)], tries=0, again_at=9.0, error="", early_until=15.0)
    early.add(item(6))
    early.add(item(1, "k"))
    early.add(item(None))
    assert early.again_at == 9.0
    early.add(item(4))
    assert early.again_at == 0.0
    assert waiting(early) == [("j", 4), ("j", 5), ("j", 6), ("k", 1), ("", None)]

    failing = Held([item(5)], tries=1, again_at=9.0, error="a bug")
    failing.add(item(4))
    assert (waiting(failing), failing.again_at) == ([("j", 5), ("j", 4)], 9.0)
