"""A database that is away is told once, and once that it is back; a renewal without an answer counts as away."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from manman.errors import Unavailable
from manman.processor import leading
from manman.processor.backoff import Backoff
from manman.processor.leading import Lease, Leases
from manman.store.settings import DatabaseSettings


class Told:
    """What is logged, by event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.resumed = asyncio.Event()

    def info(self, event: str, **_: Any) -> None:
        self.events.append(event)
        if event == "leases_resumed":
            self.resumed.set()

    warning = error = info


class Listening:
    """A connection that does nothing."""

    async def add_listener(self, *_: object) -> None:
        pass

    def terminate(self) -> None:
        pass


class Alone:
    """A member beside whom nobody is."""

    async def renew(self, _conn: object, *, severed: bool) -> bool:
        assert not severed
        return True

    async def leave(self, _conn: object) -> None:
        pass


Take = Callable[..., Awaitable[int | None]]


async def lives(monkeypatch: pytest.MonkeyPatch, single: Callable[[], Awaitable[Any]], take: Take) -> list[str]:
    """What is told until all is well again, and at the end."""
    told = Told()
    monkeypatch.setattr(leading, "log", told)
    monkeypatch.setattr(leading, "single", lambda _: single())

    async def release(*_: object) -> None:
        pass

    kept = SimpleNamespace(take=take, release=release, RENEW_EVERY=leading.leadership.RENEW_EVERY)
    monkeypatch.setattr(leading, "leadership", kept)
    lease = Lease("relay", "a", None)  # type: ignore[arg-type]
    backoff = Backoff(lambda n: b"\0" * n, first=0.01, most=0.01)
    stop = asyncio.Event()
    leases = Leases(DatabaseSettings(), (lease,), backoff, lambda _: None, Alone(), lambda: False)
    running = asyncio.create_task(leases.run(stop))
    async with asyncio.timeout(10):
        await told.resumed.wait()
        stop.set()
        lease.over.set()
        await running
    return told.events


async def test_an_outage_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(range(100))

    async def single() -> Any:
        if next(tries) < 5:
            raise Unavailable("away")
        return Listening()

    async def take(*_: object) -> int:
        return 1

    assert await lives(monkeypatch, single, take) == ["leases_paused", "leads", "leases_resumed", "leads_no_more"]


async def test_a_renewal_without_an_answer_ends_the_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "ANSWERED_WITHIN", 0.1)
    takes = iter(range(100))

    async def single() -> Any:
        return Listening()

    async def take(*_: object) -> int:
        if next(takes) == 1:
            await asyncio.Event().wait()
        return 1

    told = await lives(monkeypatch, single, take)
    assert told == ["leads", "leases_paused", "leads_no_more", "leads", "leases_resumed", "leads_no_more"]


async def test_an_error_that_is_no_outage_ends_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(range(100))

    async def take(*_: object) -> int:
        if next(tries) < 3:
            raise RuntimeError("the table is not there for a moment")
        return 1

    async def single() -> Any:
        return Listening()

    assert await lives(monkeypatch, single, take) == [*["loop_failed"] * 3, "leads", "leases_resumed", "leads_no_more"]


async def test_who_cannot_reach_the_broker_leaves_what_needs_it_to_others_and_takes_part_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, given_up, clock = [], [], [0.0]

    async def take(_conn: object, name: str, _holder: str) -> int:
        taken.append(name)
        return 1

    async def release(_conn: object, name: str, _holder: str) -> None:
        given_up.append(name)

    class Others(Alone):
        async def renew(self, _conn: object, *, severed: bool) -> bool:
            return not severed

    monkeypatch.setattr(leading, "leadership", SimpleNamespace(take=take, release=release))
    relay, sweeps = Lease("relay", "a", None, speaks=True), Lease("sweeps", "a", None)  # type: ignore[arg-type]
    ways = [SimpleNamespace(connected=True), SimpleNamespace(connected=True)]
    severed = leading.Severed(ways, lambda: clock[0])  # type: ignore[arg-type]
    backoff: Any = SimpleNamespace(reset=lambda: None)
    leases = Leases(DatabaseSettings(), (relay, sweeps), backoff, lambda _: None, Others(), severed)
    conn: Any = None

    async def led(at: float) -> tuple[bool, bool]:
        clock[0] = at
        await leases.step(conn)
        return relay.led.is_set(), sweeps.led.is_set()

    assert await led(0.0) == (True, True)
    ways[1].connected = False
    assert await led(1.0) == (True, True)
    assert await led(5.9) == (True, True), "a broker that starts again is no reason"
    assert await led(6.0) == (False, True)
    assert await led(7.0) == (False, True)
    assert given_up == ["relay"]
    ways[1].connected = True
    assert await led(8.0) == (True, True)
    ways[0].connected = False
    assert await led(9.0) == (True, True), "it is counted anew"


async def test_at_its_end_too_what_needs_the_broker_is_left_to_others_by_who_cannot_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_up: list[str] = []

    async def take(*_: object) -> int:
        return 1

    async def release(_conn: object, name: str, _holder: str) -> None:
        given_up.append(name)

    monkeypatch.setattr(leading, "leadership", SimpleNamespace(take=take, release=release))
    leases = Lease("relay", "a", None, speaks=True), Lease("sweeps", "a", None)  # type: ignore[arg-type]
    for lease in leases:
        lease.know(1)
    conn: Any = None
    assert [await leading._given_up(conn, lease, severed=False) for lease in leases] == [False, False]
    assert [await leading._given_up(conn, lease, severed=True) for lease in leases] == [True, False]
    assert given_up == ["relay"] and not leases[0].led.is_set()
