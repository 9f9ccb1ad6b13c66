"""The web application: every page, its guard, and what happens when the API says no."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from manman.client import ApiError
from manman.errors import ManManError
from manman.ui import console, deployments, events, faults, hosts, live, login, overview, power, preferences, sessions
from manman.ui.guard import Guard, must_be_safe
from manman.ui.render import Pages
from manman.ui.settings import Settings
from manman.ui.static_files import files, worker
from manman.ui.streams import Streams
from manman.ui.visitor import Visitors

ROUTES = [
    Route("/", overview.overview),
    Route("/deployments", deployments.deployment_list),
    Route("/deployments/{id:int}", deployments.deployment),
    Route("/deployments/{id:int}/sessions", deployments.deployment_sessions),
    Route("/deployments/{id:int}/{act:str}", power.power, methods=["POST"]),
    Route("/sessions", sessions.session_list),
    Route("/sessions/{id:int}", sessions.session),
    Route("/sessions/{id:int}/console", console.console),
    Route("/sessions/{id:int}/console/before", console.before),
    Route("/sessions/{id:int}/console.txt", console.download),
    Route("/sessions/{id:int}/input", console.send, methods=["POST"]),
    Route("/hosts", hosts.host_list),
    Route("/hosts/{id:int}", hosts.host),
    Route("/hosts/{id:int}/{act:str}", hosts.drain, methods=["POST"]),
    Route("/events", events.event_list),
    Route("/live", live.live),
    Route("/login", login.login_page),
    Route("/login", login.login, methods=["POST"]),
    Route("/logout", login.logout, methods=["POST"]),
    Route("/preferences", preferences.preferences, methods=["POST"]),
    Route("/live-worker.js", worker),
]


def build(settings: Settings, stop: asyncio.Event | None = None) -> ASGIApp:
    """The pages as an ASGI application, to be served alone or mounted at `/` beside the API at `/v1`.

    When `stop` is set, open streams end; a server that shuts down sets it first, since it waits for them. Raises `BadSetting`
    for what cannot be served safely.
    """
    must_be_safe(settings)
    visitors = Visitors(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await visitors.close()

    app = Starlette(
        routes=[*ROUTES, files(), Route("/healthz", _alive), Route("/readyz", _ready)],
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, settings=settings),
            Middleware(GZipMiddleware, minimum_size=600, compresslevel=6),
        ],
        exception_handlers={ManManError: _told, HTTPException: _http, Exception: faults.unforeseen},
    )
    app.state.settings = settings
    app.state.visitors = visitors
    app.state.pages = Pages()
    app.state.streams = Streams(stop)
    return app


async def _told(request: Request, error: Exception) -> Response:
    """What the API said: strangers go to the login page, others read why."""
    if isinstance(error, ApiError) and error.refused_code == "unauthenticated":
        return login.to_login(request)
    assert isinstance(error, ManManError)
    return await faults.page_of(request, error)


async def _http(request: Request, error: Exception) -> Response:
    """No such page, or a method that it does not know."""
    assert isinstance(error, HTTPException)
    return await faults.plain(request, error.status_code, error.detail, dict(error.headers or {}))


async def _alive(request: Request) -> Response:
    """`GET /healthz`"""
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    """`GET /readyz`: whether the API answers, whoever asks."""
    visitors: Visitors = request.app.state.visitors
    try:
        await visitors.client("").who_am_i()
    except ApiError:
        return PlainTextResponse("ok\n")
    except ManManError as error:
        return PlainTextResponse(f"the API is out of reach: {error.detail}\n", status_code=503)
    return PlainTextResponse("ok\n")
