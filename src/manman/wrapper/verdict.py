"""How an end is judged: what the kernel said, what was asked for → the exit payload (see `pipe`). Pure."""

import os
import signal
from typing import Any, NamedTuple

UNWELL = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
ASKED = frozenset({"command", "signal", "folder"})


class Circumstances(NamedTuple):
    """What is known beside the status. `why` is what began the stop, None if nothing did; `killed` that SIGKILL was ours."""

    ready: bool
    why: str | None
    killed: bool
    kill_detail: str
    out_of_memory: bool
    expected: frozenset[int]
    timeout: float


def name_of(number: int) -> str:
    """SIGKILL for 9; real-time signals by number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge(status: int, seen: Circumstances) -> dict[str, Any]:
    """The exit payload for a wait status."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = 128 + number if number is not None else os.WEXITSTATUS(status)
    told = f"ended by {name_of(number)}" if number is not None else f"ended with exit code {code}"
    outcome, reason, detail = _judged(number, code, told, seen)
    return {
        "outcome": outcome,
        "reason": reason,
        "exit_code": code,
        "signal": number,
        "detail": detail,
        "asked_by": seen.why if seen.why in (*ASKED, "unhealthy") else None,
        "ready": seen.ready,
    }


def _judged(number: int | None, code: int, told: str, seen: Circumstances) -> tuple[str, str, str]:
    plain = "signalled" if number is not None else "exited"
    if seen.out_of_memory:
        return "crashed", "out_of_memory", "the kernel killed it: its memory limit was reached"
    if seen.why == "start_timeout":
        return "crashed", "start_timeout", f"not ready within {seen.timeout:g} s; {told}"
    if seen.why == "unhealthy":
        return "crashed", "unhealthy", f"stopped because it did not answer; {told}"
    if number in UNWELL:
        return "crashed", plain, told
    if seen.why in ASKED:
        if seen.killed and number == signal.SIGKILL:
            return "stopped", "killed", seen.kill_detail
        return "stopped", plain, told
    if number is None and code in seen.expected and seen.ready:
        return "stopped", plain, told
    return "crashed", plain, told if seen.ready else f"{told} before it was ready"


def never_began(detail: str, reason: str = "config_invalid") -> dict[str, Any]:
    """The exit of a game that could not be started, or whose end nobody saw (`unknown`, `host_restarted`)."""
    return {
        "outcome": "crashed",
        "reason": reason,
        "exit_code": None,
        "signal": None,
        "detail": " ".join(detail.split()),
        "asked_by": None,
        "ready": False,
    }
