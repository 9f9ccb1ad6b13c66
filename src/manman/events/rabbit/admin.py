"""The broker's management API: what the control plane does when a host joins, rotates or leaves. Every call may be repeated."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx2

from manman.domain.ids import HostId
from manman.errors import BadSetting, OutOfReach, Unavailable
from manman.events import codec, credentials, topics, topology
from manman.events.rabbit import declaring

TIMEOUT_SECONDS = 5.0
SETTING = "BROKER_ADMIN_URL"


class BrokerAdmin:
    """Users, permissions and command queues of the hosts of one vhost. `url` is http://user:password@host:15672."""

    def __init__(self, url: str, vhost: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadSetting(f"{SETTING} must look like http://admin:password@host:15672")
        self.vhost = vhost
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        base = urlunsplit((parts.scheme, host + port, parts.path.rstrip("/"), "", ""))
        self._client = httpx2.AsyncClient(
            base_url=base,
            auth=(unquote(parts.username or ""), unquote(parts.password or "")),
            timeout=TIMEOUT_SECONDS,
        )

    async def __aenter__(self) -> BrokerAdmin:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def admit(self, host_id: HostId, password_hash: str) -> str:
        """Makes everything that a host needs and returns its user's name; repeating it is harmless, and replaces the password.

        The order matters: a user with permissions but without topic permissions may publish anything.
        """
        await self.prepare(host_id)
        user = credentials.user_name(self.vhost, host_id)
        await self._put(
            ("users", user),
            {"password_hash": password_hash, "hashing_algorithm": credentials.HASHING, "tags": ""},
        )
        may = credentials.rights(host_id)
        await self._put(
            ("topic-permissions", self.vhost, user),
            {"exchange": topics.INTERNAL, "write": may.topic_write, "read": may.topic_read},
        )
        await self._put(
            ("permissions", self.vhost, user), {"configure": may.configure, "write": may.write, "read": may.read}
        )
        return user

    async def prepare(self, host_id: HostId) -> None:
        """Declares and binds the host's command queue; the host itself may not."""
        wanted = topology.host(host_id)
        for exchange in wanted.exchanges:
            await self._put(("exchanges", self.vhost, exchange), {"type": "topic", "durable": True})
        for queue in wanted.queues:
            body = {"durable": True, "auto_delete": False, "arguments": declaring.arguments(queue)}
            await self._put(("queues", self.vhost, queue.name), body)
        for bound in wanted.bindings:
            path = ("bindings", self.vhost, "e", bound.exchange, "q", bound.queue)
            await self._ask("POST", path, {"routing_key": bound.pattern, "arguments": {}})

    async def dismiss(self, host_id: HostId, *, with_queue: bool = False) -> None:
        """Deletes the host's user, which cuts its connections at once; the queue keeps its messages unless told otherwise."""
        await self._ask("DELETE", ("users", credentials.user_name(self.vhost, host_id)), missing_ok=True)
        if with_queue:
            await self._ask("DELETE", ("queues", self.vhost, topics.host_commands(host_id)), missing_ok=True)

    async def hosts(self) -> frozenset[HostId]:
        """The hosts that have a user in this vhost: what doctor compares with the rows."""
        answer = await self._ask("GET", ("users",))
        names: Iterable[str] = (user["name"] for user in answer.json())
        found = ((name, codec.host_of_user(name)) for name in names)
        return frozenset(
            host for name, host in found if host is not None and name == credentials.user_name(self.vhost, host)
        )

    async def _put(self, path: tuple[str, ...], body: dict[str, Any]) -> None:
        await self._ask("PUT", path, body)

    async def _ask(
        self, method: str, path: tuple[str, ...], body: dict[str, Any] | None = None, *, missing_ok: bool = False
    ) -> httpx2.Response:
        url = "/api/" + "/".join(quote(part, safe="") for part in path)
        try:
            answer = await self._client.request(method, url, json=body)
        except httpx2.HTTPError as error:
            raise Unavailable(
                f"the broker's management API is out of reach: {error or type(error).__name__}"
            ) from error
        if answer.status_code in (401, 403):
            raise OutOfReach(f"{SETTING}: the broker's management API refuses its user or password")
        if answer.status_code >= 500:
            raise Unavailable(f"the broker's management API answered {answer.status_code}")
        if answer.is_error and not (missing_ok and answer.status_code == 404):
            raise OutOfReach(f"{SETTING}: {method} {url} was answered {answer.status_code}: {answer.text[:200]}")
        return answer
