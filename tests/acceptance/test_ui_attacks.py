"""What a hostile page, a rebound name and a hostile game try in a real browser, and that nothing comes of it."""

import re
from collections.abc import Iterator

import pytest
from acceptance.ui_browser import CHROMIUM, Served, Site, browser, logged_in, site
from acceptance.ui_sample import NOW, TOKEN
from acceptance.ui_sample_data import full
from playwright.sync_api import Browser, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from manman.ui.visitor import form_token
from manman.v1 import types

LINES = (
    "<script>window.owned = 1</script>",
    '<img src=x onerror="window.owned = 1">',
    "\x1b]8;;javascript:window.owned=1\x07click me\x1b]8;;\x07",
    "\x1b]0;<title>owned\x07\x1b[2J\x1b[1;1H\x1b[31mred\x1b[0m",
    "\x9b31mred\x9b0m \x90payload\x9c after",
    "\u202egnp.exe\u202c \u2066hidden\u2069",
    "</li></ol><svg/onload=window.owned=1>",
    "{{7*7}} {% raw %} ${7*7}",
    "\x00\x07\x08\x7f back\x08space",
    "javascript:window.owned=1",
    "a" * 20000,
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def where() -> Iterator[Site]:
    with site(full()) as found:
        yield found


def foreign(target: str) -> Served:
    """Another site, whose page asks ours for changes as soon as it is seen."""

    async def form(request: Request) -> Response:
        return HTMLResponse(
            f'<form method="post" action="{target}/deployments/1/stop"><input name="form_token" value="guess"></form>'
            "<script>document.forms[0].submit()</script>"
        )

    async def fetched(request: Request) -> Response:
        return HTMLResponse(
            f"""<p id="done"></p><script>
            const send = (path, kind, body) => fetch("{target}" + path, {{method: "POST", mode: "no-cors", credentials: "include",
              headers: {{"content-type": kind}}, body}}).catch(() => 0);
            Promise.all([
              send("/deployments/1/stop", "text/plain", "form_token=guess"),
              send("/deployments/1/stop", "application/x-www-form-urlencoded", "form_token=guess"),
              send("/sessions/215/input", "text/plain", "line=stop"),
              send("/logout", "application/x-www-form-urlencoded", ""),
            ]).then(() => document.getElementById("done").textContent = "sent")</script>"""
        )

    async def framed(request: Request) -> Response:
        return HTMLResponse(f'<iframe src="{target}/deployments/1"></iframe>')

    return Served(Starlette(routes=[Route("/form", form), Route("/fetch", fetched), Route("/frame", framed)]))


def test_another_sites_form_and_fetch_change_nothing(chromium: Browser, where: Site) -> None:
    other = foreign(where.url)
    context = logged_in(chromium, where)
    page = context.new_page()
    # Another name for the same machine is another site.
    elsewhere = other.url.replace("127.0.0.1", "localhost")
    page.goto(f"{elsewhere}/form")
    page.wait_for_url(re.compile(re.escape(where.url)))
    assert "another site" in page.content() or "origin_refused" in page.content()
    page.goto(f"{elsewhere}/fetch")
    expect(page.locator("#done")).to_have_text("sent", timeout=30_000)
    assert where.sample.told == []
    assert TOKEN in where.sample.logins
    other.stop()
    context.close()


def test_another_port_of_the_same_machine_is_foreign_too(chromium: Browser, where: Site) -> None:
    other = foreign(where.url)
    context = logged_in(chromium, where)
    page = context.new_page()
    page.goto(f"{other.url}/form")
    page.wait_for_url(re.compile(re.escape(where.url)))
    page.goto(f"{other.url}/fetch")
    expect(page.locator("#done")).to_have_text("sent", timeout=30_000)
    assert where.sample.told == []
    other.stop()
    context.close()


@pytest.mark.parametrize("path", ["/deployments/1/stop", "/sessions/215/input", "/hosts/1/drain", "/logout"])
def test_a_form_without_this_logins_token_is_refused(chromium: Browser, where: Site, path: str) -> None:
    context = logged_in(chromium, where)
    for token in ("", "guess", form_token("mml_other")):
        answer = context.request.post(where.url + path, form={"form_token": token, "line": "stop"})
        assert answer.status == 403 and "origin_refused" in answer.text()
    answer = context.request.post(where.url + path, data="form_token=x", headers={"content-type": "text/plain"})
    assert answer.status == 415
    assert where.sample.told == []
    context.close()


def test_the_pages_cannot_be_framed(chromium: Browser, where: Site) -> None:
    other = foreign(where.url)
    context = logged_in(chromium, where)
    page = context.new_page()
    page.goto(f"{other.url}/frame")
    assert page.frames[1].url.startswith("chrome-error://")
    other.stop()
    context.close()


def test_a_rebound_name_sees_and_changes_nothing(chromium: Browser, where: Site) -> None:
    port = where.url.rpartition(":")[2]
    rebound = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", f"--host-resolver-rules=MAP evil.example 127.0.0.1:{port}"]
    )
    context = rebound.new_context()
    context.add_cookies([{"name": "manman", "value": TOKEN, "url": "http://evil.example"}])
    page = context.new_page()
    answer = page.goto("http://evil.example/deployments/1")
    assert answer is not None and answer.status == 421
    assert "Odin" not in page.content()
    status = page.evaluate("fetch('/deployments/1/stop', {method: 'POST', body: ''}).then(reply => reply.status)")
    assert status == 421
    rebound.close()
    assert where.sample.told == []


def test_what_a_game_writes_never_becomes_code(chromium: Browser, where: Site) -> None:
    where.sample.lines[215] = [
        types.LogLine(n=n, at=NOW, stream="out", text=text) for n, text in enumerate(LINES, start=1)
    ]
    crashed = where.sample.sessions[2]
    where.sample.sessions[2] = types.Session(
        **{name: getattr(crashed, name) for name in crashed.__struct_fields__}
        | {"tail": list(LINES), "detail": LINES[0]}
    )
    context = logged_in(chromium, where)
    for path in ("/deployments/1", "/sessions/214"):
        page = where.visit(context, path)
        page.wait_for_selector(".lines li")
        shown = page.locator(".lines").first.inner_text()
        assert "<script>window.owned = 1</script>" in shown
        assert "click me" in shown and "javascript:window.owned=1" in shown
        assert "\x1b" not in shown and "\u202e" not in shown
        assert page.locator(".lines script, .lines img, .lines svg, .lines a").count() == 0
        assert page.evaluate("window.owned") is None
        page.close()
    context.close()
    assert where.faults == []


def test_names_that_people_choose_never_become_code(chromium: Browser, where: Site) -> None:
    bad = "<img src=x onerror=window.owned=1>'\"&"
    one = where.sample.deployments[0]
    where.sample.deployments[0] = types.Deployment(
        **{name: getattr(one, name) for name in one.__struct_fields__} | {"name": bad, "game": bad, "detail": bad}
    )
    context = logged_in(chromium, where)
    for path in ("/", "/deployments", "/deployments/1", f"/sessions?filter={bad}", "/hosts/1"):
        page = where.visit(context, path)
        assert page.locator("main img").count() == 0, path
        assert page.evaluate("window.owned") is None, path
        page.close()
    context.close()


def test_nothing_is_asked_of_anybody_else(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/deployments/1", "/login"):
        where.visit(context, path).close()
    assert asked and [url for url in asked if not url.startswith((where.url, "data:"))] == []
    assert where.faults == []
    context.close()
