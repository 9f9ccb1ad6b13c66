"""What the guard lets through, and where a form or a login may lead."""

import pytest
from starlette.datastructures import Headers

from manman.errors import BadSetting
from manman.ui.forms import local_path
from manman.ui.guard import POLICY, allowed_names, must_be_safe, refusal
from manman.ui.settings import Settings
from manman.ui.visitor import cookie_name, form_token

OURS = allowed_names(Settings(public_url="https://games.example.org", allowed_hosts=("panel.lan",)))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "[::1]:8080",
        "192.168.1.10",
        "localhost:8080",
        "LOCALHOST",
        "games.example.org",
        "panel.lan:8081",
    ],
)
def test_our_names_and_addresses_are_served(host: str) -> None:
    assert refusal("GET", "/", Headers({"host": host}), OURS) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "games.example.org.evil",
        "evil.example@localhost:1@x",
        "127.1",
    ],
)
def test_other_names_are_misdirected(host: str) -> None:
    answer = refusal("GET", "/", Headers({"host": host}), OURS)
    assert answer is not None and answer[0] == 421


@pytest.mark.parametrize("name", ["forwarded", "x-forwarded-for", "x-forwarded-port"])
def test_without_login_nothing_is_served_through_a_proxy(name: str) -> None:
    headers = Headers({"host": "localhost:8080", name: "192.0.2.1"})
    answer = refusal("GET", "/", headers, OURS, without_login=True)
    assert answer is not None and answer[0] == 403
    assert refusal("GET", "/", headers, OURS) is None
    assert refusal("GET", "/healthz", headers, OURS, without_login=True) is None


@pytest.mark.parametrize("elsewhere", [{"ui_host": "0.0.0.0"}, {"public_url": "https://games.example.org"}])
def test_without_login_the_pages_are_for_this_machine_only(elsewhere: dict[str, str]) -> None:
    with pytest.raises(BadSetting, match="AUTH_MODE"):
        must_be_safe(Settings(auth_mode="none", **elsewhere))  # type: ignore[arg-type]
    must_be_safe(Settings(**elsewhere))  # type: ignore[arg-type]
    must_be_safe(Settings(auth_mode="none"))


def test_probes_answer_under_any_name() -> None:
    assert refusal("GET", "/healthz", Headers({"host": "10-0-0-1.pod"}), OURS) is None


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, True),
        ({"origin": "http://localhost:8080"}, True),
        ({"origin": "http://localhost:8080", "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://localhost:9090"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_changes_come_from_our_own_pages_only(headers: dict[str, str], served: bool) -> None:
    answer = refusal("POST", "/logout", Headers({"host": "localhost:8080"} | headers), OURS)
    assert (answer is None) is served
    assert served or (answer is not None and answer[0] == 403)


def test_looking_is_allowed_from_anywhere() -> None:
    assert refusal("GET", "/", Headers({"host": "localhost", "sec-fetch-site": "cross-site"}), OURS) is None


@pytest.mark.parametrize("path", ["/", "/deployments/1", "/sessions?filter=status+%3D+crashed"])
def test_paths_of_ours_are_gone_to(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/a\nb",
        "/x\\y",
    ],
)
def test_no_other_place_is_gone_to(path: str) -> None:
    assert local_path(path) == "/"


def test_the_policy_allows_no_inline_code_and_no_other_origin() -> None:
    assert "unsafe" not in POLICY and "http" not in POLICY and "*" not in POLICY
    assert "default-src 'none'" in POLICY and "frame-ancestors 'none'" in POLICY and "base-uri 'none'" in POLICY


def test_the_cookie_is_bound_to_the_host_on_https_and_kept_on_http() -> None:
    assert cookie_name(Settings(public_url="https://games.example.org")) == "__Host-manman"
    assert cookie_name(Settings()) == "manman"


def test_form_tokens_belong_to_one_login_and_tell_nothing_of_it() -> None:
    assert form_token("mml_a") != form_token("mml_b")
    assert "mml" not in form_token("mml_a") and len(form_token("mml_a")) == 32
