"""First loads stay small, fast machines aside: sizes are exact, so they may decide a test; times do not."""

import gzip
from collections.abc import Iterator
from dataclasses import replace

import pytest
from acceptance.ui_browser import Site, browser, logged_in, site
from acceptance.ui_sample import TOKEN, Sample
from acceptance.ui_sample_data import deployment, full
from playwright.sync_api import Browser

KIB = 1024


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def many() -> Sample:
    """Fifty deployments, each with its hour of events as the sample's first."""
    sample = full()
    first = sample.deployments[0]
    more = [
        deployment(100 + n, f"Realm {n}", "Valheim", sample.hosts[n % 3], 3000 + n, session=first.session)
        for n in range(43)
    ]
    return replace(sample, deployments=[*sample.deployments, *more])


@pytest.fixture
def where() -> Iterator[Site]:
    with site(many()) as found:
        yield found


def test_first_loads_fit_their_budget(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    sizes = {"document": 0, "stylesheet": 0, "script": 0}
    page = context.new_page()
    replies = []
    page.on("response", lambda reply: replies.append(reply))
    page.goto(where.url + "/")
    page.wait_for_load_state("load")
    for reply in replies:
        kind = reply.request.resource_type
        if kind in sizes:
            sizes[kind] += len(gzip.compress(reply.body(), 6))
    assert page.locator("#rows-deployments tbody tr").count() == 50
    assert sizes["document"] <= 30 * KIB
    assert sizes["stylesheet"] <= 20 * KIB
    assert sizes["script"] <= 150 * KIB
    context.close()


def test_pages_are_sent_compressed(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    reply = context.request.get(where.url + "/", headers={"accept-encoding": "gzip"})
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["cache-control"] == "no-store"
    assert TOKEN not in reply.text()
    context.close()


SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => list.getEntries().forEach(one =>
    window.shifts.push([one.value, one.sources.map(part => part.node?.outerHTML?.slice(0, 150))])
)).observe({type: "layout-shift", buffered: true});
"""
EDGE = "document.querySelector('.bar .right').getBoundingClientRect().x"


def test_nothing_shifts_while_the_page_comes_to_life(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = context.new_page()
    page.add_init_script(SHIFTS)
    page.goto(where.url + "/")
    page.wait_for_selector("#livesign.good")
    page.evaluate("manmanRefresh()")
    assert page.evaluate("window.shifts") == []
    # A slow machine shows each of these words for a moment.
    said = "document.getElementById('livesign').lastElementChild.textContent"
    edges = {word: page.evaluate(f"{said} = '{word}'; {EDGE}") for word in ("", "Connecting", "Live")}
    assert len(set(edges.values())) == 1, edges
    context.close()
