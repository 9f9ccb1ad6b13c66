"""Pages in a real browser: servers on free ports, Debian's Chromium, somebody who is logged in."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from acceptance import ui_sample
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from manman.ui.app import build
from manman.ui.settings import Settings

CHROMIUM = "/usr/bin/chromium"
PATIENCE = 30.0
# What a browser may be told about on purpose: a refused request is a message of the console too.
EXPECTED = ("Failed to load resource",)


class Served:
    """An ASGI application on a free port of 127.0.0.1, in a thread of its own."""

    def __init__(self, app: Any) -> None:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        end = time.monotonic() + PATIENCE
        while not self.server.started:
            assert self.thread.is_alive() and time.monotonic() < end, "the server did not come up"
            time.sleep(0.02)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ends it and waits for it."""
        self.server.should_exit = True
        self.thread.join(PATIENCE)


@dataclass
class Site:
    """The pages over a sample API."""

    url: str
    sample: ui_sample.Sample
    faults: list[str] = field(default_factory=list)
    pages: Served | None = None
    api: Served | None = None

    def visit(self, context: BrowserContext, path: str = "/") -> Page:
        """A page of the site; what its scripts and its policy complain about is kept in `faults`."""
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.on("pageerror", lambda error: self.faults.append(f"{path}: {error}"))
        page.on("console", lambda said: self._note(path, said.type, said.text))
        page.goto(self.url + path)
        return page

    def _note(self, path: str, kind: str, text: str) -> None:
        if kind == "error" and not text.startswith(EXPECTED):
            self.faults.append(f"{path}: {text}")


@contextlib.contextmanager
def site(sample: ui_sample.Sample, **settings: Any) -> Iterator[Site]:
    """The pages and the sample API behind them, both served by real HTTP."""
    api = Served(ui_sample.app(sample))
    pages = Served(build(Settings(api_url=api.url, environment_name="prod", **settings)))
    try:
        yield Site(url=pages.url, sample=sample, pages=pages, api=api)
    finally:
        pages.stop()
        api.stop()


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium; missing, it fails the run with a line that says so."""
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


def logged_in(
    chromium: Browser, where: Site, *, theme: str = "light", width: int = 1280, **more: Any
) -> BrowserContext:
    """A browser of its own with the sample's login in its cookie."""
    context = chromium.new_context(viewport={"width": width, "height": 860}, **more)
    context.add_cookies(
        [
            {"name": "manman", "value": ui_sample.TOKEN, "url": where.url, "sameSite": "Lax", "httpOnly": True},
            {"name": "manman-theme", "value": theme, "url": where.url},
        ]
    )
    return context
