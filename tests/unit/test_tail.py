"""Who follows the events lives through whatever happens to its connection."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from manman.api import tail as tails
from manman.api.tail import Tail


class Connection:
    """One that is lost as soon as it is to listen, or one that listens."""

    def __init__(self, *, is_lost: bool) -> None:
        self.is_lost, self.ended = is_lost, False

    async def add_listener(self, _channel: str, _woken: Callable[..., None]) -> None:
        if self.is_lost:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

    def is_closed(self) -> bool:
        return False

    def terminate(self) -> None:
        self.ended = True


async def test_a_connection_that_is_lost_while_it_begins_to_listen_is_one_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [Connection(is_lost=True), Connection(is_lost=False)]
    given, stop, pool = iter(made), asyncio.Event(), SimpleNamespace()
    follows = asyncio.Event()

    async def listen() -> Any:
        return next(given)

    async def step(_self: Tail) -> bool:
        follows.set()
        return False

    monkeypatch.setattr(Tail, "_step", step)
    monkeypatch.setattr(tails, "log", SimpleNamespace(warning=lambda *_, **__: None))
    tail = Tail(pool, listen)  # type: ignore[arg-type]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(tail.run(stop))
        await follows.wait()
        stop.set()
    assert [one.ended for one in made] == [True, True]
