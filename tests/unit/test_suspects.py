"""A message that was delivered too often may kill the process: each attempt at it is noted before it is made."""

from collections.abc import Collection
from typing import Any

from manman.events.bus import Delivery
from manman.processor.consumer import TRIES, EventConsumer
from manman.processor.held import RETRY_AFTER
from manman.processor.outcomes import Refusal
from manman.processor.world import Arrived


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


async def consumed(ways: Ways, attempts: int) -> Channel:
    """The message, delivered after so many attempts, is consumed until it is settled."""
    clock, anything = [0.0], Any
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
