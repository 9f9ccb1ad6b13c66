"""Connections to PostgreSQL, all made alike: JSON as Python values, UTC, no JIT, and bounds on every wait.

A peer that falls silent without a word (a machine without power, an address that moved) is noticed twice: by the kernel, where nothing
is acknowledged for `SILENT_SECONDS`, and by the driver, where the peer's kernel or a proxy acknowledges and no answer comes within
`ANSWER_SECONDS`. Either way the connection ends and the next one is new.

A database that is out of reach, starting, stopping or out of connections is `errors.Unavailable`, whatever the driver calls it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from manman.errors import OutOfReach, Unavailable
from manman.store.settings import DatabaseSettings

Connection = Any  # asyncpg's connection or its pool's proxy for one: the driver types them as unrelated classes
Row = Any  # asyncpg's record: a mapping by column name

ACQUIRE_SECONDS = 10.0
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 6.0  # above the database's own bound on a statement, so that it cuts nothing that is on its way
SILENT_SECONDS = 5
PROBED_AFTER, PROBED_EVERY, PROBES = 3, 1, 3  # a connection on which nobody says anything
AT_START = timedelta(seconds=30)
SERVER_SETTINGS = {
    "application_name": "manman",
    "timezone": "UTC",
    "jit": "off",
    "random_page_cost": "1.1",  # what is used lies in memory or on a disk without a head: a batch looks up its rows by keys
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "3s",
}

_AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresIOError,
    asyncpg.InternalClientError,
)
_BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


@contextmanager
def reach() -> Iterator[None]:
    """What the driver raises when the database is away or busy, as `Unavailable`; everything else passes.

    Driver mistakes of ours (a wrong argument) are `InterfaceError` too; those that concern a living connection pass as they are.
    """
    try:
        yield
    except asyncpg.exceptions.DataError:
        raise
    except TimeoutError as error:
        raise Unavailable("the database did not answer in time") from error
    except _BUSY as error:
        raise Unavailable(f"the database is busy: {_line(error)}") from error
    except _AWAY as error:
        if _is_ours(error):
            raise
        raise Unavailable(f"the database is out of reach: {_line(error)}") from error


def _is_ours(error: BaseException) -> bool:
    """Too many or too few arguments and the like: a bug, not weather."""
    return isinstance(error, asyncpg.InterfaceError) and not any(
        word in str(error) for word in ("closed", "closing", "released", "another operation", "in progress")
    )


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


async def prepare(conn: Connection) -> None:
    """Makes JSON travel as Python values on this connection, and a peer that falls silent end it."""
    watch(conn._transport.get_extra_info("socket"))
    for kind in ("json", "jsonb"):
        await conn.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=msgspec.json.decode,
        )


def watch(sock: Any) -> None:
    """Has the kernel end this connection soon after its peer acknowledges nothing any more; how long an answer takes is nothing to it.
    Unix sockets need none of it; what a platform does not know is left out."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    after = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # as macOS calls it
    bounds = {
        after: PROBED_AFTER,
        "TCP_KEEPINTVL": PROBED_EVERY,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": SILENT_SECONDS * 1000,
    }
    for name, value in bounds.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def arguments(settings: DatabaseSettings) -> dict[str, Any]:
    """The driver's arguments for these settings, a URL's own `options` kept."""
    common: dict[str, Any] = {
        "timeout": CONNECT_SECONDS,
        "command_timeout": ANSWER_SECONDS,
        "server_settings": dict(SERVER_SETTINGS),
    }
    if settings.database_url is not None:
        return common | {"dsn": settings.database_url}
    return common | {
        "host": settings.db_host,
        "port": settings.db_port,
        "user": settings.db_user,
        "password": settings.db_password,
        "database": settings.db_name,
        "ssl": settings.db_ssl_mode,
    }


async def single(settings: DatabaseSettings, **server_settings: str) -> Connection:
    """A connection of its own beside the pool, for leases and LISTEN; `server_settings` replace the usual bounds;
    whoever gives statements another one waits for answers as long as the database works.

    Raises `OutOfReach` when the database refuses, `Unavailable` when it cannot be reached now.
    """
    given = arguments(settings)
    given["server_settings"] |= server_settings
    if "statement_timeout" in server_settings:
        del given["command_timeout"]
    try:
        with reach():
            conn = await asyncpg.connect(**given)
            try:
                await prepare(conn)
            except BaseException:
                conn.terminate()
                raise
            return conn
    except (*_REFUSED, ValueError, asyncpg.InterfaceError) as error:
        raise OutOfReach(f"{settings.source}: the database refuses: {_line(error)}") from error


class Pool:
    """A bounded set of connections. Whoever finds none free within 10 s gets `Unavailable`; `timeouts` counts them."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.timeouts = 0

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """A connection outside of a transaction."""
        with reach():
            try:
                # A timeout is a task more, and nobody waits for a connection that is there.
                conn = await self._inner.acquire(timeout=None if self.idle else ACQUIRE_SECONDS)
            except TimeoutError as error:
                self.timeouts += 1
                raise Unavailable("no database connection became free within 10 s") from error
            try:
                yield conn
            except TimeoutError:
                conn.terminate()  # an answer that did not come is not waited for again, to undo what it was about
                raise
            finally:
                await self._inner.release(conn, timeout=ACQUIRE_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside of a transaction: committed at the end, rolled back by any exception."""
        async with self.acquire() as conn:
            going = conn.transaction()
            await going.start()
            try:
                yield conn
            except TimeoutError:
                raise  # it ends with the connection
            except BaseException:
                await going.rollback()
                raise
            await going.commit()

    @property
    def size(self) -> int:
        """Connections open now."""
        return int(self._inner.get_size())

    @property
    def idle(self) -> int:
        """Connections open and unused now."""
        return int(self._inner.get_idle_size())

    def cut(self) -> None:
        """Ends all connections at once, whatever they wait for: what is in flight fails, and is rolled back."""
        self._inner.terminate()

    async def close(self) -> None:
        """Ends all connections; those in use get 5 s."""
        try:
            await asyncio.wait_for(self._inner.close(), 5)
        except TimeoutError:
            self._inner.terminate()


async def connect(settings: DatabaseSettings, *, patience: timedelta = AT_START) -> Pool:
    """A pool on a database that answers.

    Waits up to `patience` for one that is not there yet; raises `OutOfReach`, naming the setting, when the time is over, or at
    once when the database refuses (password, name).
    """
    settings.require()
    deadline = asyncio.get_running_loop().time() + patience.total_seconds()
    delay = 0.1
    while True:
        try:
            return await _try(settings)
        except Unavailable as error:
            if asyncio.get_running_loop().time() + delay > deadline:
                raise OutOfReach(f"{settings.source}: {error.detail}") from error
        await asyncio.sleep(delay)
        delay = min(delay * 2, 2.0)


async def _as_it_is(_: object) -> None:
    """What a connection gives back: the driver rolls back what is open; nobody here sets anything that outlives a transaction."""


async def _try(settings: DatabaseSettings) -> Pool:
    inner = None
    try:
        with reach():
            inner = asyncpg.create_pool(
                min_size=settings.db_pool_min,
                max_size=settings.db_pool_max,
                init=prepare,
                max_queries=2**62,  # else a new one, with no statement prepared, every half minute at 500 events/s
                reset=_as_it_is,  # else a statement more for each transaction
                **arguments(settings),
            )
            await inner
            pool, inner = Pool(inner), None
            async with pool.acquire() as conn:
                await conn.execute("SELECT")
            return pool
    except (*_REFUSED, ValueError) as error:
        raise OutOfReach(f"{settings.source}: the database refuses: {_line(error)}") from error
    finally:
        if inner is not None:
            inner.terminate()
