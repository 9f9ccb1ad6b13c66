"""The console and the socket of real wrappers: readiness, input, floods, long lines, full disks, clients that misbehave."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness.wrapped import PATIENCE, PYTHON, Wrapped, until

from manman.wrapper import pipe, spool_reader
from manman.wrapper.spool import GOES_ON, LINE

UP = {"kind": "line", "pattern": "^up$"}
ECHO = "print('up')\nwhile True:\n    print('read', repr(input()))"
SILENT = "import time\nprint('up')\ntime.sleep(600)"
BINDS = """
import socket, sys, time
kind, family, port = sys.argv[1:]
game = socket.socket(getattr(socket, family), getattr(socket, kind))
print('not yet'); input()
game.bind(('', int(port)))
if kind == 'SOCK_STREAM':
    game.listen()
print('bound'); time.sleep(600)
"""


def test_a_line_makes_it_running(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, "print('loading')\ninput()\nprint('Done (3.2s)!')\ninput()"]) as it:
        assert it.state("running")["assumed"] is False, "without readiness it runs at once"
    (tmp_path / "session").rename(tmp_path / "before")
    game = "print('loading')\ninput()\nprint('Done (3.2s)!')\ninput()"
    with Wrapped(tmp_path, [*PYTHON, game], readiness={"kind": "line", "pattern": r"Done \(\d"}) as it:
        it.line("loading")
        assert it.ask("status")["status"]["state"] == "starting"
        it.ask("input", line="go")
        it.state("running")
        assert it.words() == ["starting", "running"]


def test_a_line_is_recognised_under_its_colours(tmp_path: Path) -> None:
    game = "print('\\x1b[32mserver \\x1b[1mready\\x1b[0m')\ninput()"
    with Wrapped(tmp_path, [*PYTHON, game], readiness={"kind": "line", "pattern": "^server ready$"}) as it:
        it.state("running")


@pytest.mark.parametrize(
    ("kind", "family", "protocol"),
    [("SOCK_STREAM", "AF_INET", "tcp"), ("SOCK_STREAM", "AF_INET6", "tcp"), ("SOCK_DGRAM", "AF_INET", "udp")],
)
def test_a_port_makes_it_running_though_nobody_connects(tmp_path: Path, kind: str, family: str, protocol: str) -> None:
    with socket.socket(socket.AF_INET, getattr(socket, kind)) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    readiness = {"kind": "port", "port": port, "protocol": protocol}
    with Wrapped(tmp_path, [*PYTHON, BINDS, kind, family, str(port)], readiness=readiness) as it:
        it.line("not yet")
        assert it.words() == ["starting"]
        it.ask("input", line="go")
        it.state("running")
        assert "bound" in it.lines()


def test_a_port_that_somebody_else_holds_does_not_count(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        readiness = {"kind": "port", "port": other.getsockname()[1], "timeout": 1}
        with Wrapped(tmp_path, [*PYTHON, SILENT], readiness=readiness) as it:
            assert it.verdict()[:2] == ("crashed", "start_timeout")


def test_a_query_that_the_agent_saw_answered_makes_it_running(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, SILENT], readiness={"kind": "query"}) as it:
        it.line("up")
        assert it.words() == ["starting"]
        assert it.ask("ready")["ok"]
        it.state("running")


def test_ready_is_refused_where_no_query_decides(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, SILENT], readiness={"kind": "line", "pattern": "never"}) as it:
        assert it.ask("ready")["code"] == "invalid_argument"
        assert it.words() == ["starting"]


def test_repeated_input_is_typed_once_and_nothing_is_echoed(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it:
        it.state("running")
        with it.client() as client:
            assert client.ask("input", id="a", line="one") == {"t": "reply", "ok": True, "duplicate": False, "id": "a"}
            assert client.ask("input", id="a", line="one")["duplicate"] is True
            assert client.ask("input", id="b", line="two")["duplicate"] is False
        assert it.ask("input", id="a", line="one")["duplicate"] is True, "over another connection too"
        it.ask("input", line="end")
        it.line("'end'")
        assert it.lines() == ["up", "read 'one'", "read 'two'", "read 'end'"]


def test_the_last_256_ids_are_remembered(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it, it.client() as client:
        for number in range(257):
            assert client.ask("input", id=str(number), line="x")["duplicate"] is False
        assert client.ask("input", id="1", line="x")["duplicate"] is True
        assert client.ask("input", id="0", line="x")["duplicate"] is False


def test_control_characters_are_stripped_so_that_one_line_stays_one(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it:
        it.ask("input", line="say \x1b[31mhi\x03\x04\nstop\r\x7f\u0085 höhe")
        assert it.line("hi") == "read 'say [31mhistop höhe'"


def test_a_line_of_4095_bytes_arrives_whole_and_a_longer_one_is_refused(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, "print('up')\nwhile True: print(len(input()))"], readiness=UP) as it:
        it.state("running")
        assert it.ask("input", line="x" * 4095)["ok"]
        it.line("4095")
        assert it.ask("input", line="x" * 4096)["code"] == "invalid_argument"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_game_that_does_not_read_fills_64_kib_and_then_input_is_refused(tmp_path: Path, terminal: bool) -> None:
    with Wrapped(tmp_path, [*PYTHON, SILENT], readiness=UP, terminal=terminal) as it, it.client() as client:
        replies = [client.ask("input", id=str(number), line="x" * 1023) for number in range(400)]
        assert replies[60]["ok"]
        assert replies[-1]["code"] == "input_full"
        waiting = client.ask("status")["status"]["input_waiting"]
        assert 63 * 1024 <= waiting <= 64 * 1024
        assert client.ask("kill")["ok"], "the console being full blocks nothing else"
        assert it.verdict()[:2] == ("stopped", "killed")


def test_with_a_terminal_it_is_one_and_without_stderr_is_told_apart(tmp_path: Path) -> None:
    game = "import sys; print(sys.stdin.isatty(), sys.stdout.isatty()); print('wrong', file=sys.stderr)"
    with Wrapped(tmp_path, [*PYTHON, game]) as it:
        it.exit()
        assert it.lines() == ["True True", "wrong"]
    (tmp_path / "session").rename(tmp_path / "before")
    with Wrapped(tmp_path, [*PYTHON, game], terminal=False) as it:
        it.exit()
        streams = {record.text: record.stream for record in it.records() if record.kind == LINE}
        assert streams == {"False False": "out", "wrong": "err"}


def test_a_line_longer_than_64_kib_is_split_and_the_pieces_say_so(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, "print('a' * 200_000); print('b')"]) as it:
        it.exit()
        lines = [record for record in it.records() if record.kind == LINE]
        assert "".join(record.text for record in lines[:-1]) == "a" * 200_000
        assert [bool(record.flags & GOES_ON) for record in lines] == [True] * (len(lines) - 2) + [False, False]
        assert max(len(record.text) for record in lines) == 64 * 1024
        assert lines[-1].text == "b"


def test_a_prompt_without_a_newline_is_shown(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, "answer = input('EULA? [y/n] ')\nprint('so', answer)\ninput()"]) as it:
        it.line("EULA? [y/n] ")
        it.ask("input", line="y")
        it.line("so y")


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    game = "import sys; sys.stdout.buffer.write(bytes(range(256)) + b'\\nend\\n')"
    with Wrapped(tmp_path, [*PYTHON, game]) as it:
        it.exit()
        assert it.lines()[-1] == "end"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_flood_blocks_nobody_and_every_line_keeps_its_number(tmp_path: Path, terminal: bool) -> None:
    flood = "print('up')\nfor n in range(1, 300_001): print('flood', n)\nprint('over')\nimport time; time.sleep(600)"
    with Wrapped(tmp_path, [*PYTHON[:4], "-c", flood], readiness=UP, terminal=terminal, stop={"grace": 1}) as it:
        with it.client() as client:
            while (status := client.ask("status")["status"])["lines"] < 300_002:
                assert status["exit"] is None
        records = [record for record in it.records() if record.kind == LINE]
        assert list(spool_reader.gaps(records, 0)) == []
        assert [record.text for record in records[1:-1]] == [f"flood {n}" for n in range(1, 300_001)]


def test_samples_tell_cpu_seconds_memory_and_processes(tmp_path: Path) -> None:
    busy = (
        "import time\nfood = bytearray(30_000_000)\nwhile time.process_time() < 0.5: pass\nprint('up'); time.sleep(600)"
    )
    with Wrapped(tmp_path, [*PYTHON, busy]) as it:
        it.line("up")
        sample = until(lambda: next((each for each in it.samples() if each["cpu_seconds"] >= 0.4), None))
        assert sample["rss_bytes"] > 30_000_000
        assert sample["processes"] == 1


def test_states_are_said_to_everybody_who_is_connected(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness={"kind": "query"}) as it, it.client() as one, it.client() as two:
        assert one.hello["versions"] == [1, 1]
        assert (one.hello["session"], one.hello["wrapper"]) == ("s1", it.pid)
        two.ask("ready")
        one.ask("stop")
        for client in (one, two):
            said = [client.next() for _ in range(4)]
            assert [each.get("state", each["t"]) for each in said] == ["running", "stopping", "ended", "exit"]
            with pytest.raises(EOFError):
                client.next()


def test_a_client_that_sends_garbage_or_never_reads_harms_nobody(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it, it.client() as good:
        with it.client() as mute:
            mute._socket.settimeout(0.2)
            with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
                while True:
                    mute.send("status")
        for garbage in (b"\x00\xff\n", b"[1]\n", b"x" * 300_000, b"[" * 100_000 + b"\n"):
            with pipe.connect(it.folder) as bad:
                try:
                    bad.sendall(garbage)
                    while bad.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass  # hung up on, which is the point
        for strange in ({"do": 5}, {"do": "input"}, {"do": "stop", "grace": "x"}, {"do": "stop", "why": "boredom"}, {}):
            assert good.ask(**{"do": None, **strange})["code"] == "invalid_argument"
        assert good.ask("status")["status"]["state"] == "running"


def test_the_socket_is_reached_in_a_folder_deeper_than_a_socket_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with Wrapped(deep, [*PYTHON, ECHO], cwd="/") as it, pipe.connect(it.folder) as connection:
        assert pipe.peer(connection).pid == it.pid


def test_a_link_or_a_file_in_place_of_folder_or_socket_is_refused(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO]) as it:
        (tmp_path / "link").symlink_to(it.folder)
        with pytest.raises(OSError, match="link"):
            pipe.connect(tmp_path / "link")
    (tmp_path / "s").write_text("")
    with pytest.raises(OSError, match="is no socket"):
        pipe.connect(tmp_path)


def test_on_a_full_disk_lines_are_lost_but_counted_and_the_exit_waits_for_room(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it, it.client() as client:
        it.state("running")
        room = resource.prlimit(it.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(it.pid, resource.RLIMIT_FSIZE, (0, room[1]))
        for number in range(10):
            client.ask("input", line=f"lost {number}")
        until(lambda: client.ask("status")["status"]["dropped"] == 10)
        client.ask("kill")
        while (said := client.next())["t"] != "exit":
            pass
        assert (said["outcome"], said["reason"]) == ("stopped", "killed"), "who is connected hears it all the same"
        assert spool_reader.exit_of(it.folder) is None
        assert it.alive
        resource.prlimit(it.pid, resource.RLIMIT_FSIZE, room)
        assert it.verdict() == ("stopped", "killed", 137, 9)
        assert list(spool_reader.gaps(it.records(), 0)) == [(2, 11)]


def test_an_acknowledged_exit_needs_no_disk(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, ECHO], readiness=UP) as it:
        it.state("running")
        resource.prlimit(it.pid, resource.RLIMIT_FSIZE, (0, resource.prlimit(it.pid, resource.RLIMIT_FSIZE)[1]))
        it.ask("kill")
        status = until(lambda: it.ask("status")["status"]["exit"])
        assert status["reason"] == "killed"
        it.ask("exit_ack")
        until(lambda: not it.alive)
        assert spool_reader.exit_of(it.folder) is None


def test_a_real_full_disk_corrupts_nothing(tmp_path: Path) -> None:
    """A filesystem of 256 KiB in namespaces of its own, filled by somebody else while the game prints."""
    script = Path(__file__).with_name("full_disk.py")
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    done = subprocess.run(
        [*unshare, sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "recovered"
