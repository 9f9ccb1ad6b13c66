"""The commands of the socket → a reply each (see `pipe`). What cannot be understood is answered, never fatal."""

from typing import Protocol

from manman.wrapper.lines import typed
from manman.wrapper.pipe import LONGEST_INPUT, Said


class Asked(Protocol):
    """What a command may ask of the session."""

    def status(self) -> Said: ...
    def stop(self, why: str, grace: float | None) -> None: ...
    def kill(self) -> None: ...
    def type(self, each: str | None, line: bytes) -> str: ...
    def was_answered(self) -> bool: ...
    def acknowledged(self) -> None: ...


def _refused(code: str, detail: str) -> Said:
    return {"ok": False, "code": code, "detail": detail}


def answer(session: Asked, said: Said) -> Said:
    """Does what a command says; the reply, without its id."""
    match said.get("do"):
        case "input":
            return _input(session, said)
        case "stop":
            return _stop(session, said)
        case "kill":
            session.kill()
        case "ready":
            if not session.was_answered():
                return _refused("invalid_argument", "this launch's readiness is not by query")
        case "status":
            return {"ok": True, "status": session.status()}
        case "exit_ack":
            session.acknowledged()
        case other:
            return _refused("invalid_argument", f"do: {other!r} is none of input, stop, kill, ready, status, exit_ack")
    return {"ok": True}


def _input(session: Asked, said: Said) -> Said:
    line, each = said.get("line"), said.get("id")
    if not isinstance(line, str) or not isinstance(each, str | None):
        return _refused("invalid_argument", "input needs a line, and its id is a text")
    data = typed(line)
    if data is None:
        return _refused(
            "invalid_argument", f"a line is at most {LONGEST_INPUT} bytes; a terminal cuts the rest silently"
        )
    match session.type(each, data):
        case "full":
            return _refused("input_full", "64 KiB wait already; the game does not read its console")
        case "gone":
            return _refused("not_running", "the game has ended")
        case how:
            return {"ok": True, "duplicate": how == "duplicate"}


def _stop(session: Asked, said: Said) -> Said:
    grace, why = said.get("grace"), said.get("why", "command")
    if grace is not None and (not isinstance(grace, int | float) or isinstance(grace, bool) or not 0 <= grace < 1e9):
        return _refused("invalid_argument", f"grace must be seconds, not {grace!r}")
    if why not in ("command", "unhealthy"):
        return _refused("invalid_argument", f"why must be command or unhealthy, not {why!r}")
    session.stop(why, grace)
    return {"ok": True}
