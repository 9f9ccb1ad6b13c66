"""Joining: the machine makes its own secrets, writes them down (mode 600), and sends only their hashes.

`joining.json` is written before the first word leaves, so a join that broke off is repeated with the same secrets, which
is harmless; `identity.json` stands once API and broker were both reached.
"""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
import psutil

from manman.client import Client
from manman.domain.ids import HostId
from manman.errors import OutOfReach, TimedOut, Unavailable
from manman.events import credentials
from manman.events.rabbit import bus as rabbit
from manman.host import authority, disk, files
from manman.host.journal import Chance
from manman.host.reports import version
from manman.v1.types import RegisterHostResponse

IDENTITY, JOINING = "identity.json", "joining.json"
PATIENCE = timedelta(seconds=30)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What a join made, before it is known whether it arrived."""

    api_url: str
    token_hash: str
    host_key: str
    broker_password: str
    broker_password_hash: str


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this machine is to its control plane. `rabbitmq_url` has no credentials, and is empty where there is no
    broker; `ca` is a file with a private authority."""

    host_id: HostId
    name: str
    api_url: str
    host_key: str
    broker_password: str
    rabbitmq_url: str = ""
    broker_user: str = ""
    ca: str | None = None

    def broker_url(self, other: str | None = None) -> str:
        """The broker's URL with this host's user and password, and the private authority for `amqps`; `other`
        (AGENT_RABBITMQ_URL) replaces the address, and credentials and options in it count."""
        parts = urlsplit(other or self.rabbitmq_url)
        place, query = parts.netloc, parts.query
        if not parts.username:
            user = f"{quote(self.broker_user, safe='')}:{quote(self.broker_password, safe='')}"
            place = f"{user}@{parts.netloc.rpartition('@')[2]}"
        if self.ca and parts.scheme == "amqps" and "ssl_options" not in query:
            query = "&".join(filter(None, (query, urlencode({"ssl_options": {"cafile": self.ca}}))))
        return urlunsplit((parts.scheme, place, parts.path, query, ""))

    def client(self) -> Client:
        """The API as this host."""
        return client(self.api_url, self.ca, self.host_key)


def client(api_url: str, ca: str | None, host_key: str | None = None) -> Client:
    """The API over a connection that `ca` vouches for, or the system's authorities."""
    trust = authority.context(ca) if ca else True
    return Client(api_url, host_key, verify=trust, user_agent=f"manman-host/{version()}")


def load(state: Path) -> Identity | None:
    """The identity of a joined agent, None when it has not joined."""
    try:
        return msgspec.json.decode((state / IDENTITY).read_bytes(), type=Identity)
    except FileNotFoundError:
        return None


async def join(
    state: Path,
    api_url: str,
    token: str,
    *,
    chance: Chance = os.urandom,
    name: str | None = None,
    addresses: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    ca: str | None = None,
    pin: str | None = None,
    with_broker: bool = True,
    reach: Callable[[Identity], Awaitable[None]] | None = None,
) -> Identity:
    """Joins this machine; repeated with the same token it is the same host. A private authority is the file `ca`, or the one that
    `pin` proves. `with_broker=False` where the bus is not a broker's (`manman up`).

    Raises `ApiError` when the token is refused, `OutOfReach` when API or broker cannot be reached or refuse: exit code
    6. Nothing secret leaves this machine.
    """
    if pin is not None:
        ca = await authority.pinned(state, api_url, pin)
    made = _secrets(state, api_url, token, chance)
    facts = {"name": name or socket.gethostname(), "addresses": list(addresses) or local_addresses(), "labels": labels}
    answer = await _register(api_url, token, made, ca, facts | machine(state))
    identity = Identity(
        host_id=HostId(answer.host_id),
        name=answer.name,
        api_url=api_url.rstrip("/"),
        host_key=made.host_key,
        broker_password=made.broker_password,
        rabbitmq_url=answer.rabbitmq_url,
        broker_user=answer.broker_user,
        ca=ca,
    )
    if with_broker:
        await (reach or reach_broker)(identity)
    files.private(state / IDENTITY, msgspec.json.encode(identity))
    (state / JOINING).unlink(missing_ok=True)
    return identity


async def _register(
    api_url: str, token: str, made: Secrets, ca: str | None, facts: Mapping[str, Any]
) -> RegisterHostResponse:
    try:
        async with client(api_url, ca) as api:
            return await api.register_host(
                token=token,
                host_key_hash=hashlib.sha256(made.host_key.encode()).hexdigest(),
                broker_password_hash=made.broker_password_hash,
                idempotency_key=f"join-{made.token_hash[:32]}",
                **facts,
            )
    except (Unavailable, TimedOut) as error:
        raise OutOfReach(f"the API cannot be reached: {error}", hint=error.hint) from error


async def reach_broker(identity: Identity) -> None:
    """Raises `OutOfReach` unless the broker lets this host in."""
    if not identity.rabbitmq_url:
        raise OutOfReach(
            f"{identity.api_url} has no broker that another machine could reach",
            hint="a `manman up` has none; run api and processor with RABBITMQ_URL",
        )
    bus = await rabbit.connect(identity.broker_url(), patience=PATIENCE, setting="AGENT_RABBITMQ_URL")
    await bus.close()


def _secrets(state: Path, api_url: str, token: str, chance: Chance) -> Secrets:
    """The secrets of this join, made now or when it was tried before."""
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    token_hash = hashlib.sha256(token.encode()).hexdigest()
    try:
        known = msgspec.json.decode((state / JOINING).read_bytes(), type=Secrets)
        if (known.api_url, known.token_hash) == (api_url, token_hash):
            return known
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    password = _random(chance)
    made = Secrets(
        api_url=api_url,
        token_hash=token_hash,
        host_key=f"mmh_{_random(chance)}",
        broker_password=password,
        broker_password_hash=credentials.password_hash(password, chance(credentials.SALT_BYTES)),
    )
    files.private(state / JOINING, msgspec.json.encode(made))
    return made


def _random(chance: Chance) -> str:
    return base64.urlsafe_b64encode(chance(32)).decode().rstrip("=")


def local_addresses() -> list[str]:
    """The machine's IPv4 addresses that others may reach; loopback where there is no other."""
    found = [
        one.address
        for addresses in psutil.net_if_addrs().values()
        for one in addresses
        if one.family == socket.AF_INET and not one.address.startswith(("127.", "169.254."))
    ]
    return sorted(set(found)) or ["127.0.0.1"]


def machine(state: Path) -> dict[str, Any]:
    """What is so without anybody having said it, as Register wants it."""
    isolation = "user" if os.geteuid() == 0 else "none"
    return {"agent_version": version(), "isolation": isolation, "capacity": capacity(state)}


def capacity(state: Path) -> dict[str, str]:
    """What the machine has, as Register wants it."""
    return {
        "cpus": str(psutil.cpu_count() or 1),
        "memory_bytes": str(psutil.virtual_memory().total),
        "disk_bytes": str(disk.room(state).total),
        "system": f"{platform.system()} {platform.machine()}",
    }
