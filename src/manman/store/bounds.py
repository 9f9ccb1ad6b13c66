"""What the database ended because it took longer than our own bounds on it allow: that is no outage, and waiting alone mends it not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from manman.errors import Unavailable

_BOUNDS = (
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
)


class TooLong(Unavailable):
    """The database answered that a statement, a wait for a lock or a pause within a transaction took too long."""


@contextmanager
def told_apart() -> Iterator[None]:
    """Raises `TooLong` where that is what ended a transaction, whatever came of it on the way out; everything else passes."""
    try:
        yield
    except Exception as error:
        for cause in _chain(error):
            if isinstance(cause, _BOUNDS):
                raise TooLong(f"the database ended a transaction that took too long: {cause}") from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it came of, and what was under way when it came."""
    met: list[BaseException] = []
    while error is not None and error not in met:
        met.append(error)
        yield error
        error = error.__cause__ or error.__context__
