"""What somebody does and sees: coming in, power, console, live values, keys. In a real browser, over real HTTP."""

import re
from collections.abc import Iterator

import pytest
from acceptance.ui_browser import Site, browser, logged_in, site
from acceptance.ui_sample import LINK, NOW
from acceptance.ui_sample_data import event, full
from playwright.sync_api import Browser, expect

from manman.v1 import types


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def where() -> Iterator[Site]:
    with site(full()) as found:
        yield found


@pytest.fixture(autouse=True)
def patient() -> None:
    expect.set_options(timeout=30_000)


def changed(where: Site, number: int, **fields: object) -> None:
    """The sample's deployment with other values."""
    many = where.sample.deployments
    where.sample.deployments = [
        types.Deployment(**{name: getattr(one, name) for name in one.__struct_fields__} | fields)
        if one.deployment_id == number
        else one
        for one in many
    ]


def test_a_stranger_comes_in_by_a_link_once_and_goes_where_they_wanted(chromium: Browser, where: Site) -> None:
    context = chromium.new_context()
    page = where.visit(context, "/deployments/1")
    assert page.url == f"{where.url}/login?next=/deployments/1"
    page.goto(f"{where.url}/login?next=/deployments/1#{LINK}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Odin")
    assert page.url == f"{where.url}/deployments/1"
    cookie = next(one for one in context.cookies() if one["name"] == "manman")
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    again = where.visit(chromium.new_context(), f"/login#{LINK}")
    expect(again.get_by_role("alert")).to_contain_text("does not open anything")
    context.close()


def test_logging_out_ends_the_login_and_takes_the_cookie_away(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    page.click("#account summary")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Log in to")
    assert ("logout", {}) in where.sample.told
    assert "manman" not in [one["name"] for one in context.cookies()]
    context.close()


def test_stop_asks_where_somebody_plays_and_the_safe_answer_has_the_focus(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/1")
    page.keyboard.press("t")
    dialog = page.locator("#ask-stop")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Keep running")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert where.sample.told == []
    page.get_by_role("button", name="Stop", exact=True).click()
    dialog.get_by_role("button", name="Stop").click()
    expect(page.locator("#told")).to_contain_text("Told cellar")
    assert where.sample.told[0][0] == "stop" and where.sample.told[0][1]["id"] == 215
    context.close()


def test_a_refusal_stands_where_the_button_is_with_its_way_out(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/6")
    where.sample.refuse = {
        "status": 409,
        "code": "host_offline",
        "detail": "attic is offline since 03:01",
        "hint": "start its agent, then try again",
    }
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#told")).to_contain_text(
        "attic is offline since 03:01 Start its agent, then try again. host_offline"
    )
    context.close()


def test_kill_wants_the_name(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/1")
    page.click("#power-more summary")
    page.get_by_role("button", name="Kill…").click()
    kill = page.locator("#kill").get_by_role("button", name="Kill")
    expect(kill).to_be_disabled()
    page.fill("#kill-name", "Odi")
    expect(kill).to_be_disabled()
    page.fill("#kill-name", "Odin")
    kill.click()
    expect(page.locator("#told")).to_contain_text("Told cellar")
    assert where.sample.told[0][0] == "kill"
    context.close()


def test_the_console_shows_lines_gaps_and_colours_and_takes_a_line(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/1")
    lines = page.locator("[data-console] .lines li")
    expect(lines).to_have_count(13)
    expect(page.locator("[data-console] .gap")).to_contain_text("37 lines missing (8801–8837)")
    expect(page.locator("[data-console] .lines .y").first).to_have_text("army_eikthyr")
    page.keyboard.press("c")
    expect(page.locator("[data-line]")).to_be_focused()
    page.keyboard.type("save")
    page.keyboard.press("Enter")
    expect(page.locator("[data-console] .lines li").last).to_contain_text("kim › save")
    assert ("input", {"line": "save", "id": 215, "act": "input"}) in where.sample.told
    page.keyboard.press("ArrowUp")
    expect(page.locator("[data-line]")).to_have_value("save")
    page.keyboard.press("Escape")
    expect(page.locator("[data-line]")).not_to_be_focused()
    context.close()


def test_a_flood_is_shown_to_its_end_and_can_be_read_back_and_searched(chromium: Browser, where: Site) -> None:
    flood = [types.LogLine(n=n, at=NOW, stream="out", text=f"flood {n}") for n in range(1, 20_001)]
    where.sample.lines[215] = flood[:1_000]
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/1")
    rows = page.locator("[data-console] .lines li")
    expect(rows.last).to_contain_text("flood 1000")
    for at in range(1_000, len(flood), 500):
        where.sample.typed.put_nowait(flood[at : at + 500])
    expect(rows.last).to_contain_text("flood 20000")
    assert page.locator("[data-console] .gap").count() == 0
    # Rows that nobody comes near are not made: that is what a flood must not cost.
    assert rows.count() < 3_000
    page.locator("[data-console] .lines").evaluate("box => { box.scrollTop = box.scrollHeight / 2; }")
    page.wait_for_function(
        """() => {
            const box = document.querySelector("[data-console] .lines").getBoundingClientRect();
            const row = document.elementFromPoint(box.x + 150, box.y + box.height / 2)?.closest("li");
            return /flood \\d+$/.test(row?.textContent || "") && Number(row.dataset.n) < 20000;
        }"""
    )
    expect(page.locator("[data-console] [data-follow]")).to_have_attribute("aria-pressed", "false")
    page.click("[data-console] [data-find]")
    page.locator("[data-console] .find input").fill("flood 17000")
    expect(page.locator("[data-found]")).to_contain_text("1 of")
    expect(page.locator("[data-console] .here")).to_contain_text("flood 17000")
    context.close()


def test_an_event_changes_the_page_in_place_without_a_reload(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    expect(page.locator("#livesign")).to_have_text("Live")
    page.evaluate("window.sameDocument = true")
    odin = where.sample.deployments[0]
    changed(where, 1, session=types.SessionSummary(session_id=215, status="stopping"))
    where.sample.say(event(600, "session.stopping", NOW, odin, session_id=215, previous_status="running"))
    expect(page.locator("#rows-deployments-1 .state")).to_have_text("Stopping")
    expect(page.locator("#eventlist li").first).to_contain_text("Odin stopping")
    assert page.evaluate("window.sameDocument") is True
    context.close()


def test_nothing_moves_under_the_pointer(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    expect(page.locator("#livesign")).to_have_text("Live")
    rows = "[...document.querySelectorAll('#rows-deployments tbody tr')].map(row => row.id)"
    before = page.evaluate(rows)
    page.hover("#rows-deployments-2")
    tees = where.sample.deployments[1]
    changed(where, 2, session=types.SessionSummary(session_id=190, status="crashed", ended_at=NOW))
    where.sample.say(event(601, "session.crashed", NOW, tees, session_id=190, previous_status="running"))
    expect(page.locator("#rows-deployments-2 .state")).to_contain_text("Crashed")
    assert page.evaluate(rows) == before
    button = page.get_by_role("button", name=re.compile("changed ↑"))
    button.click()
    expect(page.locator("#rows-deployments tbody tr").nth(1)).to_have_id("rows-deployments-2")
    context.close()


def test_a_login_that_ended_leads_to_the_login_page(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    expect(page.locator("#livesign")).to_have_text("Live")
    where.sample.logins.clear()
    where.sample.say(event(602, "host.online", NOW, where.sample.hosts[0]))
    for queue in where.sample.watchers:
        queue.put_nowait(types.WatchEventsResponse(bye=types.Bye(reason="unauthenticated")))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Log in to")
    context.close()


def test_a_page_that_stands_still_says_since_when(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    expect(page.locator("#livesign")).to_have_text("Live")
    assert where.pages is not None
    where.pages.stop()
    expect(page.locator("#livesign")).to_have_text(re.compile(r"^Reconnecting, as of 03:(19|20):\d\d$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("3 things need you")
    context.close()


def test_the_address_is_copied_and_said(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where, permissions=["clipboard-read", "clipboard-write"])
    page = where.visit(context, "/deployments/1")
    page.keyboard.press("y")
    expect(page.locator("#announce")).to_have_text("Copied 192.168.1.23:2456")
    assert page.evaluate("navigator.clipboard.readText()") == "192.168.1.23:2456"
    context.close()


def test_keys_go_everywhere_and_rest_while_one_types(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    for keys, there in (("gd", "/deployments"), ("gh", "/hosts"), ("gs", "/sessions"), ("ge", "/events"), ("go", "/")):
        page.keyboard.press(keys[0])
        page.keyboard.press(keys[1])
        page.wait_for_url(where.url + there)
    page.keyboard.press("?")
    expect(page.locator("#keys-sheet")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/deployments/|/hosts/|/sessions/"))
    page.goto(where.url + "/sessions")
    page.keyboard.press("/")
    page.keyboard.type("gd?")
    expect(page.locator("[data-filter]")).to_have_value("gd?")
    assert page.url == where.url + "/sessions"
    context.close()


def test_single_keys_can_be_switched_off(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context)
    page.click("#account summary")
    page.get_by_role("button", name="Turn single-key shortcuts off").click()
    expect(page.locator("body")).to_have_attribute("data-keys", "off")
    page.keyboard.press("?")
    expect(page.locator("#keys-sheet")).to_be_hidden()
    context.close()


def test_pages_and_power_work_without_a_script(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where, java_script_enabled=False)
    page = where.visit(context, "/deployments/6")
    page.get_by_role("button", name="Start").click()
    assert page.url == f"{where.url}/deployments/6"
    assert where.sample.told == [("start", {"deployment_id": 6})]
    context.close()


def test_who_may_only_look_sees_no_button_that_would_be_refused(chromium: Browser, where: Site) -> None:
    where.sample.permissions[:] = ["deployments.view"]
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/1")
    assert page.locator(".title .buttons").count() == 0
    assert page.locator("[data-console]").count() == 0
    expect(page.get_by_text("The console needs logs.view on Odin.")).to_be_visible()
    assert page.locator(".nav a").all_inner_texts() == ["Overview", "Deployments\n7", "Sessions", "Events"]
    page.goto(where.url + "/")
    assert page.locator("#rows-hosts").count() == 0
    assert page.get_by_role("button", name=re.compile("^Start")).count() == 0
    context.close()


def test_a_deaf_control_plane_is_said_on_every_page_and_refused_messages_with_their_command(
    chromium: Browser, where: Site
) -> None:
    where.sample.deaf_since = NOW
    where.sample.dead_letters = 3
    context = logged_in(chromium, where)
    for path in ("/", "/deployments", "/sessions/214", "/hosts/1", "/events"):
        page = where.visit(context, path)
        expect(page.locator(".notice", has_text="Deaf since 03:19:42.")).to_be_visible()
    page.goto(where.url + "/")
    expect(page.locator("#need-dead-letters")).to_contain_text("3 messages were refused")
    expect(page.locator("#need-dead-letters .cli")).to_contain_text("manman events dead list")
    context.close()


def test_when_the_api_is_away_the_page_says_so_and_offers_to_try_again(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    assert where.api is not None
    where.api.stop()
    page = where.visit(context, "/deployments/1")
    expect(page.get_by_role("heading", level=1)).to_have_text("The control plane does not answer")
    expect(page.locator("code").first).to_have_text("unavailable")
    expect(page.get_by_role("link", name="Try again")).to_have_attribute("href", "/deployments/1")
    context.close()


def test_what_is_not_there_is_said_by_name(chromium: Browser, where: Site) -> None:
    context = logged_in(chromium, where)
    page = where.visit(context, "/deployments/99")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
    expect(page.get_by_text("deployment 99 is not here")).to_be_visible()
    page.goto(where.url + "/sessions?filter=colour+%3D+red")
    expect(page.get_by_role("alert")).to_contain_text("the filter cannot be read")
    context.close()
