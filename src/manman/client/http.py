"""How a call is made: one connection pool, JSON both ways, problems as exceptions, streams that resume."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
import msgspec

from manman.client import sse
from manman.client.errors import error_of
from manman.client.local import LocalFile
from manman.errors import TimedOut, Unavailable
from manman.v1.calls import Calls

T = TypeVar("T")
TRIES = 3
RESUME_AFTER = 1.0
# Heartbeats come every 15 s: a stream that is silent for longer is dead.
SILENCE = 45.0
# Byes after which the stream is taken up again where it ended.
PASSING = ('"shutting_down"', '"too_slow"')
CHANGING = ("POST", "PATCH", "DELETE")


class Client(Calls):
    """The API as its caller sees it. `base_url` without `/v1`; `token` is sent as a bearer; `timeout` seconds a call.

    Use it as an async context manager, or `aclose` it.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        verify: bool | ssl.SSLContext = True,
        user_agent: str = "manman",
    ) -> None:
        headers = {"accept": "application/json", "user-agent": user_agent}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.base_url = base_url.rstrip("/")
        self._http = httpx2.AsyncClient(
            base_url=self.base_url, headers=headers, timeout=timeout, verify=verify, trust_env=False
        )

    @classmethod
    def discover(cls, state_dir: str | Path, *, timeout: float = 30.0) -> Client:
        """A client of the `manman up` whose state directory this is; raises `Unavailable` when there is none."""
        local = LocalFile.read(state_dir)
        if local is None:
            raise Unavailable(
                f"no running `manman up` was found in {state_dir}",
                hint="start one with `manman up`, or set MANMAN_URL and MANMAN_TOKEN",
            )
        return cls(local.url, local.token, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; streams end."""
        await self._http.aclose()

    async def each(
        self, method: Callable[..., Awaitable[Any]], /, *arguments: Any, page_size: int = 200, **given: Any
    ) -> AsyncIterator[Any]:
        """Every item of every page of a List method: `client.each(client.list_sessions, filter="live = true")`."""
        token: str | None = None
        while True:
            page = await method(*arguments, page_size=page_size, page_token=token, **given)
            for item in getattr(page, page.__struct_fields__[0]):
                yield item
            token = page.next_page_token
            if not token:
                return

    async def _call(
        self,
        verb: str,
        path: str,
        reply: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        etag: str | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        headers: dict[str, str] = {}
        if verb in CHANGING:
            headers["idempotency-key"] = idempotency_key or str(uuid.uuid4())
        if etag:
            headers["if-match"] = f'"{etag}"'
        content = None
        if verb in ("POST", "PATCH"):
            headers["content-type"] = "application/json"
            content = msgspec.json.encode(_sent(body) if verb == "POST" else body)
        answer = await self._send(verb, path, params=_query(query), headers=headers, content=content)
        if not answer.is_success:
            raise error_of(answer.status_code, answer.content)
        return msgspec.json.decode(answer.content, type=reply)

    async def _send(self, verb: str, path: str, **given: Any) -> httpx2.Response:
        for attempt in range(1, TRIES + 1):
            try:
                return await self._http.request(verb, path, **given)
            except httpx2.TimeoutException as error:
                raise TimedOut(f"{self.base_url} took too long to answer {verb} {path}") from error
            except httpx2.TransportError as error:
                # Repeating is harmless: reads change nothing, and changes carry their key.
                if attempt == TRIES:
                    raise self._out_of_reach(error) from error
                await asyncio.sleep(0.1 * attempt)
        raise AssertionError("unreachable")

    def _out_of_reach(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"nobody answers at {self.base_url}: {str(error) or type(error).__name__}",
            hint="is `manman up` (or `manman api`) running there?",
        )

    async def _stream(self, path: str, message: type[T], *, query: Mapping[str, Any] | None = None) -> AsyncIterator[T]:
        decode = msgspec.json.Decoder(message).decode
        last: str | None = None
        while True:
            headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
            try:
                async with self._http.stream(
                    "GET",
                    path,
                    params=_query(query),
                    headers=headers,
                    timeout=httpx2.Timeout(30.0, read=SILENCE),
                ) as answer:
                    if not answer.is_success:
                        raise error_of(answer.status_code, await answer.aread())
                    async for said in sse.events(answer.aiter_lines()):
                        last = said.id or last
                        yield decode(said.data)
                        if said.event == "bye" and not any(word in said.data for word in PASSING):
                            return
            except httpx2.TransportError as error:
                if last is None:
                    raise self._out_of_reach(error) from error
            await asyncio.sleep(RESUME_AFTER)


def _sent(body: Any) -> Any:
    """Without what is unset, one level deep: the API reads an absent key and null alike."""
    if isinstance(body, Mapping):
        return {key: value for key, value in body.items() if value is not None}
    return {} if body is None else body


def _query(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in (query or {}).items()
        if value is not None
    }
