"""Probes: `/healthz` (the loop is alive), `/readyz` (can do its work), `/metrics`.

A check returns None when all is well, else a sentence. `required` ones make `/readyz` answer 503; `notes` (lag, deafness, standby)
are named in a 200 body. `Health.answer` is what every door uses, so that probes say the same on a port of their own and on the API's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from manman.observability import metrics

Check = Callable[[], str | None]


@dataclass(slots=True)
class Health:
    """What a service says when asked how it is. Checks are cheap: they read what its loops already know."""

    required: dict[str, Check] = field(default_factory=dict)
    notes: dict[str, Check] = field(default_factory=dict)
    stopping: bool = False

    def answer(self, path: str) -> tuple[int, str, bytes] | None:
        """(status, content type, body) for a probe's path; None when the path is no probe."""
        if path == "/healthz":
            return 200, "application/json", b'{"status":"alive"}'
        if path == "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.render()
        if path == "/readyz":
            return self._readiness()
        return None

    def _readiness(self) -> tuple[int, str, bytes]:
        problems = {name: said for name, check in self.required.items() if (said := check()) is not None}
        if self.stopping:
            problems["shutting_down"] = "the service is ending its work"
        notes = {name: said for name, check in self.notes.items() if (said := check()) is not None}
        body = {"status": "unready" if problems else "ready", "problems": problems, "notes": notes}
        return (503 if problems else 200), "application/json", msgspec.json.encode(body)


async def serve(port: int, health: Health, stop: asyncio.Event, *, bind: str = "0.0.0.0") -> None:
    """Answer probes on `port` until `stop` is set. A taken port raises `OSError`: the caller names its setting."""
    import uvicorn

    async def app(
        scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = health.answer(scope["path"]) or (404, "text/plain", b"not a probe\n")
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        await send({"type": "http.response.body", "body": body})

    config = uvicorn.Config(
        app, host=bind, port=port, log_level="warning", lifespan="off", access_log=False, timeout_graceful_shutdown=1
    )
    probe = uvicorn.Server(config)
    task = asyncio.create_task(probe._serve())  # not serve(): it would take over the process's signals
    await stop.wait()
    probe.should_exit = True
    await task
