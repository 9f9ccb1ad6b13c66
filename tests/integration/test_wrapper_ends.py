"""How sessions end, with real processes: exits, kills, stops, what is left behind, what could not begin."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness.wrapped import PYTHON, Wrapped, lives, until

from manman.wrapper import cgroup, launch, spool_reader
from manman.wrapper.spool import Spool

SLEEPER = ["sh", "-c", "echo up; exec sleep 600"]
POLITE = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: (print('saving'), sys.exit(0))); print('up'); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)"
DEAF_CHILD = DEAF.replace("print('up')", "print('up'); open('flag', 'w')")
WAIT = "until [ -e flag ]; do sleep 0.05; done; "
CONSOLE = "print('up')\nfor line in iter(input, 'stop'): print('read', line)\nprint('saved')"
UP = {"kind": "line", "pattern": "^up$"}


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_kill_9_of_the_game_is_a_crash_by_signal_9(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        it.line("up")
        assert it.game is not None
        os.kill(it.game, signal.SIGKILL)
        assert it.verdict() == ("crashed", "signalled", 137, 9)
        assert it.words() == ["starting", "running", "ended"]


def test_an_unexpected_exit_code_is_a_crash_with_that_code(tmp_path: Path) -> None:
    with Wrapped(tmp_path, shell("echo last words; exit 7")) as it:
        assert it.verdict() == ("crashed", "exited", 7, None)
        assert it.lines() == ["last words"]
        assert it.exit()["asked_by"] is None


def test_an_expected_exit_code_of_its_own_is_stopped(tmp_path: Path) -> None:
    with Wrapped(tmp_path, shell("exit 7"), expected_exit_codes=[0, 7]) as it:
        assert it.verdict() == ("stopped", "exited", 7, None)


def test_an_expected_exit_code_before_it_was_ready_is_a_crash(tmp_path: Path) -> None:
    with Wrapped(tmp_path, shell("exit 0"), readiness=UP) as it:
        assert it.verdict() == ("crashed", "exited", 0, None)
        assert it.words() == ["starting", "ended"]


def test_a_stop_by_signal_is_stopped_whatever_the_exit_code(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        it.line("up")
        assert it.ask("stop", id="a") == {"t": "reply", "ok": True, "id": "a"}
        assert it.verdict() == ("stopped", "signalled", 143, 15)
        assert it.words() == ["starting", "running", "stopping", "ended"]
        assert it.exit()["asked_by"] == "command"


def test_a_stop_by_console_command_is_typed_and_no_signal_is_sent(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, CONSOLE], readiness=UP, stop={"command": "stop", "grace": 60}) as it:
        it.state("running")
        it.ask("stop")
        assert it.verdict() == ("stopped", "exited", 0, None)
        assert it.lines() == ["up", "saved"]


def test_a_stop_by_command_and_signal_sends_both_in_order(tmp_path: Path) -> None:
    script = (
        "trap 'echo got the signal; exit 3' TERM; echo up; while :; do if read -r line; then echo read $line; fi; done"
    )
    stop = {"command": "halt", "signal": "SIGTERM", "grace": 2}
    with Wrapped(tmp_path, shell(script), readiness=UP, stop=stop) as it:
        it.state("running")
        it.ask("stop")
        assert it.verdict() == ("stopped", "exited", 3, None)
        assert it.lines() == ["up", "read halt", "got the signal"]


def test_what_outlasts_its_grace_is_killed_and_the_reason_says_so(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, DEAF], readiness=UP, stop={"signal": "SIGTERM", "grace": 0.5}) as it:
        it.state("running")
        it.ask("stop")
        assert it.verdict() == ("stopped", "killed", 137, 9)
        assert it.exit()["detail"] == "killed after 0.5 s of grace"


def test_kill_needs_no_grace(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, DEAF], readiness=UP, stop={"grace": 1000}) as it:
        it.state("running")
        it.ask("kill")
        assert it.verdict() == ("stopped", "killed", 137, 9)


def test_a_kill_ends_a_stop_that_takes_too_long(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, DEAF], readiness=UP, stop={"grace": 1000}) as it:
        it.state("running")
        it.ask("stop")
        it.state("stopping")
        it.ask("kill")
        assert it.verdict() == ("stopped", "killed", 137, 9)
        assert it.words().count("stopping") == 1


def test_a_stop_may_be_asked_before_the_game_is_ready(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER, readiness={"kind": "line", "pattern": "never"}) as it:
        it.line("up")
        it.ask("stop")
        assert it.verdict() == ("stopped", "signalled", 143, 15)
        assert it.words() == ["starting", "stopping", "ended"]


def test_a_segmentation_fault_while_stopping_is_a_crash_all_the_same(tmp_path: Path) -> None:
    with Wrapped(
        tmp_path, shell("trap 'kill -SEGV $$' TERM; echo up; while :; do sleep 0.1; done"), readiness=UP
    ) as it:
        it.state("running")
        it.ask("stop")
        assert it.verdict() == ("crashed", "signalled", 139, 11)
        assert it.exit()["asked_by"] == "command"


def test_an_unhealthy_game_is_stopped_and_crashed(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        it.line("up")
        it.ask("stop", why="unhealthy")
        assert it.verdict() == ("crashed", "unhealthy", 143, 15)


def test_sigterm_to_the_wrapper_is_the_same_stop(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, POLITE], readiness=UP) as it:
        it.state("running")
        os.kill(it.pid, signal.SIGTERM)
        assert it.verdict() == ("stopped", "exited", 0, None)
        assert it.exit()["asked_by"] == "signal"
        assert it.lines() == ["up", "saving"]


def test_the_stop_signal_reaches_the_whole_process_group_as_on_a_terminal(tmp_path: Path) -> None:
    with Wrapped(tmp_path, shell(f"{shlex.join([*PYTHON, POLITE])}; echo child gone")) as it:
        it.line("up")
        it.ask("stop")
        assert it.verdict() == ("stopped", "signalled", 143, 15)
        # What outlives the shell is told once more, perhaps within its first line.
        assert "saving" in "".join(it.lines())


def test_a_game_that_was_frozen_is_woken_to_obey(tmp_path: Path) -> None:
    with Wrapped(tmp_path, [*PYTHON, POLITE], readiness=UP) as it:
        it.state("running")
        assert it.game is not None
        os.kill(it.game, signal.SIGSTOP)
        it.ask("stop")
        assert it.verdict() == ("stopped", "exited", 0, None)


def test_not_ready_in_time_is_a_crash_with_its_own_reason(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER, readiness={"kind": "line", "pattern": "never", "timeout": 0.5}) as it:
        assert it.verdict() == ("crashed", "start_timeout", 143, 15)
        assert "running" not in it.words()


def test_not_ready_in_time_may_be_assumed_to_be_ready(tmp_path: Path) -> None:
    readiness = {"kind": "line", "pattern": "never", "timeout": 0.3, "on_timeout": "assume_ready"}
    with Wrapped(tmp_path, SLEEPER, readiness=readiness) as it:
        assert it.state("running")["assumed"] is True


def test_the_game_dies_with_its_wrapper_and_the_folder_gets_its_last_word_later(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        it.line("up")
        game = it.game
        assert game is not None
        os.kill(it.pid, signal.SIGKILL)
        until(lambda: not lives(game) and not it.alive)
        assert spool_reader.exit_of(it.folder) is None
        with pytest.raises(launch.NotStarted, match="a session runs once"):
            launch.launch(it.folder)
        assert it.verdict() == ("crashed", "unknown", None, None)
        assert it.lines() == ["up"], "it was not started a second time"


def test_a_wrapper_of_an_earlier_boot_of_the_machine_is_said_to_have_been_restarted(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER, start=False) as it:
        old = Spool(str(it.folder / "spool"), {"session": "s1", "boot": "another", "wrapper": 5})
        old.lines([(0, b"up")], 1)
        old.close()
        with pytest.raises(launch.NotStarted):
            it.start()
        assert it.verdict() == ("crashed", "host_restarted", None, None)


def test_kill_9_of_the_starters_process_group_leaves_wrapper_and_game(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER, start=False) as it:
        words = " ".join(f"'{word}'" for word in launch.command(it.folder))
        starter = subprocess.Popen(["sh", "-c", f"{words}; sleep 600"], start_new_session=True, stdout=subprocess.PIPE)
        assert starter.stdout is not None
        it.pid = int(starter.stdout.readline())
        starter.stdout.close()
        it.line("up")
        os.killpg(starter.pid, signal.SIGKILL)
        starter.wait()
        assert it.ask("status")["status"]["state"] == "running"
        assert it.game is not None
        assert lives(it.game)
        assert os.getsid(it.pid) != starter.pid
        assert os.getsid(it.game) == it.game


def test_a_second_wrapper_over_a_living_folder_is_refused(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it, pytest.raises(launch.NotStarted, match="lives in this folder"):
        launch.launch(it.folder)


def test_what_the_program_leaves_behind_is_asked_to_go_before_the_exit_is_said(tmp_path: Path) -> None:
    script = (
        "(trap 'echo child goes; exit' TERM; echo up; touch flag; while :; do sleep 0.1; done) & " + WAIT + "exit 4"
    )
    with Wrapped(tmp_path, shell(script)) as it:
        assert it.verdict() == ("crashed", "exited", 4, None)
        assert it.state("ended")["left_behind"] >= 1
        assert "child goes" in it.lines()


def test_what_is_left_behind_and_stubborn_is_killed_after_the_rest_of_the_grace(tmp_path: Path) -> None:
    child = f"setsid {shlex.join([*PYTHON, DEAF_CHILD])} & echo $!; {WAIT} exit 0"
    with Wrapped(tmp_path, shell(child)) as it:
        it.line("up")
        left = int(next(line for line in it.lines() if line.isdigit()))
        ended = it.state("ended")
        assert lives(left)
        said = it.exit()
        assert not lives(left)
        assert (said["at"] - ended["at"]) / 1e6 > 9.9, "ten seconds at least"
        assert (said["outcome"], said["exit_code"]) == ("stopped", 0)


def test_kill_also_ends_what_was_left_behind_at_once(tmp_path: Path) -> None:
    child = f"setsid {shlex.join([*PYTHON, DEAF_CHILD])} & {WAIT} exit 0"
    with Wrapped(tmp_path, shell(child), stop={"grace": 1000}) as it:
        it.state("ended")
        it.ask("kill")
        assert it.verdict() == ("stopped", "exited", 0, None)


def test_a_wrapper_whose_folder_was_deleted_stops_its_game_and_goes(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        it.line("up")
        game = it.game
        assert game is not None
        shutil.rmtree(it.folder)
        until(lambda: not lives(it.pid))
        assert not lives(game)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"argv": ["/no/such/program"]}, "program /no/such/program: No such file or directory"),
        ({"argv": ["no-such-program"]}, "program no-such-program: No such file or directory"),
        ({"argv": ["/etc/passwd"]}, "program /etc/passwd: Permission denied"),
        ({"cwd": "/no/such/folder"}, "working directory /no/such/folder: No such file or directory"),
        ({"argv": []}, "argv must be a list of texts"),
        ({"cwd": "relative"}, "cwd must be an absolute path, not 'relative'"),
        ({"readiness": {"kind": "line", "pattern": "("}}, "readiness.pattern '(' is no regular expression"),
        ({"stop": {"signal": "SIGNOPE"}}, "stop.signal 'SIGNOPE' is no signal"),
        ({"rlimits": {"nope": 3}}, "rlimits.nope"),
        ({"version": 9}, "version 9 is not known"),
    ],
)
def test_a_launch_that_cannot_run_becomes_an_exit_with_one_line(
    tmp_path: Path, fields: dict[str, object], told: str
) -> None:
    with Wrapped(tmp_path, **({"argv": ["true"]} | fields)) as it:
        assert it.verdict() == ("crashed", "config_invalid", None, None)
        assert told in it.exit()["detail"]
        assert "\n" not in it.exit()["detail"]


def test_a_missing_or_garbled_launch_becomes_an_exit_too(tmp_path: Path) -> None:
    with Wrapped(tmp_path, ["true"], start=False) as it:
        (it.folder / "launch.json").write_text("{")
        it.start()
        assert it.verdict() == ("crashed", "config_invalid", None, None)
        assert "launch.json is no JSON" in it.exit()["detail"]


def test_a_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(launch.NotStarted, match=r"session folder .*/nowhere: No such file or directory"):
        launch.launch(tmp_path / "nowhere")


def test_out_of_memory_is_said_when_the_kernel_counted_it_and_only_then(tmp_path: Path) -> None:
    """Where no cgroup may be made the limit holds nothing, and the same death is a plain signal."""
    probe = cgroup.make("probe-of-a-test", None)
    if probe is not None:
        probe.remove()
    hungry = "print('up')\ninput()\nbytearray(200 * 1024 * 1024)\nprint('fed')\ninput()"
    with Wrapped(tmp_path, [*PYTHON, hungry], readiness=UP, memory_bytes=64 * 1024 * 1024, stop={}) as it:
        it.state("running")
        it.ask("input", line="eat")
        if probe is None:
            it.line("fed")
            assert it.game is not None
            os.kill(it.game, signal.SIGKILL)
        assert it.verdict() == ("crashed", "out_of_memory" if probe else "signalled", 137, 9)


def test_the_games_own_oom_score_is_the_higher_one(tmp_path: Path) -> None:
    with Wrapped(tmp_path, SLEEPER) as it:
        mine, its = (int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (it.pid, it.game))
        assert its > mine or its == 1000


def test_the_game_runs_as_the_user_and_within_the_limits_that_were_asked(tmp_path: Path) -> None:
    root = os.geteuid() == 0
    user, group = (60578, 60579) if root else (os.getuid(), os.getgid())
    script = "umask; id -u; id -g; ulimit -n; id -G; env | sort | head -3; echo up"
    fields = {
        "uid": user,
        "gid": group,
        "rlimits": {"nofile": [99, 99]},
        "cwd": "/",
        "env": {"PATH": "/usr/bin:/bin", "A": "b"},
    }
    with Wrapped(tmp_path, shell(script), readiness=UP, **fields) as it:
        it.state("ended")
        lines = it.lines()
        assert lines[:4] == ["0022", str(user), str(group), "99"]
        assert not root or lines[4] == str(group), "supplementary groups are emptied"
        assert "A=b" in lines
        assert not any("HOME=" in line for line in lines), "nothing is inherited"


def test_a_game_of_another_user_dies_with_its_wrapper_too(tmp_path: Path) -> None:
    user = 60578 if os.geteuid() == 0 else os.getuid()
    with Wrapped(tmp_path, SLEEPER, uid=user, gid=user if user == 60578 else os.getgid(), cwd="/") as it:
        it.line("up")
        game = it.game
        assert game is not None
        os.kill(it.pid, signal.SIGKILL)
        until(lambda: not lives(game))


def test_an_exit_in_between_is_known_without_any_wrapper(tmp_path: Path) -> None:
    with Wrapped(tmp_path, shell("exit 7")) as it:
        until(lambda: not it.alive)
        time.sleep(0.05)
        assert it.verdict() == ("crashed", "exited", 7, None)
        assert not (it.folder / "s").exists()
        assert (it.folder / "wrapper.log").read_text() == ""


def test_no_cgroup_stays_behind_not_even_that_of_a_killed_wrapper(tmp_path: Path) -> None:
    def left(pid: int) -> list[str]:
        found = [folder for parent, _, _ in cgroup._candidates() for folder in Path(parent).glob(f"manman-*-{pid}")]
        return [str(folder) for folder in found]

    with Wrapped(tmp_path, SLEEPER) as it:
        killed = it.pid
        it.line("up")
    (tmp_path / "session").rename(tmp_path / "before")
    with Wrapped(tmp_path, ["/no/such/program"]) as it:
        assert it.verdict()[1] == "config_invalid"
        assert left(killed) == left(it.pid) == []
