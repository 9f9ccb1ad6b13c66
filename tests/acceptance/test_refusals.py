"""Bad input and bad luck: each is said in a line that names the thing, the value and the way out."""

import http.client
import json
import os
import stat
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import free_port
from harness.installations import MANMAN, PATIENCE, Separate, Up
from harness.wrapped import until

pytestmark = pytest.mark.timeout(400)
NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def test_a_second_start_says_where_the_first_one_serves(up: Up) -> None:
    assert up.manman("up").startswith(f"ManMan runs already (pid {up.children['up'].pid}): {up.panel()[0]} ")


def test_another_user_of_the_machine_gets_401_and_the_login_page(up: Up) -> None:
    url, _ = up.panel()
    local = up.state / "local.json"
    assert stat.S_IMODE(local.stat().st_mode) == 0o600
    if NOBODY:
        reads = subprocess.run(["cat", local], capture_output=True, text=True, check=False, **NOBODY)  # type: ignore[call-overload]
        assert reads.returncode != 0 and "token" not in reads.stdout
    status, body = up.http("GET", "/v1/sessions", token=None)
    assert (status, body["code"]) == (401, "unauthenticated")
    status, body = up.http("POST", "/v1/sessions", {"deployment_id": 1}, token="mmk_guessed")
    assert (status, body["code"]) == (401, "unauthenticated")
    with urllib.request.urlopen(url + "/", timeout=60) as page:
        assert page.url.partition("?")[0].endswith("/login")
        assert "<form" in page.read().decode()


def test_a_rebound_name_is_refused(up: Up) -> None:
    """A page of `evil.example` whose name was turned to 127.0.0.1 says its own name in Host."""
    url, token = up.panel()
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request("GET", "/v1/hosts", headers={"Host": "evil.example", "Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (421, "origin_refused")
    connection.close()


def test_of_two_starts_at_once_one_wins_and_the_other_is_told_its_session(up: Up) -> None:
    up.deploy("arena")
    body = {"deployment_id": up.deployment("arena")["deployment_id"]}
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda _: up.http("POST", "/v1/sessions", body), range(2)))
    (begun,) = [said for status, said in answers if status == 202]
    (refused,) = [said for status, said in answers if status == 409]
    assert refused["code"] == "session_live"
    assert int(refused["facts"]["session_id"]) == begun["session_id"]
    up.becomes(begun["session_id"], "running")
    up.manman("sessions", "stop", "arena", "--wait")


@pytest.mark.parametrize("address", ["", "127.0.0.1:"])
def test_a_port_clash_names_its_holder_also_against_a_wildcard(up: Up, address: str) -> None:
    port = up.deploy(f"holder{len(address)}")
    name = f"late{len(address)}"
    create = ("deployments", "create", name, "--config", "demo", "--port", f"game={address}{port}")
    said = up.manman(*create, code=4)
    assert f"port {port}/tcp" in said and f"is held by deployment holder{len(address)} (game on all addresses)" in said
    assert up.get(f"/v1/deployments?filter=name%20%3D%20{name}").get("deployments", []) == []


def test_lines_typed_into_an_attached_console_reach_the_game(up: Up) -> None:
    up.deploy("chat")
    number = up.start("chat")["session_id"]
    child = subprocess.Popen(
        [*MANMAN, "sessions", "attach", "chat"],
        env=up.env,
        cwd=up.state,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdin is not None and child.stdout is not None
    child.stdin.write(b"say typed by hand\n")
    child.stdin.flush()
    seen = b""
    while b"typed by hand" not in seen.partition(b"Attached")[2]:
        read = child.stdout.readline()
        assert read, seen
        seen += read
    child.stdin.close()
    assert child.wait(PATIENCE) == 0
    child.stdout.close()
    assert up.session(number)["status"] == "running"
    up.manman("sessions", "stop", "chat", "--wait")


def test_a_game_that_never_comes_up_is_a_crash_that_says_so(up: Up) -> None:
    port = up.deploy("blocked")
    with spawned_listener(port):
        up.manman("sessions", "start", "blocked")
        crashed = until(lambda: (s := up.latest("blocked"))["status"] == "crashed" and s, PATIENCE)
    assert crashed["reason"] == "port_taken" and f"port {port}/tcp" in crashed["detail"]
    up.manman("sessions", "stop", "blocked")


class spawned_listener:
    """Another program of the machine on a port."""

    def __init__(self, port: int) -> None:
        import socket

        self._socket = socket.create_server(("0.0.0.0", port))

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def test_a_start_on_a_host_that_is_offline_is_refused_with_the_reason(separate: Separate) -> None:
    separate.deploy("arena")
    assert separate.end("host") == 0
    until(lambda: separate.get("/v1/hosts")["hosts"][0]["status"] == "offline", PATIENCE)
    said = separate.manman("sessions", "start", "arena", code=4)
    assert "host box-1 is offline" in said
    assert separate.get("/v1/sessions").get("sessions", []) == []


def test_two_agents_with_one_identity_say_so_and_only_one_acts(separate: Separate) -> None:
    twin = separate.state / "twin"
    twin.mkdir(mode=0o711)
    subprocess.run(["cp", "-a", separate.state / "host", twin / "host"], check=True)
    separate.begin("twin", "host", STATE_DIR=str(twin))
    separate.said("twin", "another_agent_has_this_identity")
    separate.deploy("arena")
    number = separate.start("arena")["session_id"]
    assert separate.folder(number).exists() and not (twin / "host" / "sessions" / str(number)).exists()


@pytest.mark.parametrize("service", ["processor", "api"])
@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("RABBITMQ_URL", lambda url: url.replace("guest:guest@", "guest:wrong@")),
        ("RABBITMQ_URL", lambda url: url.rpartition("/")[0] + "/nowhere"),
        ("DATABASE_URL", lambda url: url.replace("@", "wrong@", 1)),
        ("DATABASE_URL", lambda url: url.rpartition("/")[0] + "/nowhere"),
    ],
    ids=["broker-password", "broker-vhost", "database-password", "database-name"],
)
def test_wrong_credentials_are_one_line_that_names_the_setting_and_exit_6(
    service: str, setting: str, wrong: object, database_url: str, rabbitmq_url: str, roomy: object
) -> None:
    given = {"DATABASE_URL": database_url, "RABBITMQ_URL": rabbitmq_url}
    assert callable(wrong)
    broken = given | {setting: wrong(given[setting])}
    assert broken != given
    done = subprocess.run(
        [*MANMAN, service],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(roomy),
            "HTTP_PORT": str(free_port()),
            "GRPC_PORT": str(free_port()),
            "HEALTH_CHECK_PORT": "0",
            **broken,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    said = done.stderr.strip().splitlines()
    (line,) = [one for one in said if one.startswith("manman: ")]
    assert setting in line and "wrong" not in line
    assert "Traceback" not in done.stderr + done.stdout
