"""The demo game as a program: two people with telnet, a server browser, a console; under a real wrapper and without."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from harness.wrapped import PATIENCE, Wrapped, lives, until

import manman.demo

FOLDER = str(Path(manman.demo.__file__).parent)
BY_FOLDER = [sys.executable, "-I", "-S", "-B", FOLDER, "--port", "0"]
READY = {"kind": "line", "pattern": r": Ready on "}
QUERY = b"\xff\xff\xff\xffTSource Engine Query\0"


class Telnet:
    """Somebody with a telnet client."""

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._file: TextIO = self._socket.makefile("r", encoding="utf-8", newline="\r\n")
        self.type(name)

    def type(self, line: str) -> None:
        self._socket.sendall(f"{line}\r\n".encode())

    def read(self, text: str) -> str:
        """The next line that contains `text`."""
        for line in self._file:
            if text in line:
                return line.strip()
        raise AssertionError(f"the game hung up before {text!r}")

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Playing:
    """A wrapped demo game, and where it plays."""

    def __init__(self, wrapped: Wrapped) -> None:
        self.wrapped = wrapped
        host, _, port = wrapped.line("Ready on").rpartition(" ")[2].rpartition(":")
        self.address = (host, int(port))

    def console(self, line: str) -> None:
        assert self.wrapped.ask("input", line=line)["ok"]

    def query(self, request: bytes) -> bytes:
        """A2S with its handshake, as a server browser does it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as browser:
            browser.settimeout(PATIENCE)
            browser.sendto(request, self.address)
            said = browser.recv(4096)
            assert said[:5] == b"\xff\xff\xff\xffA"
            browser.sendto(request.removesuffix(b"\xff" * 4 if request[4:5] == b"U" else b"") + said[5:9], self.address)
            return browser.recv(4096)


@pytest.fixture
def playing(tmp_path: Path) -> Iterator[Playing]:
    save = str(tmp_path / "scores.json")
    stop = {"command": "stop", "grace": 30}
    argv = [*BY_FOLDER, "--name", "The pit", "--save-file", save]
    with Wrapped(tmp_path, argv, readiness=READY, stop=stop) as wrapped:
        yield Playing(wrapped)


def test_two_people_with_telnet_see_each_other_and_the_console_sees_both(playing: Playing) -> None:
    alice = Telnet(playing.address, "alice")
    alice.read("Welcome, alice")
    bob = Telnet(playing.address, "bob")
    bob.read("Welcome, bob")
    assert alice.read("joined") == "bob joined the arena."
    bob.type("say good evening")
    assert alice.read("evening") == "bob: good evening"
    alice.type("north")
    assert bob.read("goes") == "alice goes north."
    playing.console("say five minutes left")
    assert bob.read("minutes") == alice.read("minutes") == "*** five minutes left"
    playing.console("players")
    playing.wrapped.line("2 of 16: alice in the sand (10/10, 0 won), bob in the gate")
    bob.type("quit")
    bob.read("Farewell")
    assert alice.read("left") == "bob left the arena."
    assert [line for line in playing.wrapped.lines() if "bob" in line][:2] == [
        "bob joined the arena.",
        "bob: good evening",
    ]
    alice.close()
    playing.wrapped.line("alice left the arena.")
    bob.close()


def test_a_taken_name_is_asked_for_again_and_telnets_own_bytes_are_no_text(playing: Playing) -> None:
    alice = Telnet(playing.address, "alice")
    alice.read("Welcome")
    second = Telnet(playing.address, "ALICE")
    second.read("is here already")
    second._socket.sendall(b"\xff\xfd\x01\xff\xfa\x18\x00x\xff\xf0ca\x1brol\r\n")
    second.read("Welcome, carol")
    alice.close()
    second.close()


def test_a_server_browser_is_told_name_and_players(playing: Playing) -> None:
    alice = Telnet(playing.address, "alice")
    alice.read("Welcome")
    info = playing.query(QUERY)
    assert info.startswith(b"\xff\xff\xff\xffI\x11The pit\0arena\0manman-demo\0Text arena\0")
    numbers = info.split(b"\0", 4)[4]
    assert numbers[2:5] == bytes((1, 16, 0)), "players, most, bots"
    assert struct.unpack("<H", info[-2:])[0] == playing.address[1]
    players = playing.query(b"\xff\xff\xff\xffU" + b"\xff" * 4)
    assert players.startswith(b"\xff\xff\xff\xffD\x01\x00alice\0")
    alice.close()


def test_stop_on_the_console_saves_and_ends_in_order_and_the_scores_come_back(playing: Playing, tmp_path: Path) -> None:
    alice = Telnet(playing.address, "alice")
    alice.read("Welcome")
    playing.console("save")
    playing.wrapped.line("Saved 1 scores")
    playing.wrapped.ask("stop")
    alice.read("The arena closes")
    assert playing.wrapped.verdict() == ("stopped", "exited", 0, None)
    save = tmp_path / "scores.json"
    assert json.loads(save.read_text()) == {"scores": {"alice": 0}}
    save.write_text('{"scores": {"zoe": 5}}')
    done = subprocess.run([*BY_FOLDER, "--save-file", str(save)], input="save\nstop\n", capture_output=True, text=True)
    assert done.returncode == 0
    assert "Saved 1 scores" in done.stdout
    alice.close()


def test_sigterm_saves_and_ends_with_0(playing: Playing, tmp_path: Path) -> None:
    assert playing.wrapped.game is not None
    playing.wrapped.state("running")
    os.kill(playing.wrapped.game, signal.SIGTERM)
    assert playing.wrapped.verdict() == ("stopped", "exited", 0, None)
    assert (tmp_path / "scores.json").exists()


@pytest.mark.parametrize(
    ("how", "verdict"),
    [("7", ("crashed", "exited", 7, None)), ("SIGSEGV", ("crashed", "signalled", 139, 11))],
)
def test_it_crashes_as_it_is_told(playing: Playing, how: str, verdict: tuple[object, ...]) -> None:
    playing.wrapped.state("running")
    playing.console(f"crash {how}")
    assert playing.wrapped.verdict() == verdict
    assert playing.wrapped.lines()[-1] == f"Crashing: {how}"


def test_hanging_it_is_deaf_until_it_is_killed(playing: Playing) -> None:
    playing.console("hang")
    playing.wrapped.line("Hanging")
    assert playing.wrapped.game is not None
    os.kill(playing.wrapped.game, signal.SIGTERM)
    playing.wrapped.ask("stop", grace=0.5)
    assert playing.wrapped.verdict() == ("stopped", "killed", 137, 9)


def test_it_floods_and_every_line_arrives(playing: Playing) -> None:
    playing.console("flood 20000")
    playing.wrapped.line("flood 20000 of 20000")
    flood = [line for line in playing.wrapped.lines() if line.startswith("flood")]
    assert flood == [f"flood {number} of 20000" for number in range(1, 20001)]


def test_the_child_that_it_leaves_behind_is_ended_with_its_session(playing: Playing) -> None:
    playing.console("orphan")
    child = int(playing.wrapped.line("Left a child behind").rpartition(" ")[2])
    assert lives(child)
    playing.console("stop")
    playing.wrapped.exit()
    until(lambda: not lives(child))


def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "manman.demo", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_without_any_input_it_plays_on(tmp_path: Path) -> None:
    with subprocess.Popen(BY_FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as game:
        assert game.stdout is not None
        port = int(game.stdout.readline().rpartition(":")[2])
        alice = Telnet(("127.0.0.1", port), "alice")
        alice.read("Welcome")
        alice.close()
        game.terminate()
        assert game.wait(PATIENCE) == 0
