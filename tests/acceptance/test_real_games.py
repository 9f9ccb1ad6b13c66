"""Real games from Debian's packages, as the catalogue has them: from the install to the restart after a `kill -9`."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from harness.installations import PATIENCE, Up
from harness.wrapped import until

from manman.host import queries

pytestmark = pytest.mark.timeout(500)
DEADLINE = timedelta(seconds=5)


@dataclass(frozen=True)
class Game:
    """A game of the catalogue: a console command, and what its console then says."""

    name: str
    protocol: str
    command: str
    echo: str


GAMES = [
    Game("teeworlds", "teeworlds", "say good evening", "*** good evening"),
    Game("openttd", "openttd", "server_info", "Current/maximum clients:"),
    Game("minetest", "minetest", "/time 6000", "Time of day changed."),
]


async def answer(game: Game, port: int) -> queries.Answer | None:
    """What the game says by its own protocol at the address that players use."""
    return await queries.ask(game.protocol, "127.0.0.1", port, timeout=DEADLINE, chance=lambda n: bytes(range(n)))


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.name)
async def test_a_real_game_runs_obeys_stops_and_comes_back_after_a_kill(up: Up, game: Game) -> None:
    port = up.deploy(game.name, game.name)
    assert up.deployment(game.name)["status"] == "ready"
    session = up.start(game.name)
    number = session["session_id"]
    joined = next(e for e in session["endpoints"] if e["name"] == "game")
    assert (joined["address"], joined["port"]) == ("127.0.0.1", port)
    assert await answer(game, port) is not None

    up.manman("sessions", "send", game.name, game.command)
    until(lambda: game.echo in up.manman("sessions", "logs", str(number)), PATIENCE)

    up.kill_game(number)
    crashed = up.becomes(number, "crashed")
    assert (crashed["signal"], crashed["exit_code"], crashed["reason"]) == (9, 137, "signalled")
    after = up.follower(crashed)
    assert after["cause"] == "restart_policy"
    assert await answer(game, port) is not None

    stopped = up.json("sessions", "stop", game.name, "--wait")
    assert (stopped["session_id"], stopped["status"]) == (after["session_id"], "stopped")
    assert isinstance(stopped["exit_code"], int)
    assert [row["to"] for row in up.history(after["session_id"])][-2:] == ["stopping", "stopped"]
    assert await answer(game, port) is None


async def test_a_real_game_without_a_console_runs_says_so_and_stops(up: Up) -> None:
    port = up.deploy("bzflag", "bzflag")
    up.start("bzflag")
    assert await answer(Game("bzflag", "bzflag", "", ""), port) is not None
    said = up.manman("sessions", "send", "bzflag", "anything", code=4)
    assert said == "manman: the game of deployment bzflag has no console\n"
    assert up.json("sessions", "stop", "bzflag", "--wait")["status"] == "stopped"


def test_the_password_of_a_console_is_made_up_and_never_shown(up: Up) -> None:
    up.deploy("tees", "teeworlds")
    shown = up.get(f"/v1/deployments/{up.deployment('tees')['deployment_id']}/launch")
    assert shown["console"] == {"kind": "tcp", "port": "console", "password": "********"}
    config = next(file["content"] for file in shown["files"] if file["path"] == "server.cfg")
    assert "ec_password ********\n" in config
    assert [e["name"] for e in up.deployment("tees")["endpoints"]] == ["game"]
