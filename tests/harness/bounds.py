"""Tests that end: an async test that takes too long is cancelled where it stands, so that its fixtures are taken down."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

GRACE_SECONDS = 60.0


def soft_seconds(item: pytest.Item) -> float:
    """When an async test is cancelled: a minute before its process is ended, which the `timeout` of pytest does.

    Raised by a signal in the middle of a loop, a timeout would leave the test's coroutine waiting, and with it the
    fixtures that are to be taken down after it: a run that never ends.
    """
    mark = item.get_closest_marker("timeout")
    hard = float(mark.args[0]) if mark is not None else float(item.config.getini("timeout"))
    return max(hard - GRACE_SECONDS, hard / 2)


def bounded(test: Callable[..., Awaitable[Any]], seconds: float) -> Callable[..., Awaitable[Any]]:
    """The same test, cancelled after `seconds`; the traceback says what it waited for."""

    @functools.wraps(test)
    async def run(*args: Any, **named: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await test(*args, **named)

    return run
