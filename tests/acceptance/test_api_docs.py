"""The API's own page: every method can be found, by link and by search; it asks nobody else, and everybody can read it."""

from collections.abc import Iterator

import pytest
from acceptance.ui_browser import Served, browser
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from manman.api.definition import methods
from manman.api.doors import openapi


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    async def docs(_: Request) -> Response:
        return Response(openapi.page(), media_type="text/html", headers={"content-security-policy": openapi.POLICY})

    served = Served(Starlette(routes=[Route("/docs", docs)]))
    yield f"{served.url}/docs"
    served.stop()


def visit(chromium: Browser, url: str, *, width: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and what it asked for or complained about."""
    page = chromium.new_page(viewport={"width": width, "height": 860}, color_scheme=scheme)
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda asked: said.append(asked.url) if not asked.url.startswith(url.partition("#")[0]) else None
    )
    page.goto(url)
    return page, said


def test_a_link_opens_its_method_and_search_leaves_what_is_meant(chromium: Browser, url: str) -> None:
    page, said = visit(chromium, f"{url}#StartSession")
    expect(page.locator("#StartSession")).to_have_attribute("open", "")
    expect(page.locator("#StartSession pre").first).to_contain_text("deployment_id")
    assert page.locator("details").count() == len(methods())
    page.keyboard.press("/")
    page.keyboard.type("drain")
    expect(page.locator("#StartSession")).to_be_hidden()
    expect(page.locator("#DrainHost")).to_be_visible()
    shown = page.locator("details:visible").count()
    assert 0 < shown < 20
    expect(page.locator("[role=status]")).to_have_text(f"{shown} of {len(methods())} methods")
    expect(page.locator("#Sessions")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#StartSession")).to_be_visible()
    assert said == []
    page.close()


def test_without_a_script_everything_is_there(chromium: Browser, url: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    expect(page.locator("[type=search]")).to_be_hidden()
    page.locator("#GetSession summary").click()
    expect(page.locator("#GetSession .more")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everybody_can_read_it(chromium: Browser, url: str, width: int, scheme: str) -> None:
    page, said = visit(chromium, f"{url}#ListSessions", width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in Axe().run(page).response["violations"]] == []
    assert said == []
    page.close()
