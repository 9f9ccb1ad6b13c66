"""The pages over the real thing: `manman up`, a real game, a real crash, in a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from acceptance.ui_browser import browser
from harness import free_port, shared
from harness.processes import spawn
from playwright.sync_api import Browser, Page, expect

PATIENCE = 90.0
WAIT = 60_000


@dataclass
class Up:
    """A `manman up` of this test alone, with one arena deployed on a free port."""

    url: str
    link: str
    state: Path

    def manman(self, *arguments: str) -> str:
        """What a command of the same user prints."""
        done = subprocess.run(
            [sys.executable, "-m", "manman", *arguments],
            env=environment(self.state),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def environment(state: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(state), "LANG": "C.UTF-8", "STATE_DIR": str(state), **more}


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    # Short, and others may pass through: the database and the games run as users of their own.
    state = Path(tempfile.mkdtemp(prefix="u", dir=shared.home()))
    state.chmod(0o711)
    log = state / "up.log"
    ports = {"HTTP_PORT": str(free_port()), "GRPC_PORT": str(free_port())}
    command = [sys.executable, "-m", "manman", "up", "--game", ""]
    child = spawn(command, env=environment(state, **ports), cwd=state, log=log, dies_by=signal.SIGTERM)
    try:
        link = said(log, child, re.compile(r"(http://\S+)/login#(\S+)"))
        said(log, child, re.compile(r"host \S+\s+online"))
        yield Up(url=link[1], link=link[2], state=state)
    finally:
        ended(child, state)
        shutil.rmtree(state, ignore_errors=True)


def said(log: Path, child: "subprocess.Popen[bytes]", pattern: re.Pattern[str]) -> re.Match[str]:
    """What `manman up` prints that fits, waited for."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = pattern.search(log.read_text()) if log.exists() else None
        if found:
            return found
        assert child.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"{pattern.pattern} was not said:\n{log.read_text()}")


def ended(child: "subprocess.Popen[bytes]", state: Path) -> None:
    """Stops the panel and whatever game a failed test left."""
    # Beside it, not before it: `down` waits until the panel's process is gone, and it is gone once we have waited for it.
    down = subprocess.Popen([sys.executable, "-m", "manman", "down", "--games"], env=environment(state))
    for process in (child, down):
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(chromium: Browser, up: Up) -> Iterator[Page]:
    """A browser that came in by the printed link."""
    expect.set_options(timeout=WAIT)
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    found = context.new_page()
    found.set_default_timeout(WAIT)
    found.goto(f"{up.url}/login#{up.link}")
    expect(found.locator("#livesign")).to_have_text("Live")
    yield found
    context.close()


@pytest.mark.timeout(400)
def test_from_nothing_to_a_game_that_crashes_and_comes_back(page: Page, up: Up) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Ready for a first game")
    port = free_port()
    up.manman("games", "import", "demo")
    ports = ("--port", f"game={port}", "--port", f"query={free_port()}")
    up.manman("deployments", "create", "arena", "--config", "demo", *ports, "--wait")
    up.manman("run", "demo", "--name", "arena")
    row = page.locator("#rows-deployments tbody tr")
    expect(row.locator(".state")).to_have_text("Running")
    row.locator("a.row").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("arena")
    expect(page.locator("#address")).to_have_text(re.compile(rf":{port}$"))
    expect(page.locator("[data-console] .lines li").first).to_contain_text("Ready on")

    page.keyboard.press("c")
    page.keyboard.type("say hello from the page")
    page.keyboard.press("Enter")
    expect(page.locator("[data-console] .lines li:not(.pending)", has_text="hello from the page").first).to_be_visible()

    page.evaluate("window.sameDocument = true")
    kill(port)
    expect(page.locator(".notice.bad")).to_contain_text("killed by a signal")
    expect(page.locator("#title .pill")).to_contain_text("Running")
    assert page.evaluate("window.sameDocument") is True
    page.get_by_role("link", name="Explain").click()
    expect(page.locator("#crash-title")).to_have_text("arena was killed by a signal")
    expect(page.locator(".told-how").first).to_contain_text("signal 9 (SIGKILL)")
    expect(page.locator("[data-later]")).to_contain_text("Back since")

    page.get_by_role("link", name="Now", exact=True).click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#title .pill")).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    assert page.locator(".happened li").first.inner_text().startswith("5")


def kill(port: int) -> None:
    """Kills whoever listens on a port, as nobody asked."""
    for one in psutil.net_connections("tcp"):
        if one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN and one.pid:
            os.kill(one.pid, signal.SIGKILL)
            return
    raise AssertionError(f"nobody listens on {port}")


def test_a_stranger_on_the_same_machine_gets_the_login_page_and_nothing_else(
    chromium: Browser, page: Page, up: Up
) -> None:
    stranger = chromium.new_context()
    seen = stranger.new_page()
    seen.goto(f"{up.url}/deployments")
    assert seen.url == f"{up.url}/login?next=/deployments"
    assert stranger.request.get(f"{up.url}/v1/deployments").status == 401
    seen.goto(f"{up.url}/login#{up.link}")
    expect(seen.get_by_role("alert")).to_contain_text("does not open anything")
    stranger.close()
