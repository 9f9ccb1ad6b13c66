"""Making a deployment's folder ready for a session: owner, files, links, environment; and the work that the runtime starts.

Everything is rendered already: nothing is substituted here but what only this machine knows, its folders.
"""

from __future__ import annotations

import errno
import os
import pwd
import shlex
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from manman import demo
from manman.domain.ids import DeploymentId, SessionId
from manman.errors import BadSetting
from manman.host import files, installs
from manman.host.journal import DiskFull
from manman.host.launches import folder_of, seconds
from manman.host.runtimes import NotLaunched, Work
from manman.v1.types import Launch, LaunchPort

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
DEMO = "manman-demo"
READY_TIMEOUT, GRACE = 600.0, 30.0
_SHARED = ("usr/share/", "usr/lib/", "usr/games/")


def free_uid(numbers: str, taken: Iterable[int]) -> int:
    """The lowest number of the range (`first-last`) that nobody here has. Raises `NotLaunched` when all are taken and
    `BadSetting` for a range that is none."""
    first, _, last = numbers.partition("-")
    if not (first.isdigit() and last.isdigit()) or not 0 < int(first) <= int(last):
        raise BadSetting(f"GAME_UIDS must be first-last, as 60578-61183, not {numbers!r}")
    held = set(taken)
    for number in range(int(first), int(last) + 1):
        if number not in held and number != 65534 and not _is_known(number):
            return number
    raise NotLaunched("config_invalid", f"all user numbers of GAME_UIDS ({numbers}) are taken")


def _is_known(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return False
    return True


def prepare_state(state: Path) -> None:
    """Makes the agent's folders. As root, games run as users of their own, who must be able to enter; raises
    `BadSetting` where they cannot, `DiskFull` where nothing can be made."""
    try:
        _make_folders(state)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull(f"the disk with {state} is full; make room there, games run on meanwhile") from error
    if os.geteuid() == 0:
        state.chmod(0o711)
        closed = files.closed_to_others(state)
        if closed is not None:
            raise BadSetting(
                f"STATE_DIR lies in {state}, and games, which run as users of their own, cannot enter {closed}; "
                "choose another, such as STATE_DIR=/var/lib/manman"
            )


def _make_folders(state: Path) -> None:
    state.mkdir(parents=True, exist_ok=True, mode=0o711)
    for name, mode in (("deployments", 0o711), ("sessions", 0o700), ("cache", 0o700), ("bin", 0o755)):
        (state / name).mkdir(exist_ok=True)
        (state / name).chmod(mode)
    program = state / "bin" / DEMO
    command = [sys.executable, "-I", "-S", "-B", str(Path(demo.__file__).parent)]
    content = f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'.encode()
    if not program.exists() or program.read_bytes() != content:
        files.private(program, content)
        program.chmod(0o755)


def may_stay_root(launch: Launch) -> bool:
    """The demo game alone may run as root, and does where its user could not read this Python."""
    if not launch.argv or launch.argv[0] != DEMO:
        return False
    needed = {Path(path).parent for path in (sys.executable, os.path.realpath(sys.executable), demo.__file__)}
    return any(files.closed_to_others(folder) is not None for folder in needed)


def prepare(
    state: Path,
    session_id: SessionId,
    deployment_id: DeploymentId,
    launch: Launch,
    owner: tuple[int, int] | None,
    bind_roots: Sequence[str] = (),
) -> Work:
    """Writes what the launch says below the deployment's data folder and gives the work. Raises `NotLaunched`."""
    folder = folder_of(state, deployment_id)
    data, game = folder / "data", folder / "game"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    data.mkdir(exist_ok=True, mode=0o700)
    if owner is not None and data.stat().st_uid != owner[0]:
        files.give(data, owner)
    try:
        for file in launch.files:
            files.write(data, file.path, file.content.encode(), mode=int(file.mode or "644", 8) & 0o777, owner=owner)
        for one in launch.links:
            files.link(data, one.path, _target(one.target, game, bind_roots), owner=owner)
        if launch.cwd not in ("", "."):
            with files.folder_of(data, files.parts_of(launch.cwd), owner):
                pass
    except (OSError, ValueError, files.Escapes) as error:
        raise NotLaunched("config_invalid", f"the files of deployment {deployment_id}: {error}") from error
    return Work(
        session_id=session_id,
        deployment_id=deployment_id,
        argv=launch.argv,
        cwd=data / launch.cwd,
        env=environment(state, data, game, launch.env),
        owner=owner,
        terminal=launch.terminal,
        readiness=_readiness(launch),
        stop=_stop(launch),
        expected_exit_codes=launch.expected_exit_codes,
    )


def environment(state: Path, data: Path, game: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The game's whole environment: its home, where programs and libraries are, and what the launch says."""
    packages = [game / "usr" / "games", game / "usr" / "bin", game / "usr" / "sbin"]
    folders = [str(folder) for folder in packages if folder.is_dir()]
    env = {"HOME": str(data), "LANG": "C.UTF-8", "TERM": "dumb", "PATH": ":".join([*folders, str(state / "bin"), PATH])}
    libraries = installs.library_folders(game)
    if libraries:
        env["LD_LIBRARY_PATH"] = ":".join(str(folder) for folder in libraries)
    return env | dict(given)


def _target(target: str, game: Path, bind_roots: Sequence[str]) -> Path:
    """Where a link may lead: into the unpacked packages, else into the same place of the machine's own (a package that
    is installed here was not unpacked), else below a bind root."""
    if not target.startswith("/"):
        inside = game.joinpath(*files.parts_of(target))
        machine = Path("/").joinpath(*files.parts_of(target))
        return machine if not inside.exists() and machine.exists() and target.startswith(_SHARED) else inside
    if not files.may_bind(Path(target), [Path(root) for root in bind_roots]):
        raise files.Escapes(f"{target} is outside of HOST_BIND_ROOTS")
    return Path(target)


def _readiness(launch: Launch) -> dict[str, Any]:
    asked = launch.readiness
    if asked is None or asked.kind in ("", "none"):
        return {"kind": "none"}
    said: dict[str, Any] = {
        "kind": asked.kind,
        "timeout": seconds(asked.timeout, READY_TIMEOUT),
        "on_timeout": asked.on_timeout or "crash",
    }
    if asked.kind == "line":
        said["pattern"] = asked.pattern
    if asked.kind == "port":
        port = port_of(launch, asked.port)
        said |= {"port": port.port, "protocol": port.protocol}
    return said


def _stop(launch: Launch) -> dict[str, Any]:
    asked = launch.stop
    if asked is None:
        return {"grace": GRACE}
    return {
        "command": asked.command or None,
        "signal": asked.signal or None,
        "grace": seconds(asked.grace, GRACE),
    }


def port_of(launch: Launch, name: str) -> LaunchPort:
    """The port of that name, the first one for no name; raises `NotLaunched`."""
    for port in launch.ports:
        if name in ("", port.name):
            return port
    raise NotLaunched("config_invalid", f"the launch has no port {name!r}")


def taken_port(ports: Iterable[LaunchPort]) -> str | None:
    """One line about the first port that another program holds, else None. TCP is tried with SO_REUSEADDR and listen,
    so that a crashed game's last connections do not count; UDP without."""
    for port in ports:
        kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
        with socket.socket(family, kind) as probe:
            try:
                if port.protocol != "udp":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((port.address or "0.0.0.0", port.port))
                if port.protocol != "udp":
                    probe.listen(1)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    continue  # such as an address that this machine has not: the game will say it better
                return f"port {port.port}/{port.protocol} on {port.address or 'all addresses'}: {error.strerror}"
    return None
