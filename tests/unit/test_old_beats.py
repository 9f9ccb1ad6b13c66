"""Heartbeats that this process has held for longer than 2 s: it stood still, or waited for its database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import structlog

from manman.errors import Unavailable
from manman.events.bus import Delivery
from manman.events.codec import encode_body
from manman.events.contracts import Heartbeat, Pulse
from manman.events.settings import BrokerSettings
from manman.observability import metrics
from manman.processor.halving import COMMON_FROM
from manman.processor.heartbeats import OLD_AFTER, SLOW_FROM, HeartbeatConsumer
from manman.processor.own_queue import OwnQueue


class Written(Exception):
    """A statement was made."""


class Clocked:
    """The loop's clock, a queue's channel and a database in one. `waits` are the seconds that each transaction waits for its connection;
    `applied` the hosts whose beats were to be written, by transaction."""

    def __init__(self, *waits: float) -> None:
        self.now, self.waits = 100.0, list(waits)
        self.waiting: list[Delivery] = []
        self.acked: list[int] = []
        self.asked: list[int] = []
        self.applied: list[list[int]] = []

    def held(self, seconds: float, host: int | None) -> None:
        """A message that came so long ago: a beat, or a pulse for no host."""
        body = Pulse() if host is None else Heartbeat(host_id=host, boot=1, beat=1)  # type: ignore[arg-type]
        key = "health.pulse" if host is None else f"health.heartbeat.{host}"
        made = Delivery(
            tag=len(self.waiting) + 1,
            exchange="manman",
            key=key,
            body=encode_body(body),
            headers={},
            held_since=self.now - seconds,
        )
        self.waiting.append(made)

    async def get_batch(self, most: int, *_: Any) -> list[Delivery]:
        self.asked.append(most)
        return self.waiting

    async def ack(self, up_to: Delivery) -> None:
        self.acked.append(up_to.tag)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Clocked"]:
        self.now += self.waits.pop(0) if self.waits else 0.0
        yield self


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be written is noted instead."""

    async def note(clocked: Clocked, beats: Sequence[Any]) -> Any:
        clocked.applied.append([beat.host_id for beat in beats])
        raise Written

    monkeypatch.setattr("manman.store.hosts.update_last_seen", note)


def consumer_of(clocked: Clocked, prefetch: int = 500) -> HeartbeatConsumer:
    """What takes the beats of this one."""
    anything: Any = None
    return HeartbeatConsumer(
        source=OwnQueue(anything, "beats", prefetch, anything, anything),
        pool=clocked,  # type: ignore[arg-type]
        rules=anything,
        loop_time=lambda: clocked.now,
    )


def counted() -> float:
    return metrics.REGISTRY.get_sample_value("manman_notices_total", {"what": "heartbeats_dropped"}) or 0.0


async def dropped(clocked: Clocked) -> int:
    """How many one step counts as dropped, whatever it raises."""
    before = counted()
    with suppress(Written, Unavailable):
        await consumer_of(clocked).step(clocked)  # type: ignore[arg-type]
    return int(counted() - before)


async def stepped(clocked: Clocked) -> list[list[int]]:
    """One step; what was to be written, by transaction, up to the first of them."""
    await consumer_of(clocked).step(clocked)  # type: ignore[arg-type]
    assert clocked.acked == [len(clocked.waiting)]
    return clocked.applied[:1]


async def test_what_was_held_too_long_is_dropped_and_pulses_with_it(written: None) -> None:
    clocked = Clocked()
    for host in (1, None, 2, None):
        clocked.held(OLD_AFTER + 0.1, host)
    assert await stepped(clocked) == []


async def test_of_a_batch_the_young_ones_count(written: None) -> None:
    clocked = Clocked()
    clocked.held(OLD_AFTER + 0.1, 1)
    clocked.held(OLD_AFTER - 0.1, 2)
    clocked.held(0, 3)
    assert await stepped(clocked) == [[2, 3]]


async def test_a_transaction_that_began_too_late_writes_nothing(written: None) -> None:
    clocked = Clocked(OLD_AFTER + 0.1)
    clocked.held(0, 1)
    clocked.held(0, None)
    assert await stepped(clocked) == []


async def test_those_that_are_still_young_when_the_oldest_has_waited_too_long_are_written(written: None) -> None:
    clocked = Clocked(1.0)
    clocked.held(OLD_AFTER - 0.5, 1)
    clocked.held(0.5, 2)
    assert await stepped(clocked) == [[2]]


async def test_what_came_just_now_is_written_at_once(written: None) -> None:
    clocked = Clocked(0.1)
    clocked.held(0.5, 1)
    clocked.held(0, 2)
    assert await stepped(clocked) == [[1, 2]]


async def test_one_hosts_poison_is_no_other_hosts_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked()
    for host in range(1, 251):
        clocked.held(0.5, host)
    settled: list[str] = []

    async def apply(self: HeartbeatConsumer, deliveries: Sequence[Delivery], _: Any) -> int:
        clocked.now += 0.01
        keys = [one.key for one in self._young(deliveries)]
        if "health.heartbeat.7" in keys:
            raise Written
        settled.extend(keys)
        return len(keys)

    monkeypatch.setattr(HeartbeatConsumer, "apply", apply)
    assert await dropped(clocked) == 1
    assert sorted(settled) == sorted(f"health.heartbeat.{host}" for host in range(1, 251) if host != 7)


async def test_what_was_too_old_is_counted_once_whatever_becomes_of_the_others(written: None) -> None:
    clocked = Clocked()
    for host in range(1, 5):
        clocked.held(OLD_AFTER + 0.1, host)
    for host in range(5, 9):
        clocked.held(0, host)  # each of them fails
    assert await dropped(clocked) == 8


async def test_what_a_database_that_is_away_makes_too_old_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        clocked.now += OLD_AFTER
        raise Unavailable("the database is away")

    monkeypatch.setattr("manman.store.hosts.update_last_seen", away)
    clocked = Clocked()
    clocked.held(OLD_AFTER + 0.1, 1)
    clocked.held(0.5, 2)
    assert await dropped(clocked) == 2
    assert clocked.acked == [2]


async def test_what_fails_for_a_moment_returns_and_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("the database is away")

    monkeypatch.setattr("manman.store.hosts.update_last_seen", away)
    clocked = Clocked()
    clocked.held(OLD_AFTER + 0.1, 1)
    clocked.held(0.5, 2)
    assert await dropped(clocked) == 0
    assert clocked.acked == []


async def test_a_bug_common_to_all_beats_drops_the_batch_after_a_few_and_is_told_once(
    written: None,
) -> None:
    clocked = Clocked()
    for host in range(1, 2001):
        clocked.held(0, host)
    consumer = consumer_of(clocked)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(Written):  # the loop tells it, and waits longer each time
                await consumer.step(clocked)  # type: ignore[arg-type]
    assert len(clocked.applied) < 3 * 5 * COMMON_FROM
    assert clocked.acked == [2000] * 3
    assert [line["event"] for line in lines if line["log_level"] != "debug"] == [
        "apply_heartbeats",
        "heartbeat_failed",
        "apply_heartbeats",
        "apply_heartbeats",
    ]


async def test_half_is_taken_at_once_and_all_after_a_slow_step(written: None) -> None:
    clocked = Clocked(SLOW_FROM + 0.1, SLOW_FROM + 0.1, 0.1)
    clocked.held(0, 1)
    consumer = consumer_of(clocked)
    for _ in range(4):
        await consumer.step(clocked)  # type: ignore[arg-type]
        clocked.waiting.clear()
        clocked.held(0, 1)
    assert clocked.asked == [250, 500, 500, 250]


async def test_one_at_a_time_where_that_is_asked_for(written: None) -> None:
    clocked = Clocked()
    clocked.held(0, 1)
    await consumer_of(clocked, BrokerSettings(prefetch=1).heartbeat_prefetch).step(clocked)  # type: ignore[arg-type]
    assert clocked.asked == [1]


@pytest.mark.parametrize(("events", "beats"), [(1, 1), (2, 16), (500, 4000), (65535, 65535)])
def test_many_more_beats_than_events_may_be_held(events: int, beats: int) -> None:
    assert BrokerSettings(prefetch=events).heartbeat_prefetch == beats
