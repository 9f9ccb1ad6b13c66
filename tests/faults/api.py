"""The real API over HTTP, in the director's process, on connections that no proxy cuts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from harness.apis import Running, add_roles

from manman.api import service
from manman.api.doors import listening
from manman.api.settings import ApiSettings
from manman.events.bus import Bus
from manman.store import pool
from manman.store.settings import DatabaseSettings


@contextlib.asynccontextmanager
async def serving(database_url: str, bus: Bus, **settings: Any) -> AsyncIterator[Running]:
    """Serves until the block ends."""
    database = DatabaseSettings(database_url=database_url)
    stop = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        connected = await pool.connect(database)
        stack.push_async_callback(connected.close)
        told = ApiSettings(**({"rate_limit": 100_000, "rate_burst": 100_000} | settings))
        api = await service.build(told, connected, bus, database=database)
        listener = listening.bound("127.0.0.1", 0, "HTTP_PORT")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as group:
            group.create_task(api.follow())
            group.create_task(service.serve_http(api, api.rest, listener, stop))
            made = Running(url, "", api, connected)
            await add_roles(made)
            try:
                async with made.stack:
                    yield made
            finally:
                stop.set()
