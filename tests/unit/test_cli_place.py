"""Which processes count as alive, and how errors become exit codes."""

import os
import signal
import subprocess

from manman.cli import output
from manman.cli.place import is_alive
from manman.errors import BadSetting, OutOfReach, RefusedError, TimedOut


def test_a_process_that_ended_and_was_not_waited_for_is_not_alive() -> None:
    child = subprocess.Popen(["sleep", "60"])
    assert is_alive(child.pid)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken its status yet
    assert not is_alive(child.pid)
    child.wait()
    assert not is_alive(child.pid)


def test_exit_codes_say_what_kind_of_no_it_was() -> None:
    assert output.exit_code(RefusedError("not_found", "no")) == 3
    assert output.exit_code(RefusedError("session_live", "no")) == 4
    assert output.exit_code(RefusedError("permission_denied", "no")) == 5
    assert output.exit_code(OutOfReach("no")) == 6
    assert output.exit_code(TimedOut("no")) == 8
    assert output.exit_code(BadSetting("no")) == 2
