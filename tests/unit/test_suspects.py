"""A message that was delivered too often may kill the process: each attempt at it is noted before it is made."""

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from manman.errors import Unavailable
from manman.events.bus import Delivery
from manman.processor.consumer import TRIES, EventConsumer
from manman.processor.held import MOST_PAUSE, RETRY_AFTER
from manman.processor.outcomes import Refusal
from manman.processor.suspects import name_of
from manman.processor.world import Arrived
from manman.store.bounds import TooLong


def delivered(attempts: int) -> Delivery:
    return Delivery(
        tag=1,
        exchange="manman",
        key="status.session.stopping.3",
        body=b'{"session_id":7}',
        headers={"host": "3"},
        attempts=attempts,
        message_id="m",
    )


class Ways:
    """A database on which a message fails by a bug, `fails` times; `did` is what was called, in order."""

    def __init__(self, fails: int, noted: int = 0) -> None:
        self.fails, self.noted, self.did = fails, noted, list[str]()
        self.refused: Refusal | None = None

    async def note_attempt(self, name: str, _arrived: Arrived) -> int:
        self.noted += 1
        self.did.append(f"note {name}")
        return self.noted

    async def take_back(self, names: Collection[str]) -> None:
        self.noted -= 1
        self.did += [f"take back {name}" for name in names]

    async def apply(self, _batch: list[Arrived], erase: Collection[str]) -> dict[str, int]:
        self.did.append("apply")
        if self.fails:
            self.fails -= 1
            raise ValueError("a bug")
        self.noted = 0 if erase else self.noted
        return {}

    async def condemn(self, _arrived: Arrived, why: Refusal, _erase: Collection[str]) -> None:
        self.did.append("condemn")
        self.refused, self.noted = why, 0


class Channel:
    """A consumer that delivers once; `acked` are the tags that were settled."""

    def __init__(self, delivery: Delivery) -> None:
        self.waiting, self.acked = [delivery], list[int]()

    async def get_batch(self, *_: Any) -> list[Delivery]:
        waiting, self.waiting = self.waiting, []
        return waiting

    async def ack_many(self, deliveries: Collection[Delivery]) -> None:
        self.acked += [delivery.tag for delivery in deliveries]


def consumer_of(ways: Ways, clock: list[float]) -> EventConsumer:
    anything = Any
    consumer = EventConsumer(
        bus=type("Bus", (), {"user_id": "control"})(),
        queue="events",
        prefetch=500,
        batch_max=500,
        ways=ways,
        backoff=anything,
        loop_time=lambda: clock[0],
    )
    consumer.backoff = type("Backoff", (), {"reset": lambda self: None})()  # type: ignore[assignment]
    return consumer


async def consumed(ways: Ways, attempts: int) -> Channel:
    """The message, delivered after so many attempts, is consumed until it is settled."""
    clock = [0.0]
    consumer = consumer_of(ways, clock)
    channel = Channel(delivered(attempts))
    for _ in range(2 * TRIES):
        await consumer.step(channel)  # type: ignore[arg-type]
        clock[0] += RETRY_AFTER * 2**TRIES
    assert not consumer.held
    return channel


async def test_each_try_of_a_suspect_that_fails_is_noted_before_it_is_made() -> None:
    ways = Ways(fails=2)
    channel = await consumed(ways, attempts=2)
    assert ways.did == ["note m", "apply"] * 3
    assert channel.acked == [1] and ways.noted == 0


async def test_a_suspect_that_fails_each_time_is_set_aside_after_five_attempts() -> None:
    ways = Ways(fails=100)
    channel = await consumed(ways, attempts=2)
    assert ways.did == [*["note m", "apply"] * TRIES, "condemn"]
    assert ways.refused is not None and ways.refused.reason == "bug" and channel.acked == [1]


async def test_attempts_that_ended_the_process_count_with_those_that_failed() -> None:
    ways = Ways(fails=100, noted=3)
    channel = await consumed(ways, attempts=5)
    assert ways.did == ["note m", "apply", "note m", "apply", "note m", "condemn"]
    assert ways.refused is not None and ways.refused.reason == "kills_the_process" and channel.acked == [1]


async def test_one_that_is_no_suspect_is_never_noted() -> None:
    ways = Ways(fails=2)
    channel = await consumed(ways, attempts=1)
    assert ways.did == ["apply"] * 3 and channel.acked == [1]


class Unstorable(Ways):
    """A database that cannot make a dead letter of the message either, `refuses` times."""

    refuses = 3

    async def condemn(self, arrived: Arrived, why: Refusal, erase: Collection[str]) -> None:
        if self.refuses:
            self.refuses -= 1
            self.did.append("refuse")
            raise ValueError("not even that")
        await super().condemn(arrived, why, erase)


@pytest.mark.parametrize("attempts", [0, 2])
async def test_one_that_cannot_be_set_aside_waits_with_its_host_and_is_tried_again(attempts: int) -> None:
    ways, clock = Unstorable(fails=100), [0.0]
    consumer = consumer_of(ways, clock)
    channel = Channel(delivered(attempts))
    pauses: list[float] = []
    while not channel.acked:
        await consumer.step(channel)  # type: ignore[arg-type]
        for held in consumer.held.values():
            pauses.append(held.again_at - clock[0])
            clock[0] = held.again_at
    assert (ways.did.count("refuse"), ways.did.count("condemn")) == (3, 1) and len(pauses) > TRIES
    assert pauses == sorted(pauses) and pauses[-1] <= MOST_PAUSE
    assert not consumer.held


def test_a_suspect_is_called_by_its_id_or_where_that_cannot_be_stored_by_what_it_says() -> None:
    def named(message_id: str | None, key: str = "status.session.stopping.3") -> str:
        delivery = msgspec.structs.replace(delivered(2), message_id=message_id, key=key)
        return name_of((delivery, Arrived(key=key, headers={}, body=b"")))

    assert named("m") == "m"
    others = [None, "a\0b", "a\0c", "a\ud800"]
    names = {*map(named, others), *(named(other, "a.key\0\ud800") for other in others)}
    assert len(names) == 2 * len(others)
    assert all(len(name) == 64 and name.isalnum() for name in names)


class Weather(Ways):
    """A database that is away, or too busy for this message, whenever it is to be applied."""

    def __init__(self, error: Unavailable) -> None:
        super().__init__(fails=0)
        self.error = error

    async def apply(self, _batch: list[Arrived], _erase: Collection[str]) -> dict[str, int]:
        self.did.append("apply")
        raise self.error


async def test_a_service_that_ends_while_the_database_is_away_takes_its_note_back() -> None:
    ways = Weather(Unavailable("away"))
    for _ in range(TRIES + 1):
        consumer = consumer_of(ways, [0.0])

        async def ends(stop: asyncio.Event) -> None:
            stop.set()

        consumer.backoff.wait = ends  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable):
            await consumer.step(Channel(delivered(2)))  # type: ignore[arg-type]
    assert ways.did == ["note m", "apply", "take back m"] * (TRIES + 1)


async def test_a_suspect_that_takes_too_long_is_not_set_aside_for_that() -> None:
    ways, clock = Weather(TooLong("idle")), [0.0]
    consumer, channel = consumer_of(ways, clock), Channel(delivered(2))
    for _ in range(2 * TRIES):
        await consumer.step(channel)  # type: ignore[arg-type]
        [held] = consumer.held.values()
        assert clock[0] < held.again_at <= clock[0] + MOST_PAUSE
        clock[0] = held.again_at
    assert ways.did == ["note m", "apply", "take back m"] * (2 * TRIES) and channel.acked == []
