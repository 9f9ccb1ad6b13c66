"""What somebody sees who has never been here: `manman up`, a real game, the address that a friend joins at."""

import os
import re
import shutil
import socket
from datetime import timedelta

import pytest
from harness.installations import Up

from manman.host import queries

pytestmark = pytest.mark.timeout(400)
DEADLINE = timedelta(seconds=5)
JOIN = re.compile(r"^ +(\S+) +runs\. Join: ([\d.]+):(\d+)/(\w+)", re.MULTILINE)


async def test_the_first_call_ends_in_a_teeworlds_that_answers_at_the_printed_address(fresh_up: Up) -> None:
    printed = fresh_up.up(game="teeworlds")
    found = JOIN.search(printed)
    assert found is not None, printed
    assert found[1] == "teeworlds" and found[4] == "udp"
    answer = await queries.ask("teeworlds", found[2], int(found[3]), timeout=DEADLINE, chance=os.urandom)
    assert answer is not None and answer.name == "Teeworlds by ManMan"
    for step in ("new → pending", "pending → starting", "starting → running"):
        assert re.search(rf"\d\d:\d\d:\d\d  teeworlds  session \d+  {step}", printed), printed
    assert re.search(r"sign in    http://127\.0\.0\.1:\d+/login#mma_\S+", printed)


async def test_without_apt_the_demo_game_runs_and_one_line_says_why(fresh_up: Up) -> None:
    tools = fresh_up.state / "bin"
    tools.mkdir(mode=0o755)
    (tools / "sh").symlink_to(str(shutil.which("sh")))
    fresh_up.env["PATH"] = str(tools)
    printed = fresh_up.up(game="teeworlds")
    (reason,) = re.findall(r"^  teeworlds is not possible here: (.+)$", printed, re.MULTILINE)
    assert "no apt-get" in reason
    found = next(one for one in JOIN.finditer(printed) if one[4] == "tcp")
    assert found[1] == "demo"
    with socket.create_connection((found[2], int(found[3])), timeout=30) as guest:
        assert guest.recv(4096)


def test_taken_ports_are_named_and_the_next_free_ones_serve(fresh_up: Up) -> None:
    with (
        socket.create_server(("127.0.0.1", fresh_up.http_port)),
        socket.create_server(("127.0.0.1", fresh_up.grpc_port)),
    ):
        printed = fresh_up.up()
    assert re.search(rf"port {fresh_up.http_port} is taken; the panel is on \d+ \(set HTTP_PORT to choose\)", printed)
    assert re.search(rf"port {fresh_up.grpc_port} is taken; gRPC is on \d+ \(set GRPC_PORT to choose\)", printed)
    assert fresh_up.json("hosts", "list")[0]["status"] in ("online", "offline")


def test_detached_it_runs_on_and_down_ends_it(fresh_up: Up) -> None:
    printed = fresh_up.manman("up", "--detach", "--game", "")
    assert "\nReady." in printed and "end it with: manman down" in printed
    fresh_up.host_is_online()
    assert fresh_up.manman("down") == "ManMan is down; its games run on.\n"
    assert fresh_up.run("sessions", "list").returncode == 6
