"""launch.json → what the wrapper runs. The schema stands in `pipe`; what does not fit it is refused with one line."""

import json
import re
import resource
import signal
from typing import Any, NamedTuple

DEFAULT_TIMEOUT = 600.0
DEFAULT_GRACE = 30.0


class BadLaunch(ValueError):
    """The launch cannot be run; the text names the field, the value and what it must be."""


class Readiness(NamedTuple):
    """When the game counts as running; `timeout` in seconds from the spawn."""

    kind: str
    pattern: re.Pattern[str] | None
    port: int
    protocol: str
    timeout: float
    assume: bool


class Stop(NamedTuple):
    """How it is asked to end; `grace` in seconds, then SIGKILL."""

    command: str | None
    signal: int | None
    grace: float


class Launch(NamedTuple):
    """What the wrapper runs."""

    session: str
    argv: list[str]
    cwd: str
    env: dict[str, str]
    uid: int | None
    gid: int | None
    terminal: bool
    readiness: Readiness
    stop: Stop
    rlimits: dict[int, tuple[int, int]]
    expected: frozenset[int]
    memory: int | None


def parse(data: bytes) -> Launch:
    """The launch that these bytes state. Raises `BadLaunch`."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadLaunch(f"launch.json is no JSON: {error}") from None
    if not isinstance(said, dict):
        raise BadLaunch("launch.json must hold one object")
    if said.get("version", 1) != 1:
        raise BadLaunch(f"version {said['version']!r} is not known to this wrapper, which speaks 1")
    argv = _take(said, "argv", list)
    if not argv or not all(isinstance(word, str) and "\0" not in word for word in argv) or not argv[0]:
        raise BadLaunch("argv must be a list of texts, the program first")
    env = _take(said, "env", dict, {})
    for name, value in env.items():
        if not isinstance(value, str) or not name or "=" in name or "\0" in name + value:
            raise BadLaunch(f"env.{name} must be a text under a name without '='")
    cwd = _take(said, "cwd", str)
    if not cwd.startswith("/") or "\0" in cwd:
        raise BadLaunch(f"cwd must be an absolute path, not {cwd!r}")
    return Launch(
        session=_take(said, "session", str),
        argv=argv,
        cwd=cwd,
        env=env,
        uid=_number(said, "uid", None),
        gid=_number(said, "gid", None),
        terminal=_take(said, "terminal", bool, True),
        readiness=_readiness(_take(said, "readiness", dict, {})),
        stop=_stop(_take(said, "stop", dict, {})),
        rlimits=_rlimits(_take(said, "rlimits", dict, {})),
        expected=_codes(_take(said, "expected_exit_codes", list, [0])),
        memory=_number(said, "memory_bytes", None),
    )


def _take(said: dict[str, Any], field: str, kind: type, default: Any = None) -> Any:
    value = said.get(field)
    if value is None:
        value = default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {str: "a text", list: "a list", dict: "an object", bool: "true or false", int: "a whole number"}
        raise BadLaunch(f"{field} must be {names[kind]}, not {value!r}")
    return value


def _number(said: dict[str, Any], field: str, default: int | None) -> int | None:
    if said.get(field) is None:
        return default
    value: int = _take(said, field, int)
    if value < 0:
        raise BadLaunch(f"{field} must not be negative: {value}")
    return value


def _seconds(said: dict[str, Any], field: str, default: float) -> float:
    value = said.get(field)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 31_536_000:
        raise BadLaunch(f"{field} must be seconds, not {value!r}")
    return float(value)


def _one_of(said: dict[str, Any], field: str, words: tuple[str, ...]) -> str:
    value = said.get(field)
    if value is None:
        return words[0]
    if value not in words:
        raise BadLaunch(f"{field} must be one of {', '.join(words)}, not {value!r}")
    return str(value)


def _readiness(said: dict[str, Any]) -> Readiness:
    kind = _one_of(said, "kind", ("none", "line", "port", "query"))
    pattern = None
    if kind == "line":
        text = _take(said, "pattern", str)
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise BadLaunch(f"readiness.pattern {text!r} is no regular expression: {error}") from None
    port = _number(said, "port", 0) or 0
    if kind == "port" and not 0 < port < 65536:
        raise BadLaunch(f"readiness.port must be 1 to 65535, not {port}")
    return Readiness(
        kind=kind,
        pattern=pattern,
        port=port,
        protocol=_one_of(said, "protocol", ("tcp", "udp")),
        timeout=_seconds(said, "timeout", DEFAULT_TIMEOUT),
        assume=_one_of(said, "on_timeout", ("crash", "assume_ready")) == "assume_ready",
    )


def _stop(said: dict[str, Any]) -> Stop:
    command = said.get("command")
    if command is not None:
        command = _take(said, "command", str)
    name = said.get("signal")
    if name is None:
        number = None if command else int(signal.SIGTERM)
    else:
        word = str(name).upper()
        found = getattr(signal, word if word.startswith("SIG") else f"SIG{word}", None)
        if not isinstance(found, signal.Signals):
            raise BadLaunch(f"stop.signal {name!r} is no signal")
        number = int(found)
    return Stop(command=command or None, signal=number, grace=_seconds(said, "grace", DEFAULT_GRACE))


def _rlimits(said: dict[str, Any]) -> dict[int, tuple[int, int]]:
    found = {}
    for name, value in said.items():
        which = getattr(resource, f"RLIMIT_{str(name).upper()}", None)
        pair = value if isinstance(value, list) else [value, value]
        if which is None or len(pair) != 2 or not all(isinstance(each, int) and each >= -1 for each in pair):
            raise BadLaunch(f"rlimits.{name}: {value!r} is no known limit with a number or [soft, hard]")
        found[which] = (pair[0], pair[1])
    return found


def _codes(said: list[Any]) -> frozenset[int]:
    for code in said:
        if not isinstance(code, int) or isinstance(code, bool) or not 0 <= code <= 255:
            raise BadLaunch(f"expected_exit_codes must be numbers from 0 to 255, not {code!r}")
    return frozenset(said)
