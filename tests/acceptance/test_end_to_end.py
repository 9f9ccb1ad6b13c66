"""The whole way, from the command line to a game that people join and back, on embedded parts and on real services."""

import json
import re
import socket
from datetime import timedelta
from typing import Any

import pytest
from harness.installations import PATIENCE, Installation
from harness.wrapped import until

from manman.host import queries

pytestmark = pytest.mark.timeout(400)
TICK = timedelta(seconds=5)


class Tail:
    """`manman events tail --json`, read while things happen."""

    def __init__(self, place: Installation, name: str) -> None:
        self._place, self._name = place, f"tail-{name}"
        self._filter = f"deployment_id = {place.deployment(name)['deployment_id']}"
        place.begin(self._name, "events", "tail", "--json", "--filter", self._filter)

    def events(self) -> list[Any]:
        return [json.loads(line) for line in self._place.log(self._name).read_text().splitlines() if line[:1] == "{"]

    def body(self, kind: str, session: int) -> Any:
        """Waits for the event of a session; its body."""

        def look() -> Any:
            return next((e["body"] for e in self.events() if e["type"] == kind and e["session_id"] == session), None)

        return until(look, PATIENCE)


async def asked(port: int) -> queries.Answer:
    """The game's answer to a Source query at the address that players use."""
    answer = await queries.ask("a2s", "127.0.0.1", port, timeout=TICK, chance=lambda n: bytes(n))
    assert answer is not None
    return answer


async def test_a_game_is_started_joined_told_stopped_and_every_step_is_written_down(installation: Installation) -> None:
    port = installation.deploy("arena")
    tail = Tail(installation, "arena")
    session = installation.start("arena")
    number = session["session_id"]

    (listed,) = [s for s in installation.json("sessions", "list") if s["session_id"] == number]
    assert {"session_id", "status", "host_id", "deployment_id", "endpoints"} <= listed.keys()
    assert listed["status"] == "running"
    game = next(e for e in listed["endpoints"] if e["name"] == "game")
    assert (game["protocol"], game["address"], game["port"]) == ("tcp", "127.0.0.1", port)
    assert game["join_url"] == f"telnet://127.0.0.1:{port}"

    assert (await asked(port)).players == 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as guest:
        guest.sendall(b"Ada\r\n")
        until(lambda: "Ada" in installation.manman("sessions", "logs", str(number)))
        assert (await asked(port)).players == 1
        installation.manman("sessions", "send", "arena", "say hello Ada")
        heard = b""
        while b"hello Ada" not in heard:
            heard += guest.recv(4096)

    stopped = installation.json("sessions", "stop", "arena", "--wait")
    assert (stopped["status"], stopped["exit_code"], stopped["reason"]) == ("stopped", 0, "exited")
    rows = installation.history(number)
    assert [row["to"] for row in rows] == ["pending", "starting", "running", "stopping", "stopped"]
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5]
    assert all(row["at"] and row["cause"] for row in rows)
    printed = installation.manman("sessions", "history", str(number))
    assert re.search(r"^5 +stopping +stopped +\d\d:\d\d:\d\d +\S", printed, re.MULTILINE)

    running, ended = tail.body("manman.session.running", number), tail.body("manman.session.stopped", number)
    assert (running["deployment"], running["game"], running["config"]) == ("arena", "demo", "arena")
    assert running["host"] and running["endpoints"][0]["port"] == port
    assert ended["previous_status"] == "stopping"


def test_a_killed_game_is_a_crash_with_its_last_lines_and_the_next_session_follows(installation: Installation) -> None:
    installation.deploy("victim")
    tail = Tail(installation, "victim")
    session = installation.start("victim")
    number = session["session_id"]
    installation.kill_game(number)

    crashed = installation.becomes(number, "crashed")
    assert (crashed["signal"], crashed["reason"]) == (9, "signalled")
    assert any("Ready on" in line for line in crashed["tail"])
    body = tail.body("manman.session.crashed", number)
    assert (body["signal"], body["reason"], body["deployment"]) == (9, "signalled", "victim")
    assert any("Ready on" in line for line in body["tail"])
    assert body["restart"]["attempt"] == 1

    after = installation.follower(crashed)
    assert after["previous_session_id"] == number
    assert (after["cause"], after["run"]) == ("restart_policy", session["run"] + 1)
    assert [row["to"] for row in installation.history(after["session_id"])] == ["pending", "starting", "running"]
    installation.manman("sessions", "stop", "victim", "--wait")


def test_restart_is_one_command_and_a_code_that_nobody_expected_is_a_crash(installation: Installation) -> None:
    installation.deploy("again")
    first = installation.start("again")
    second = installation.json("sessions", "restart", "again", "--wait")
    assert second["status"] == "running" and second["previous_session_id"] == first["session_id"]
    assert installation.session(first["session_id"])["status"] == "stopped"

    installation.manman("sessions", "send", "again", "crash 7")
    crashed = installation.becomes(second["session_id"], "crashed")
    assert (crashed["exit_code"], crashed["signal"], crashed["reason"]) == (7, None, "exited")
    # A stop on what is over still takes the wish back, and with it the restart that is due.
    installation.manman("sessions", "stop", "again")
    parked = until(
        lambda: (d := installation.deployment("again"))["seen_version"] == d["desired_version"] and d, PATIENCE
    )
    assert parked["desired"] == "stopped"
    assert installation.latest("again")["session_id"] == second["session_id"]
