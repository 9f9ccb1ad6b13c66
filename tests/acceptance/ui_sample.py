"""A small API that speaks the real JSON with sample data, so that pages can be looked at in every state without a whole installation.

It answers the routes that the pages use, from structs of the generated client, so its JSON cannot drift from the definition.
What is told to it (starts, lines) is kept in `told`, and its event stream says what a test makes it say.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from manman.v1 import types

NOW = datetime(2026, 11, 24, 3, 19, 42, tzinfo=UTC)
LINK = "mma_sample"
TOKEN = "mml_sample"
PERMISSIONS = [
    "deployments.view",
    "logs.view",
    "sessions.power",
    "sessions.console",
    "hosts.view",
    "hosts.edit",
    "system.operate",
]


def ago(**length: float) -> datetime:
    """A moment before the sample's now."""
    return NOW - timedelta(**length)


@dataclass
class Sample:
    """What the sample API holds. Empty unless filled by `full()`."""

    hosts: list[types.Host] = field(default_factory=list)
    deployments: list[types.Deployment] = field(default_factory=list)
    sessions: list[types.Session] = field(default_factory=list)
    history: dict[int, list[types.Transition]] = field(default_factory=dict)
    events: list[types.Event] = field(default_factory=list)
    lines: dict[int, list[types.LogLine]] = field(default_factory=dict)
    permissions: list[str] = field(default_factory=lambda: list(PERMISSIONS))
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    logins: set[str] = field(default_factory=lambda: {TOKEN})
    links: set[str] = field(default_factory=lambda: {LINK})
    deaf_since: datetime | None = None
    dead_letters: int = 0
    refuse: dict[str, Any] | None = None
    watchers: list["asyncio.Queue[types.WatchEventsResponse]"] = field(default_factory=list)
    typed: "asyncio.Queue[list[types.LogLine]]" = field(default_factory=asyncio.Queue)

    def say(self, event: types.Event) -> None:
        """An event for everybody who watches."""
        self.events.insert(0, event)
        for queue in self.watchers:
            queue.put_nowait(types.WatchEventsResponse(event=event))


def app(sample: Sample) -> Starlette:
    """The sample API as an ASGI application."""
    api = _Api(sample)
    get: dict[str, Callable[..., Any]] = {
        "/v1/whoami": api.who,
        "/v1/installation": api.installation,
        "/v1/hosts": api.listed("hosts", types.ListHostsResponse),
        "/v1/deployments": api.listed("deployments", types.ListDeploymentsResponse),
        "/v1/sessions": api.listed("sessions", types.ListSessionsResponse),
        "/v1/events": api.listed("events", types.ListEventsResponse),
        "/v1/hosts/{id:int}": api.one("hosts", "host_id"),
        "/v1/hosts/{id:int}/ports": api.ports,
        "/v1/hosts/{id:int}/history": api.host_history,
        "/v1/deployments/{id:int}": api.one("deployments", "deployment_id"),
        "/v1/sessions/{id:int}": api.one("sessions", "session_id"),
        "/v1/sessions/{id:int}/history": api.session_history,
        "/v1/sessions/{id:int}/logs": api.logs,
        "/v1/events:watch": api.watch,
    }
    post: dict[str, Callable[..., Any]] = {
        "/v1/login": api.login,
        "/v1/logout": api.logout,
        "/v1/sessions": api.act,
        "/v1/sessions/{id:int}:{act}": api.act,
        "/v1/deployments/{id:int}:{act}": api.act,
        "/v1/hosts/{id:int}:{act}": api.act,
    }
    routes = [Route(path, call) for path, call in get.items()]
    return Starlette(routes=routes + [Route(path, call, methods=["POST"]) for path, call in post.items()])


def reply(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    body = {"type": f"/problems/{code}", "title": code, "status": status, "code": code, "detail": detail, **more}
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/problem+json")


class _Api:
    def __init__(self, sample: Sample) -> None:
        self.sample = sample

    def stranger(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return None if token in self.sample.logins else problem(401, "unauthenticated", "log in first")

    async def who(self, request: Request) -> Response:
        return self.stranger(request) or reply(
            types.WhoAmIResponse(
                kind="user",
                name="kim",
                user_id=1,
                role="admin",
                permissions=self.sample.permissions,
                credential="login",
            )
        )

    async def installation(self, request: Request) -> Response:
        def count(many: list[Any]) -> dict[str, int]:
            found: dict[str, int] = {}
            for one in many:
                found[one.status] = found.get(one.status, 0) + 1
            return found

        return self.stranger(request) or reply(
            types.Installation(
                installation_id="sample",
                version="0.1.0",
                epoch=1,
                auth_mode="login",
                time=NOW,
                deaf_since=self.sample.deaf_since,
                sessions=count(self.sample.sessions),
                hosts=count(self.sample.hosts),
                deployments=count(self.sample.deployments),
                open_dead_letters=self.sample.dead_letters,
                watch_from="1-100",
            )
        )

    def listed(self, noun: str, kind: Any) -> Callable[..., Any]:
        async def call(request: Request) -> Response:
            if (refused := self.stranger(request)) is not None:
                return refused
            terms = [term for term in request.query_params.get("filter", "").split(" AND ") if term]
            try:
                many = [one for one in getattr(self.sample, noun) if all(_matches(one, term) for term in terms)]
            except (KeyError, ValueError, AttributeError) as error:
                return problem(
                    400, "filter_invalid", f"the filter cannot be read: {error}", hint="compare a field with a value"
                )
            size = int(request.query_params.get("page_size", "50"))
            total = {} if noun == "events" else {"total": len(many)}
            more = "next" if len(many) > size else ""
            return reply(kind(**{noun: many[:size]}, next_page_token=more, **total))

        return call

    def one(self, noun: str, key: str) -> Callable[..., Any]:
        async def call(request: Request) -> Response:
            number = request.path_params["id"]
            found = [one for one in getattr(self.sample, noun) if getattr(one, key) == number]
            refused = self.stranger(request)
            if refused is not None:
                return refused
            return reply(found[0]) if found else problem(404, "not_found", f"{noun[:-1]} {number} is not here")

        return call

    async def ports(self, request: Request) -> Response:
        number = request.path_params["id"]
        held = [
            types.Port(
                host_id=number,
                address="0.0.0.0",
                port=end.port,
                protocol=end.protocol,
                deployment_id=one.deployment_id,
                deployment=one.name,
                name=end.name,
            )
            for one in self.sample.deployments
            if one.host_id == number
            for end in one.endpoints
        ]
        return reply(types.ListPortsResponse(ports=held))

    async def host_history(self, request: Request) -> Response:
        stale = any(one.status == "stale" and one.host_id == request.path_params["id"] for one in self.sample.hosts)
        told = [
            types.Transition(
                number=39, from_="online", to="stale", at=ago(days=2, hours=23), cause="sweep", trace_id="4f1c22d0a9"
            ),
            types.Transition(number=40, from_="stale", to="online", at=ago(days=2, hours=22.9), cause="heartbeat"),
        ]
        if stale:
            told.append(types.Transition(number=41, from_="online", to="stale", at=ago(minutes=4.2), cause="sweep"))
        return reply(types.ListHostHistoryResponse(transitions=told))

    async def session_history(self, request: Request) -> Response:
        told = self.sample.history.get(request.path_params["id"], [])
        return reply(types.ListSessionHistoryResponse(transitions=told))

    async def login(self, request: Request) -> Response:
        link = msgspec.json.decode(await request.body()).get("link")
        if link not in self.sample.links:
            return problem(401, "unauthenticated", "the link opens nothing")
        self.sample.links.discard(link)
        return reply(types.LoginResponse(token=TOKEN, name="kim", role="admin"), 201)

    async def logout(self, request: Request) -> Response:
        self.sample.told.append(("logout", {}))
        self.sample.logins.clear()
        return reply(types.LogoutResponse())

    async def act(self, request: Request) -> Response:
        if (refused := self.stranger(request)) is not None:
            return refused
        body = msgspec.json.decode(await request.body() or b"{}")
        act = request.path_params.get("act", "start")
        self.sample.told.append((act, body | dict(request.path_params)))
        if self.sample.refuse is not None:
            return problem(**self.sample.refuse)
        if act == "input":
            number = request.path_params["id"]
            past = self.sample.lines.setdefault(number, [])
            line = types.LogLine(
                n=(len(past) and past[-1].n + 1) or 1, at=NOW, stream="in", text=f"kim › {body['line']}"
            )
            past.append(line)
            self.sample.typed.put_nowait([line])
            return reply(types.SendInputResponse(command_id="c"), 202)
        return reply({}, 202)

    async def logs(self, request: Request) -> Response:
        if (refused := self.stranger(request)) is not None:
            return refused
        number = request.path_params["id"]
        start = int(request.headers.get("last-event-id") or int(request.query_params.get("from", "0")) - 1) + 1
        past = [line for line in self.sample.lines.get(number, []) if line.n >= start]
        ends = request.query_params.get("until_now") == "true"

        async def said() -> Any:
            for at in range(0, len(past), 200):
                yield _event(
                    "lines", past[at : at + 200][-1].n, types.LogBatch(session_id=number, lines=past[at : at + 200])
                )
            if ends:
                yield _event("bye", 0, types.LogBatch(session_id=number, bye="until_now"))
                return
            while True:
                lines = await self.sample.typed.get()
                yield _event("lines", lines[-1].n, types.LogBatch(session_id=number, lines=lines, last=lines[-1].n))

        return StreamingResponse(said(), media_type="text/event-stream")

    async def watch(self, request: Request) -> Response:
        if (refused := self.stranger(request)) is not None:
            return refused
        queue: asyncio.Queue[types.WatchEventsResponse] = asyncio.Queue()
        queue.put_nowait(types.WatchEventsResponse(hello=types.Hello(cursor="1-100")))
        self.sample.watchers.append(queue)

        async def said() -> Any:
            try:
                while True:
                    message = await queue.get()
                    name = (
                        "event" if message.event else "hello" if message.hello else "reset" if message.reset else "bye"
                    )
                    yield _event(name, message.event.cursor if message.event else "", message)
            finally:
                self.sample.watchers.remove(queue)

        return StreamingResponse(said(), media_type="text/event-stream")


def _event(name: str, cursor: int | str, body: Any) -> bytes:
    head = f"id: {cursor}\n" if cursor else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"


def _matches(one: Any, term: str) -> bool:
    found = re.fullmatch(r'(\w+) (=|:|<|>) (\(.*\)|"[^"]*"|\S+)', term.strip())
    if found is None:
        raise ValueError(f"'{term}'")
    name, op, text = found.groups()
    value = getattr(one, name)
    if op == ":":
        return text.strip('"').lower() in str(value).lower()
    if span := re.fullmatch(r"-(\d+)(h|d)", text):
        moment = NOW - timedelta(**{"hours" if span[2] == "h" else "days": int(span[1])})
        return value is not None and (value > moment if op == ">" else value < moment)
    if op in "<>":
        return bool(value is not None and (value < int(text) if op == "<" else value > int(text)))
    wanted = [part.strip() for part in text.strip("()").split(",")]
    return str(value).lower() in [part.strip('"').lower() for part in wanted]
