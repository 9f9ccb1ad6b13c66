"""What the relay publishes of what is handed over to it, and when it asks the database instead."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from manman.domain.ids import HostId, SessionId
from manman.errors import Unavailable
from manman.events.bus import Outcome, Outgoing
from manman.events.outbox import OutboxRow
from manman.processor import relay as relays
from manman.processor.leading import Lease
from manman.processor.relay import Relay
from manman.store.events import Event, Turn

AT = datetime(2026, 1, 2, tzinfo=UTC)


def event(
    position: int,
    *,
    epoch: int = 1,
    exchange: str | None = "external",
    session: int | None = None,
    host: int | None = None,
) -> Event:
    kind = "manman.session.running"
    row = OutboxRow(
        event_id=f"{position}",
        type=kind,
        key=kind,
        body=b"{}",
        exchange=exchange,
        session_id=None if session is None else SessionId(session),
        host_id=None if host is None else HostId(host),
    )
    return Event(epoch=epoch, position=position, at=AT, row=row)


@dataclass
class House:
    """A database whose events are those of `rows`, and a broker that notes what it gets and refuses `refused` so many times."""

    rows: list[Event] = field(default_factory=list)
    noted: int = 0
    turns: int = 0
    heard: list[str] = field(default_factory=list)
    is_away: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    meanwhile: Callable[[], None] = lambda: None

    def say(self, *said: Event) -> list[Event]:
        self.rows += said
        return list(said)

    async def relay(self, conn: Any, most: int, *, published: int | None, lease: Any) -> Turn:
        self.turns += 1
        self.noted = max(self.noted, published or 0)
        due = [e for e in self.rows if e.position > self.noted][:most]
        return Turn(
            leads=True,
            moved=0,
            due=len(due),
            more=len(due) >= most,
            epoch=1,
            last=due[-1].position if due else self.noted,
            public=[e for e in due if e.row.exchange is not None],
        )

    async def publish(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        if self.is_away:
            raise Unavailable("no broker answers")
        self.meanwhile()
        self.heard += [str(message.message_id) for message in batch]
        return [self._outcome(str(message.message_id)) for message in batch]

    def _outcome(self, message: str) -> Outcome:
        self.refused[message] = self.refused.get(message, 0) - 1
        return Outcome.NACKED if self.refused[message] >= 0 else Outcome.CONFIRMED

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        yield


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    house = House()
    monkeypatch.setattr(relays, "events", SimpleNamespace(relay=house.relay))
    return house


def relay_of(house: House, most: int = 500) -> Relay:
    lease = Lease("relay", "a", house)  # type: ignore[arg-type]
    lease.know(1)
    return Relay(lease, house, "external", most=most)  # type: ignore[arg-type]


async def led(house: House, most: int = 500) -> Relay:
    """A relay that has looked once and knows where it stands."""
    relay = relay_of(house, most)
    assert await relay.step() is False
    assert house.turns == 1
    return relay


async def test_what_is_handed_over_is_published_without_another_look(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1), event(2, exchange=None)))
    relay.hand(house.say(event(3)))
    assert await relay.step() is False
    relay.hand(house.say(event(4)))
    assert await relay.step() is False
    assert (house.heard, house.turns, relay.known.published) == (["1", "3", "4"], 1, 4)


async def test_what_comes_in_another_order_than_its_numbers_is_published_by_numbers(house: House) -> None:
    relay = await led(house)
    first, second = house.say(event(1)), house.say(event(2))
    relay.hand(second)
    relay.hand(first)
    await relay.step()
    assert (house.heard, house.turns) == (["1", "2"], 1)


async def test_a_gap_is_the_databases_to_fill(house: House) -> None:
    relay = await led(house)
    house.say(event(1))
    relay.hand(house.say(event(2)))
    await relay.step()
    assert (house.heard, house.turns) == (["1", "2"], 2)
    relay.hand(house.say(event(3)))
    await relay.step()
    assert (house.heard, house.turns) == (["1", "2", "3"], 2)


async def test_what_waits_elsewhere_is_looked_for_first(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1)))
    house.say(event(2))
    relay.look()
    await relay.step()
    assert (house.heard, house.turns) == (["1", "2"], 2)


async def test_nothing_handed_over_is_a_reason_to_look(house: House) -> None:
    relay = await led(house)
    house.say(event(1))
    relay.hand([])
    await relay.step()
    assert (house.heard, house.turns) == (["1"], 2)


async def test_another_epoch_is_asked_for(house: House) -> None:
    relay = await led(house)
    relay.hand([event(1, epoch=2)])
    await relay.step()
    assert (house.heard, house.turns) == ([], 2)


async def test_what_a_look_has_published_is_not_published_again(house: House) -> None:
    relay = await led(house)
    said = house.say(event(1))
    relay.look()
    await relay.step()
    relay.hand(said)
    relay.hand(house.say(event(2)))
    await relay.step()
    assert (house.heard, house.turns) == (["1", "2"], 2)


async def test_what_could_not_be_published_is_published_once_it_can(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1)))
    house.is_away = True
    with pytest.raises(Unavailable):
        await relay.step()
    assert relay.known.published is None
    relay.hand(house.say(event(2)))
    house.is_away = False
    await relay.step()
    assert house.heard == ["1", "2"]


async def test_a_backlog_is_read_from_the_database_to_its_end(house: House) -> None:
    relay = relay_of(house, most=2)
    house.say(*(event(n) for n in range(1, 6)))
    while await relay.step():
        relay.hand([house.rows[-1]])
    assert house.heard == ["1", "2", "3", "4", "5"]


async def test_after_an_outage_only_what_the_database_knows_counts(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1), event(2)))
    await relay.step()
    house.rows = house.rows[:1]  # it came back from a copy
    relay.forget()
    relay.hand(house.say(event(2)))
    await relay.step()
    assert (house.heard, house.noted) == (["1", "2", "1", "2"], 0)


async def test_a_publish_that_waits_keeps_only_so_many(house: House) -> None:
    relay = await led(house)
    for n in range(1, relays.MOST_HANDED + 10):
        relay.hand(house.say(event(n)))
    assert len(relay.known.handed) == relays.MOST_HANDED
    while await relay.step():
        pass
    assert house.heard == [f"{n}" for n in range(1, relays.MOST_HANDED + 10)]


async def test_who_does_not_lead_numbers_nothing(house: House) -> None:
    relay = await led(house)
    assert relay.leader() is not None
    relay.lease.know(None)
    assert relay.leader() is None


async def test_what_is_published_is_noted_with_the_next_that_is_numbered(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1)))
    await relay.step()
    leader = relay.leader()
    assert leader is not None and leader.published == 1


async def test_a_turn_that_fails_forgets_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1), event(2)))
    await relay.step()

    async def away(*_: Any, **__: Any) -> Turn:
        raise Unavailable("no database answers")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(relays, "events", SimpleNamespace(relay=away))
        with pytest.raises(Unavailable):
            await relay.step()
    house.rows = []  # it came back from a copy
    house.say(event(1), event(2))
    await relay.step()
    assert (house.noted, house.heard) == (0, ["1", "2", "1", "2"])


async def test_what_is_forgotten_while_a_publish_waits_stays_forgotten(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1)))
    house.meanwhile = relay.forget
    await relay.step()
    leader = relay.leader()
    assert leader is not None and leader.published is None


async def test_of_an_earlier_term_nothing_is_known(house: House) -> None:
    relay = await led(house)
    relay.hand(house.say(event(1)))
    await relay.step()
    relay.hand(house.say(event(2)))
    relay.lease.know(None)  # another one leads
    house.noted = 2
    relay.lease.know(7)
    leader = relay.leader()
    assert leader is not None and leader.published is None
    await relay.step()
    assert house.heard == ["1"]


@pytest.mark.parametrize(
    ("behind", "heard"),
    [
        (event(3, session=8, host=2), ["1", "2", "3", "2"]),
        (event(3, session=7, host=1), ["1", "2", "3"]),
        (event(3, host=1), ["1", "2", "3"]),
    ],
)
async def test_what_was_refused_is_repeated_only_where_nothing_of_its_session_or_host_is_behind_it(
    house: House, behind: Event, heard: list[str]
) -> None:
    house.say(event(1), event(2, session=7, host=1), behind)
    house.refused = {"2": 1}
    await relay_of(house).step()
    assert house.heard == heard
