"""Everybody can use every page: axe finds nothing, in each theme, empty and full, narrow and wide; nothing runs over the edge."""

from collections.abc import Iterator

import pytest
from acceptance.ui_browser import Site, browser, logged_in, site
from acceptance.ui_sample import Sample
from acceptance.ui_sample_data import full
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

FULL = (
    "/",
    "/deployments",
    "/deployments?filter=colour+%3D+red",
    "/deployments/1",
    "/deployments/3",
    "/deployments/6",
    "/deployments/1/sessions",
    "/sessions",
    "/sessions/214",
    "/sessions/209",
    "/hosts",
    "/hosts/2",
    "/events",
    "/nowhere",
)
EMPTY = ("/", "/deployments", "/sessions", "/hosts", "/events", "/deployments/9", "/login")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def sites() -> Iterator[dict[str, Site]]:
    with site(full()) as filled, site(Sample()) as empty:
        yield {"full": filled, "empty": empty}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark", "oled"])
@pytest.mark.parametrize("filled", ["full", "empty"])
def test_axe_finds_nothing(chromium: Browser, sites: dict[str, Site], filled: str, theme: str, width: int) -> None:
    where, axe, found = sites[filled], Axe(), dict[str, list[str]]()
    context = logged_in(chromium, where, theme=theme, width=width, reduced_motion="reduce")
    for path in FULL if filled == "full" else EMPTY:
        page = where.visit(context, path)
        if page.locator("[data-console] .lines li").count() == 0 and path in ("/deployments/1", "/sessions/214"):
            page.wait_for_selector("[data-console] .lines li")
        results = axe.run(page)
        broken = [
            f"{one['id']}: {node['html'][:160]}" for one in results.response["violations"] for node in one["nodes"]
        ]
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            broken.append(f"{over} px wider than the window")
        if broken:
            found[path] = broken
        page.close()
    context.close()
    assert found == {}
    assert where.faults == []


@pytest.mark.parametrize("opened", ["#account summary", "#more summary"])
def test_menus_and_dialogs_are_as_accessible_as_pages(chromium: Browser, sites: dict[str, Site], opened: str) -> None:
    context = logged_in(chromium, sites["full"], width=390 if "more" in opened else 1280)
    page = sites["full"].visit(context, "/deployments/1")
    page.click(opened)
    assert Axe().run(page).response["violations"] == []
    context.close()


def test_nothing_runs_over_the_edge_at_320_pixels_and_with_wide_letters(
    chromium: Browser, sites: dict[str, Site]
) -> None:
    context = logged_in(chromium, sites["full"], width=320)
    over = {}
    for path in FULL:
        page = sites["full"].visit(context, path)
        # The text spacing of WCAG 1.4.12.
        page.evaluate(
            """() => { const sheet = new CSSStyleSheet();
            sheet.replaceSync('* { letter-spacing: .12em !important; word-spacing: .16em !important; line-height: 1.5 !important }');
            document.adoptedStyleSheets.push(sheet); }"""
        )
        wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wider > 0:
            over[path] = wider
        page.close()
    context.close()
    assert over == {}


def test_every_page_has_one_heading_landmarks_and_a_way_past_the_navigation(
    chromium: Browser, sites: dict[str, Site]
) -> None:
    context = logged_in(chromium, sites["full"])
    for path in FULL[:-1]:
        page = sites["full"].visit(context, path)
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip", path
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main", path
        page.close()
    context.close()
