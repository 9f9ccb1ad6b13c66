"""REST: one ASGI application, every route from the definition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from manman.api import call, json
from manman.api.asking import Ask
from manman.api.doors import checks, decoding, openapi, problems, sse
from manman.api.doors.routes import Found, Routes
from manman.api.office import Office
from manman.api.refusals import Problem, problem_of
from manman.observability import get_logger
from manman.observability.health import Health

log = get_logger(__name__)
OWN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})


def serves(path: str) -> bool:
    """Whether a path belongs to the API, where it shares a listener with the UI."""
    return path in OWN_PATHS or path == "/v1" or path.startswith("/v1/")


class Rest:
    """The ASGI application of the API."""

    def __init__(self, office: Office, health: Health) -> None:
        self.office = office
        self.health = health
        self.names = checks.Names.of(office.settings)
        self.routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        trace_id = trace_of(request.headers.get("traceparent"), self.office)
        try:
            response = await self.answer(request, trace_id)
        except ClientDisconnect:
            return
        except Exception as error:
            response = self.told(error, request, trace_id)
        response.headers["x-content-type-options"] = "nosniff"
        await response(scope, receive, send)

    def told(self, error: Exception, request: Request, trace_id: str) -> Response:
        """The problem for an exception; what nobody expected goes to the log with its trace id."""
        problem = problem_of(error)
        if problem.code == "internal":
            log.error("call_failed", method=request.method, path=request.url.path, trace_id=trace_id, exc_info=error)
        return problems.reply(problem, trace_id=trace_id)

    async def answer(self, request: Request, trace_id: str) -> Response:
        path, verb = request.url.path, request.method
        refused = checks.refuses(self.names, verb, path, request.headers)
        if refused is not None:
            return problems.reply(refused[0], trace_id=trace_id, status=refused[1])
        own = self.own(path)
        if own is not None:
            return own
        found = self.routes.find("GET" if verb == "HEAD" else verb, path)
        if not isinstance(found, Found):
            return _nowhere(verb, path, found, trace_id)
        return await self.called(request, found, trace_id)

    def own(self, path: str) -> Response | None:
        """What is written by hand, outside of the definition."""
        probe = self.health.answer(path)
        if probe is not None:
            return Response(probe[2], status_code=probe[0], media_type=probe[1])
        if path == "/openapi.json":
            return Response(openapi.document(), media_type="application/json")
        if path == "/docs":
            return Response(openapi.page(), media_type="text/html", headers={"content-security-policy": openapi.POLICY})
        return None

    async def called(self, request: Request, found: Found, trace_id: str) -> Response:
        method = found.method
        if method.body and not checks.is_json(request.headers.get("content-type", "")):
            problem = Problem(code="unsupported_media", detail="the body must be application/json")
            return problems.reply(problem, trace_id=trace_id)
        body = await _body(request) if method.body else b""
        message = decoding.decode(method, found.variables, request.query_params.multi_items(), body)
        decoding.put_etag(message, request.headers.get("if-match"))
        ask = Ask(
            method=method,
            request=message,
            credential=bearer(request.headers.get("authorization")),
            idempotency_key=request.headers.get("idempotency-key"),
            address=request.client.host if request.client else "",
            trace_id=trace_id,
        )
        if method.streams:
            sse.resume(message, request.headers.get("last-event-id", ""))
            opened = await call.open_stream(self.office, ask)
            return StreamingResponse(
                _frames(opened, request, self.office.clock), media_type="text/event-stream", headers=dict(sse.HEADERS)
            )
        answer = await call.call(self.office, ask)
        headers = _headers(answer.message)
        if answer.replayed:
            headers["idempotency-replayed"] = "true"
        return Response(
            json.write(answer.message), status_code=answer.status, media_type="application/json", headers=headers
        )


def bearer(header: str | None) -> str | None:
    """The word of an `Authorization: Bearer` header; None for anything else."""
    kind, _, word = (header or "").partition(" ")
    return word.strip() or None if kind.lower() == "bearer" else None


def trace_of(traceparent: str | None, office: Office) -> str:
    """The trace id that the caller sent, else a new one: 32 hexadecimal digits."""
    parts = (traceparent or "").split("-")
    if len(parts) == 4 and len(parts[1]) == 32 and all(c in "0123456789abcdef" for c in parts[1]):
        return parts[1]
    return office.chance(16).hex()


def _headers(message: Message) -> dict[str, str]:
    headers = {"cache-control": "no-store"}
    etag = getattr(message, "etag", "")
    if etag:
        headers["etag"] = f'"{etag}"'
    return headers


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > decoding.MOST_BYTES:
            raise call.too_large(decoding.MOST_BYTES)
        parts.append(part)
    return b"".join(parts)


def _nowhere(verb: str, path: str, known: frozenset[str], trace_id: str) -> Response:
    if not known:
        return problems.reply(Problem(code="not_found", detail=f"there is nothing at {path}"), trace_id=trace_id)
    allowed = ", ".join(sorted(known))
    problem = Problem(code="method_not_allowed", detail=f"{path} knows {allowed}, not {verb}")
    response = problems.reply(problem, trace_id=trace_id)
    response.headers["allow"] = allowed
    return response


async def _frames(
    opened: AsyncIterator[Message | None], request: Request, clock: Callable[[], float]
) -> AsyncIterator[bytes]:
    said = clock()
    yield sse.FIRST
    async with aclosing(opened) as messages:  # type: ignore[type-var]
        async for message in messages:
            if message is not None:
                said = clock()
                yield sse.frame(message)
            elif await request.is_disconnected():
                return
            elif clock() - said >= sse.HEARTBEAT_SECONDS:
                said = clock()
                yield sse.HEARTBEAT


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif event["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


__all__ = ["Rest", "bearer", "serves", "trace_of"]
