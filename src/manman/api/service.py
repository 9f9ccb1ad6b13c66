"""The API process: both doors until told to stop.

`build` makes the parts, so that another process may serve the application on a listener of its own; `run` serves both doors.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from manman.api import (
    catalogue,
    configs,
    dead_letters,
    deploying,
    deployments,
    events,
    games,
    hosts,
    identity,
    joining,
    launching,
    logs,
    sessions,
    system,
    usecases,
)
from manman.api.doors import checks, grpc, listening
from manman.api.doors.rest import Rest, serves
from manman.api.office import Office
from manman.api.rates import Rates
from manman.api.settings import ApiSettings
from manman.api.tail import Tail
from manman.errors import BadSetting
from manman.events.bus import Bus
from manman.events.rabbit.admin import BrokerAdmin
from manman.observability.health import Health
from manman.store import installation, secrets
from manman.store import pool as pools
from manman.store.pool import Pool
from manman.store.settings import DatabaseSettings

# Every noun's use cases, bound to their methods by being imported.
NOUNS = (
    catalogue,
    configs,
    dead_letters,
    deploying,
    deployments,
    events,
    games,
    hosts,
    identity,
    joining,
    launching,
    logs,
    sessions,
    system,
)
STREAMS_END = 2.0


@dataclass(slots=True, kw_only=True)
class Api:
    """The parts of a running API. `rest` is an ASGI application, `grpc` a server that is not started yet."""

    office: Office
    rest: Rest
    grpc: object
    probe: object
    health: Health

    async def follow(self) -> None:
        """Follows the events for all streams, until `office.stopping` is set."""
        await self.office.tail.run(self.office.stopping)

    def stop(self) -> None:
        """Streams say goodbye; probes say that it is ending."""
        self.health.stopping = True
        self.office.stopping.set()


async def build(
    settings: ApiSettings,
    pool: Pool,
    bus: Bus,
    *,
    database: DatabaseSettings | None = None,
    health: Health | None = None,
) -> Api:
    """The API on a pool and a bus that are connected. `database` is for `LISTEN`: without it events are looked for each second.

    Raises `BadSetting` for what cannot be served safely, and `Undefined` when a method has no use case.
    """
    usecases.check()
    must_be_safe(settings)
    keys = secrets.Keys(settings.secrets_key) if settings.secrets_key else None
    async with pool.transaction() as conn:
        await secrets.check(conn, keys)
        await installation.notice_cluster(conn)
    agent_url, vhost = where_hosts_connect(settings)
    office = Office(
        settings=settings,
        pool=pool,
        bus=bus,
        chance=os.urandom,
        clock=time.monotonic,
        rates=Rates(settings.rate_limit, settings.rate_burst, time.monotonic),
        tail=Tail(pool, (lambda: pools.single(database)) if database is not None else None),
        keys=keys,
        broker=BrokerAdmin(settings.broker_admin_url, vhost) if settings.broker_admin_url else None,
        agent_url=agent_url,
        vhost=vhost,
    )
    made = health or Health()
    made.required.setdefault("broker", lambda: None if bus.connected else "the bus is not connected")
    server, probe = grpc.server(office)
    return Api(office=office, rest=Rest(office, made), grpc=server, probe=probe, health=made)


def where_hosts_connect(settings: ApiSettings) -> tuple[str, str]:
    """(the broker's address for hosts, without credentials; its vhost); empty where the bus is the database's."""
    url = settings.agent_rabbitmq_url or settings.rabbitmq_url
    if not url:
        return "", ""
    parts = urlsplit(url)
    place = parts.hostname or "localhost"
    place = f"[{place}]" if ":" in place else place
    place += f":{parts.port}" if parts.port else ""
    path = parts.path or urlsplit(settings.rabbitmq_url or "").path
    return urlunsplit((parts.scheme, place, path, "", "")), unquote(path.removeprefix("/")) or "/"


def must_be_safe(settings: ApiSettings) -> None:
    """Raises `BadSetting` for a bind or mode that would let strangers in."""
    loopback = settings.bind in ("127.0.0.1", "::1", "localhost")
    public = urlsplit(settings.public_url).hostname if settings.public_url else None
    if settings.auth_mode == "none" and (not loopback or public not in (None, "localhost", "127.0.0.1", "::1")):
        raise BadSetting("AUTH_MODE=none makes every caller admin; it is for a BIND and PUBLIC_URL on loopback only")
    if bool(settings.tls_cert_file) != bool(settings.tls_key_file):
        raise BadSetting("TLS_CERT_FILE and TLS_KEY_FILE belong together; one of them is not set")
    if not loopback and not settings.tls_cert_file and not settings.insecure_http:
        raise BadSetting(
            f"BIND={settings.bind} would be served without TLS; set TLS_CERT_FILE and TLS_KEY_FILE, or INSECURE_HTTP=1"
        )


async def run(settings: ApiSettings, database: DatabaseSettings, pool: Pool, bus: Bus, stop: asyncio.Event) -> None:
    """Serves REST and gRPC until `stop` is set; calls in flight may finish, streams say `bye`."""
    api = await build(settings, pool, bus, database=database)
    listener = listening.bound(settings.bind, settings.http_port, "HTTP_PORT")
    async with asyncio.TaskGroup() as group:
        group.create_task(api.follow())
        async with serving_grpc(api, settings.bind, settings.grpc_port):
            await serve_http(api, api.rest, listener, stop)


async def serve_http(api: Api, app: object, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serves an ASGI application (the API's, or one that passes paths on to it) until `stop`; then ends the API's streams."""
    settings = api.office.settings
    tls = (settings.tls_cert_file, settings.tls_key_file) if settings.tls_cert_file and settings.tls_key_file else None
    ending = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(listening.serve(app, listener, ending, grace=STREAMS_END, tls=tls))
        await asyncio.wait({serving, group.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        api.stop()
        stop.set()
        ending.set()
    if api.office.closing:
        await asyncio.wait(api.office.closing, timeout=STREAMS_END)
    if api.office.broker is not None:
        await api.office.broker.close()


@contextlib.asynccontextmanager
async def serving_grpc(api: Api, bind: str, port: int) -> AsyncIterator[int]:
    """Serves gRPC meanwhile; gives the port (0 asks for any). Raises `BadSetting` naming GRPC_PORT when it is taken."""
    bound = await grpc.start(api.grpc, api.probe, bind, port, api.office.settings)
    try:
        yield bound
    finally:
        api.stop()
        await grpc.end(api.grpc, api.probe, STREAMS_END)


__all__ = ["Api", "build", "checks", "run", "serve_http", "serves", "serving_grpc"]
