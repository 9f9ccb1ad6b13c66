"""The ready-made games: each is one that the rules accept and that can be run as it is, and consoles on a port."""

import asyncio
import re

import msgspec
import pytest

from manman.api import catalogue, configs, fitting, launching
from manman.domain import launches
from manman.domain.launches import Placed
from manman.host import consoles
from manman.v1.types import ConsoleSpec, GameConfigSpec, Launch, LaunchPort, Parameter

ENTRIES = sorted(catalogue.entries())


def chance(count: int) -> bytes:
    return bytes(range(1, count + 1))


def spec_of(entry: str) -> GameConfigSpec:
    return msgspec.convert(configs.checked(catalogue.entries()[entry].spec), type=GameConfigSpec)


def launch_of(entry: str) -> Launch:
    spec = spec_of(entry)
    ports = [LaunchPort(name=p.name, protocol=p.protocol, address="0.0.0.0", port=p.default or 1) for p in spec.ports]
    values = fitting.with_console_password(spec, {}, chance)
    secret = {p.name for p in spec.parameters if p.type == "secret"}
    placed = Placed(
        deployment_id=1,
        name="home",
        version=1,
        ports=ports,
        values={n: v for n, v in values.items() if n not in secret},
        secrets={n: v for n, v in values.items() if n in secret},
    )
    return launching.rendered(spec, placed)


def test_there_are_the_demo_and_at_least_three_real_games() -> None:
    assert {"demo", "teeworlds", "openttd", "minetest", "bzflag"} <= set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_runs_without_a_value_given_and_nothing_is_left_to_replace(entry: str) -> None:
    launch = launch_of(entry)
    texts = [*launch.argv, *launch.env.values(), *(file.content for file in launch.files)]
    assert not [text for text in texts if launches.VARIABLE.search(text)]
    assert launch.readiness is not None and launch.readiness.kind in ("query", "line")
    assert launch.query is not None and launch.stop is not None and launch.restart is not None
    assert launch.restart.policy == "on_crash"


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_has_a_console_with_commands_or_says_that_it_has_none(entry: str) -> None:
    spec = spec_of(entry)
    assert spec.console is not None
    assert bool(spec.actions) == (spec.console.kind != "none")


def test_no_game_is_listed_publicly_unless_asked() -> None:
    files = {entry: "".join(file.content for file in launch_of(entry).files) for entry in ENTRIES}
    assert "sv_register 0" in files["teeworlds"]
    assert "server_game_type = local" in files["openttd"]
    assert "server_announce = false" in files["minetest"]
    assert "-public" not in launch_of("bzflag").argv


def test_the_password_of_a_console_is_made_up_for_the_host_and_masked_for_people() -> None:
    launch = launch_of("teeworlds")
    assert launch.console is not None and launch.console.password == chance(12).hex()
    shown = launching.masked(launch, spec_of("teeworlds"))
    assert chance(12).hex() not in msgspec.json.encode(shown).decode()
    short = launching.masked(msgspec.structs.replace(launch, argv=["run", "--pin=42"]), spec_of("teeworlds"), ["42"])
    assert short.argv == ["run", "--pin=********"]
    given = fitting.with_console_password(spec_of("teeworlds"), {"CONSOLE_PASSWORD": "chosen12"}, chance)
    assert given["CONSOLE_PASSWORD"] == "chosen12"


@pytest.mark.parametrize(
    ("console", "wrong"),
    [
        (ConsoleSpec(kind="telnet"), "/console/kind"),
        (ConsoleSpec(kind="tcp", port="nowhere", password="WORD"), "/console/port"),
        (ConsoleSpec(kind="tcp", port="game", password="NAME"), "/console/password"),
    ],
)
def test_a_console_that_cannot_be_reached_is_a_fault_of_its_config(console: ConsoleSpec, wrong: str) -> None:
    spec = msgspec.structs.replace(
        spec_of("demo"), console=console, parameters=[Parameter(name="NAME"), Parameter(name="WORD", type="secret")]
    )
    assert [fault.pointer for fault in launches.spec_faults(spec)] == [wrong]


class Game:
    """A console as Teeworlds has it."""

    def __init__(self, password: str) -> None:
        self.password, self.heard = password, list[str]()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Enter password:\n\0\0")
        if (await reader.readline()).decode().strip() != self.password:
            writer.write(b"Wrong password 1/3.\n\0\0")
        else:
            writer.write(b"Authentication successful. External console access granted.\n\0\0")
            self.heard.append((await reader.readline()).decode())
        writer.close()


@pytest.mark.parametrize(
    ("password", "heard", "problem"), [("right", ["say hi[2J\n"], None), ("wrong", [], "refuses: Wrong password")]
)
async def test_a_line_goes_to_the_port_of_a_console_after_its_password(
    password: str, heard: list[str], problem: str | None
) -> None:
    game = Game("right")
    async with await asyncio.start_server(game.talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        launch = Launch(
            console=ConsoleSpec(kind="tcp", port="console", password=password),
            ports=[LaunchPort(name="console", protocol="tcp", address="0.0.0.0", port=port)],
        )
        said = await consoles.type_line(launch, "say hi\x1b[2J")
    assert game.heard == heard
    assert said is None if problem is None else said is not None and re.search(problem, said)
    if problem is None:
        refused = await consoles.type_line(launch, "say again")
        assert refused is not None and "does not answer" in refused
