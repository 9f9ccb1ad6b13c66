"""A real API on a real database and bus: both doors on free ports, one caller for each role, and shortcuts to nouns."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from contract.places import Place

from manman.api import service
from manman.api.callers import Kind, hashed, make
from manman.api.doors import listening
from manman.api.service import Api
from manman.api.settings import ApiSettings
from manman.client import Client
from manman.store import callers, pool
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings
from manman.v1 import types

ROLES = ("admin", "operator", "viewer")


@dataclass
class Running:
    """`url` and `grpc` are where the doors are; `keys` a credential for each role, "host" and "foreign" for two hosts."""

    url: str
    grpc: str
    api: Api
    pool: Pool
    keys: dict[str, str] = field(default_factory=dict)
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def client(self, who: str = "admin") -> Client:
        """The typed client of a caller; closed with the API."""
        return await self.stack.enter_async_context(Client(self.url, self.keys[who]))

    async def http(self, who: str | None = "admin", **headers: str) -> httpx2.AsyncClient:
        """A plain HTTP client of a caller; closed with the API."""
        given = {"authorization": f"Bearer {self.keys[who]}"} if who else {}
        return await self.stack.enter_async_context(
            httpx2.AsyncClient(base_url=self.url, headers=given | headers, trust_env=False, timeout=30)
        )

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Rows of the database."""
        async with self.pool.acquire() as conn:
            return list(await conn.fetch(query, *arguments))

    async def host(self, name: str = "box-1", *, who: str = "host", online: bool = True) -> int:
        """A host that joined by a token; its key is `keys[who]`."""
        admin = await self.client()
        token = await admin.create_join_token()
        key = make(Kind.HOST_KEY, os.urandom)
        joined = await (await self.client_without()).register_host(
            token=token.token,
            name=name,
            host_key_hash=hashlib.sha256(key.encode()).hexdigest(),
            addresses=["192.0.2.1"],
        )
        self.keys[who] = key
        if online:
            await self.fetch(
                "UPDATE host_heartbeats SET online = true, boot = 1, beat = 1, last_seen = clock() WHERE host = $1",
                joined.host_id,
            )
        return joined.host_id

    async def client_without(self) -> Client:
        """A client without a credential."""
        return await self.stack.enter_async_context(Client(self.url))

    async def deployment(
        self, host: int, name: str = "survival", *, ready: bool = True, **given: Any
    ) -> types.Deployment:
        """The demo game on a host, as if the host had installed it."""
        admin = await self.client()
        config = await admin.import_catalogue("demo")
        made = await admin.deploy_game_config(name=name, host_id=host, config_id=config.config_id, **given)
        if ready:
            await self.fetch("UPDATE deployments SET status = 'ready' WHERE id = $1", made.deployment_id)
        return await admin.get_deployment(made.deployment_id)


@contextlib.asynccontextmanager
async def running(database_url: str, place: Place, **settings: Any) -> AsyncIterator[Running]:
    """Serves until the block ends."""
    database = DatabaseSettings(database_url=database_url, db_pool_max=8)
    stop = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        connected = await pool.connect(database)
        stack.push_async_callback(connected.close)
        bus = await stack.enter_async_context(place.bus())
        rate = {"rate_limit": 100_000, "rate_burst": 100_000}
        api = await service.build(ApiSettings(**(rate | settings)), connected, bus, database=database)
        listener = listening.bound("127.0.0.1", 0, "HTTP_PORT")
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as group:
            group.create_task(api.follow())
            async with service.serving_grpc(api, "127.0.0.1", 0) as port:
                group.create_task(service.serve_http(api, api.rest, listener, stop))
                made = Running(url, f"127.0.0.1:{port}", api, connected)
                await add_roles(made)
                try:
                    async with made.stack:
                        yield made
                finally:
                    stop.set()


async def add_roles(made: Running) -> None:
    """A person of each role, with a key."""
    async with made.pool.transaction() as conn:
        for role in ROLES:
            user = await callers.ensure_user(conn, "person", f"{role}-person", role)
            made.keys[role] = make(Kind.API_KEY, os.urandom)
            await callers.replace_key(conn, user, "test", hashed(made.keys[role]), lasts=None)
