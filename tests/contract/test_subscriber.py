"""The subscriber on every bus: acknowledged after the handler, dead letters with a reason, a shutdown that finishes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import structlog
from contract.places import Place

from manman.errors import Transient
from manman.events import topology
from manman.events.bus import Bus, Delivery, Outgoing
from manman.subscriber import (
    Event,
    HostOffline,
    HostOnline,
    HostStale,
    OtherEvent,
    Refuse,
    SessionCrashed,
    SessionRunning,
    SessionStopped,
    Subscriber,
)

SOON = 30.0
AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST = {"host_id": 7, "host": "alpha", "at": AT}
SESSION = {"session_id": 4, "deployment_id": 9, "host_id": 7, "at": AT}
SIX = {
    "manman.host.online": HostOnline,
    "manman.host.offline": HostOffline,
    "manman.host.stale": HostStale,
    "manman.session.running": SessionRunning,
    "manman.session.stopped": SessionStopped,
    "manman.session.crashed": SessionCrashed,
}


@pytest.fixture
async def bus(place: Place) -> AsyncIterator[Bus]:
    async with place.bus(topology.exchanges() + topology.subscriber("mine")) as connected:
        yield connected


def an_event(key: str, **fields: Any) -> Outgoing:
    body = (HOST if ".host." in key else SESSION) | {"status": key.rpartition(".")[2]} | fields
    return Outgoing(exchange="external", key=key, body=msgspec.json.encode(body), message_id=f"id-{key}")


class Taken:
    """A handler that keeps what it got; `react` may raise."""

    def __init__(self, react: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self._react = react
        self._more = asyncio.Condition()

    async def __call__(self, event: Event) -> None:
        async with self._more:
            self.events.append(event)
            self._more.notify_all()
        self._react(event)

    async def until(self, count: int) -> list[Event]:
        async with asyncio.timeout(SOON), self._more:
            await self._more.wait_for(lambda: len(self.events) >= count)
        return self.events


@asynccontextmanager
async def running(bus: Bus, taken: Taken, patterns: tuple[str, ...] = ("manman.#",)) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.ensure_future(Subscriber(bus, "mine", patterns).run(taken, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, SOON)


async def dead(bus: Bus) -> Delivery:
    async with bus.consume("mine.dead", 1) as consumer:
        [delivery] = await consumer.get_batch(1)
        await consumer.ack(delivery)
        return delivery


async def consumed(bus: Bus) -> None:
    async with asyncio.timeout(SOON):
        while True:
            with suppress(Transient):
                if (await bus.depth("mine")).consumers:
                    return
            await asyncio.sleep(0.05)


async def test_each_of_the_six_events_has_its_type(bus: Bus) -> None:
    await bus.publish([an_event(key) for key in SIX])
    taken = Taken()
    async with running(bus, taken):
        events = await taken.until(len(SIX))
    assert [type(event) for event in events] == list(SIX.values())
    assert [event.id for event in events] == [f"id-{key}" for key in SIX]
    assert (await bus.depth("mine")).ready == 0


async def test_what_was_published_while_nobody_read_waits(bus: Bus) -> None:
    await bus.publish([an_event("manman.host.online")])
    first = Taken()
    async with running(bus, first):
        await first.until(1)
    await bus.publish([an_event("manman.host.offline")])
    second = Taken()
    async with running(bus, second):
        assert [type(event) for event in await second.until(1)] == [HostOffline]


async def test_a_handler_that_fails_gets_the_event_again_in_order(bus: Bus) -> None:
    failures = [ValueError("not yet"), ConnectionError("no database")]

    def react(event: Event) -> None:
        if failures:
            raise failures.pop()

    await bus.publish([an_event("manman.host.online"), an_event("manman.host.offline")])
    taken = Taken(react)
    async with running(bus, taken):
        events = await taken.until(4)
    assert [type(event) for event in events] == [HostOnline, HostOnline, HostOnline, HostOffline]


async def test_what_a_handler_refuses_is_dead_with_its_reason_and_the_next_is_taken(bus: Bus) -> None:
    def react(event: Event) -> None:
        if isinstance(event, HostOnline):
            raise Refuse("not one of ours \udc80\0")

    await bus.publish([an_event("manman.host.online"), an_event("manman.host.offline")])
    taken = Taken(react)
    async with running(bus, taken):
        await taken.until(2)
        buried = await dead(bus)
    assert buried.headers["reason"] == "not one of ours \\udc80 "
    assert buried.headers["routing-key"] == "manman.host.online"
    assert msgspec.json.decode(buried.body)["host"] == "alpha"


async def test_an_event_that_always_fails_is_dead_after_five_tries(bus: Bus) -> None:
    def react(event: Event) -> None:
        raise KeyError("bug")

    await bus.publish([an_event("manman.host.online")])
    taken = Taken(react)
    async with running(bus, taken):
        buried = await dead(bus)
    assert len(taken.events) == 5
    assert "KeyError" in str(buried.headers["reason"])


async def test_a_malformed_event_is_dead_and_names_its_field(bus: Bus) -> None:
    bad = Outgoing(exchange="external", key="manman.session.running", body=b'{"session_id":"four"}')
    await bus.publish([bad, an_event("manman.backup.done")])
    taken = Taken()
    async with running(bus, taken):
        buried = await dead(bus)
        assert [type(event) for event in await taken.until(1)] == [OtherEvent]
    assert "session_id" in str(buried.headers["reason"])


async def test_a_stop_finishes_the_event_in_hand_and_leaves_the_rest(bus: Bus) -> None:
    began, finish = asyncio.Event(), asyncio.Event()
    finished: list[Event] = []

    async def slow(event: Event) -> None:
        began.set()
        await finish.wait()
        finished.append(event)

    await bus.publish([an_event("manman.host.online"), an_event("manman.host.offline")])
    stop = asyncio.Event()
    task = asyncio.ensure_future(Subscriber(bus, "mine").run(slow, stop))
    await asyncio.wait_for(began.wait(), SOON)
    stop.set()
    finish.set()
    await asyncio.wait_for(task, SOON)
    assert [type(event) for event in finished] == [HostOnline]
    async with bus.consume("mine", 5) as consumer:
        [left] = await consumer.get_batch(5)
        assert left.key == "manman.host.offline"


async def test_a_queue_that_somebody_deletes_is_made_again_with_its_bindings_and_what_comes_next_is_taken(
    place: Place, bus: Bus
) -> None:
    taken = Taken()
    with structlog.testing.capture_logs() as logs:
        async with running(bus, taken, ("manman.host.*",)):
            await bus.publish([an_event("manman.host.online")])
            await taken.until(1)
            async with place.bus() as somebody:
                await somebody.delete_queue("mine")
            await consumed(bus)
            await bus.publish([an_event("manman.session.running"), an_event("manman.host.offline")])
            events = await taken.until(2)
    assert [type(event) for event in events] == [HostOnline, HostOffline]
    told = next(line for line in logs if line["event"] == "subscriber_queue_missing")
    assert (told["log_level"], told["queue"]) == ("warning", "mine")
