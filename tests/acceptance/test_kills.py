"""What is killed comes back and tells the truth: agent, panel, and everything but the host."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator

import pytest
from acceptance.conftest import place
from harness.installations import PATIENCE, Separate, Up
from harness.postgres import Postgres
from harness.processes import stop
from harness.rabbitmq import RabbitMQ
from harness.wrapped import lives, until

pytestmark = pytest.mark.timeout(500)
BACKOFF, ALLOWED = 5.0, 10.0


def numbers(printed: str) -> list[int]:
    """The line numbers that `sessions logs` printed."""
    return [int(found) for found in re.findall(r"^ *(\d+) ", printed, re.MULTILINE)]


def test_an_exit_that_no_agent_saw_is_told_with_its_code(separate: Separate) -> None:
    separate.deploy("arena")
    number = separate.start("arena")["session_id"]
    game = separate.game(number)
    separate.kill("host")
    separate.wrapper(number, "input", id="by-hand", line="crash 7")
    until(lambda: not lives(game))
    separate.begin_host()
    crashed = separate.becomes(number, "crashed")
    assert (crashed["exit_code"], crashed["signal"], crashed["reason"]) == (7, None, "exited")
    assert separate.follower(crashed)["previous_session_id"] == number


def test_a_game_survives_the_panel_and_is_adopted_with_every_line_once(fresh_up: Up) -> None:
    fresh_up.up()
    fresh_up.host_is_online()
    fresh_up.deploy("arena")
    number = fresh_up.start("arena")["session_id"]
    game = fresh_up.game(number)
    fresh_up.manman("sessions", "send", "arena", "flood 300")
    until(lambda: "flood 300 of 300" in fresh_up.manman("sessions", "logs", str(number)))

    fresh_up.kill("up")
    assert lives(game)
    fresh_up.wrapper(number, "input", id="by-hand", line="say nobody listens")
    printed = fresh_up.up()
    assert "arena  runs. Join: 127.0.0.1:" in printed
    assert fresh_up.game(number) == game and fresh_up.session(number)["status"] == "running"

    fresh_up.manman("sessions", "send", "arena", "say somebody listens")
    until(lambda: "somebody listens" in fresh_up.manman("sessions", "logs", str(number)))
    lines = fresh_up.manman("sessions", "logs", str(number), "--from", "1")
    assert "nobody listens" in lines
    assert numbers(lines) == list(range(1, len(numbers(lines)) + 1))
    assert len(numbers(lines)) > 300
    assert [row["to"] for row in fresh_up.history(number)] == ["pending", "starting", "running"]


def test_down_leaves_the_games_and_down_with_games_ends_them_in_order(fresh_up: Up) -> None:
    fresh_up.up()
    fresh_up.host_is_online()
    fresh_up.deploy("arena")
    number = fresh_up.start("arena")["session_id"]
    game = fresh_up.game(number)
    assert fresh_up.manman("down") == "ManMan is down; its games run on.\n"
    assert "Stopping the panel; 1 game runs on." in fresh_up.log("up").read_text()
    assert fresh_up.children.pop("up").wait() == 0
    assert lives(game)

    fresh_up.up()
    assert fresh_up.manman("down", "--games") == "ManMan is down; its games are stopped.\n"
    assert fresh_up.children.pop("up").wait() == 0
    assert not lives(game)

    # Its wish was left alone, so it begins again with the next `manman up`.
    fresh_up.up()
    ended = fresh_up.becomes(number, "stopped")
    assert fresh_up.follower(ended)["cause"] == "host_boot"


@pytest.fixture
def alone(own_postgres: Postgres) -> Iterator[tuple[Separate, Postgres, RabbitMQ]]:
    """An installation whose database and broker may be stopped too."""
    folder = place()
    broker = RabbitMQ(folder / "broker", management=True)
    installation = Separate(
        folder / "state", database=own_postgres.url("postgres"), broker="", broker_admin=broker.admin_url
    )
    try:
        broker.start()
        installation.use_broker(broker.add_vhost("games"))
        installation.install()
        yield installation, own_postgres, broker
    finally:
        installation.leave_nothing()
        broker.stop()


def test_with_everything_down_but_the_host_a_crashed_game_comes_back_and_the_history_is_whole(
    alone: tuple[Separate, Postgres, RabbitMQ],
) -> None:
    installation, database, broker = alone
    port = installation.deploy("arena")
    number = installation.start("arena")["session_id"]
    installation.end("api")
    installation.end("processor")
    broker.stop()
    database.stop()

    before = set(os.listdir(installation.state / "host" / "sessions"))
    installation.kill_game(number)
    killed = time.monotonic()
    (after,) = until(lambda: set(os.listdir(installation.state / "host" / "sessions")) - before, PATIENCE)
    until(lambda: installation.runs(int(after)), PATIENCE)
    print(f"back after {time.monotonic() - killed:.1f} s, allowed are {BACKOFF + ALLOWED} s on an idle machine")

    database.start()
    broker.start()
    installation.begin_api()
    installation.begin_processor()
    crashed = installation.becomes(number, "crashed")
    assert (crashed["signal"], crashed["reason"]) == (9, "signalled")
    follower = installation.follower(crashed)
    assert follower["session_id"] == int(after)
    assert [e["port"] for e in follower["endpoints"] if e["name"] == "game"] == [port]
    for session, steps in ((number, 4), (int(after), 3)):
        assert [row["number"] for row in installation.history(session)] == list(range(1, steps + 1))
    assert [row["to"] for row in installation.history(number)] == ["pending", "starting", "running", "crashed"]
    assert [row["to"] for row in installation.history(int(after))] == ["pending", "starting", "running"]
    assert installation.json("events", "dead", "list") == []


def test_a_ten_line_publisher_of_plain_bodies_is_understood(separate: Separate) -> None:
    """Flat JSON without any header, as a script would publish it through the management API."""
    separate.deploy("arena")
    number = separate.start("arena")["session_id"]
    separate.publish("status.session.crashed", {"session_id": number, "status": "crashed", "exit_code": 3})
    separate.publish("status.session.nonsense", {"session_id": number})
    separate.publish("status.session.running", {"session_id": 987654, "status": "running"})
    crashed = separate.becomes(number, "crashed")
    assert crashed["exit_code"] == 3
    letters = until(lambda: len(found := separate.json("events", "dead", "list")) >= 2 and found, PATIENCE)
    assert {letter["key"] for letter in letters} == {"status.session.nonsense", "status.session.running"}
    assert all(letter["reason"] for letter in letters)


def test_ctrl_c_stops_the_panel_and_says_how_many_games_run_on(fresh_up: Up) -> None:
    fresh_up.up()
    fresh_up.host_is_online()
    fresh_up.deploy("arena")
    number = fresh_up.start("arena")["session_id"]
    game = fresh_up.game(number)
    child = fresh_up.children.pop("up")
    stop(child, signal.SIGINT)
    assert child.returncode == 0
    assert fresh_up.log("up").read_text().rstrip().endswith("Stopping the panel; 1 game runs on.")
    assert lives(game)
    assert json.loads((fresh_up.state / "host" / "sessions" / str(number) / "label.json").read_text())
