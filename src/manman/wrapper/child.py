"""Starting the game: fork, become it, exec. Called from the main thread only: the game dies with the thread that forked it."""

import fcntl
import os
import resource
import signal
import struct
import termios
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from manman.wrapper import kernel
from manman.wrapper.launch_file import Launch

_OOM = 300  # on top of the wrapper's own: the game goes first
_ROWS, _COLUMNS = 50, 250  # a window wide enough that no program folds its lines


class NotBegun(Exception):
    """The game's program could not be started; the text says at which step and why."""


class Game(NamedTuple):
    """A started game: its pid (also its session and process group) and the wrapper's ends, all non-blocking."""

    pid: int
    stdin: int
    stdout: int
    stderr: int | None


def spawn(launch: Launch, procs: str | None) -> Game:
    """Starts it; returns when its program has replaced ours. `procs`: the cgroup file to join. Raises `NotBegun`."""
    mine, theirs = _terminal() if launch.terminal else _pipes()
    failed, fail = os.pipe()
    wrapper = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(launch, theirs, procs, wrapper, fail)
    for fd in {*theirs, fail}:
        os.close(fd)
    with os.fdopen(failed, "rb") as file:
        why = file.read().decode(errors="replace")
    if why:
        os.waitpid(pid, 0)
        for fd in set(mine):
            os.close(fd)
        raise NotBegun(why)
    for fd in set(mine):
        os.set_blocking(fd, False)
    return Game(pid, mine[0], mine[1], mine[2] if len(mine) == 3 else None)


def _terminal() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both sides of a pseudo-terminal: lines in, as they are typed; output as it was written."""
    master, slave = os.openpty()
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.ONLCR
    mode[3] &= ~(termios.ECHO | termios.ECHONL)
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    return (master, master), (slave, slave, slave)


def _pipes() -> tuple[tuple[int, ...], tuple[int, ...]]:
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    return (in_write, out_read, err_read), (in_read, out_write, err_write)


def _become(launch: Launch, theirs: tuple[int, ...], procs: str | None, wrapper: int, fail: int) -> NoReturn:
    """In the forked process: never returns, and never lets an exception out."""
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("session", lambda: _own_session(theirs)),
        ("oom_score_adj", _go_first),
        ("cgroup", lambda: _join(procs)),
        ("rlimits", lambda: _limit(launch)),
        (f"user {launch.uid}:{launch.gid}", lambda: _change_user(launch)),
        ("parent", lambda: _follow(wrapper)),
        (f"working directory {launch.cwd}", lambda: os.chdir(launch.cwd)),
        (f"program {launch.argv[0]}", lambda: os.execvpe(launch.argv[0], launch.argv, launch.env)),
    )
    step = ""
    try:
        for name, act in steps:
            step = name
            act()
    except BaseException as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        os.write(fail, f"{step}: {told}"[:2000].encode(errors="replace"))
    finally:
        os._exit(127)


def _own_session(theirs: tuple[int, ...]) -> None:
    os.setsid()
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Not its controlling terminal: that would be hung up under what the program leaves behind, which may be saving.
    # Standard descriptors may be closed in a wrapper that was started without them: first out of their way, then in place.
    spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in theirs]
    for target, fd in enumerate(spare):
        os.dup2(fd, target)
    os.umask(0o022)


def _go_first() -> None:
    kernel.dumpable(True)  # else this file is root's
    with open("/proc/self/oom_score_adj", "r+") as file:
        score = min(1000, int(file.read()) + _OOM)
        file.seek(0)
        file.write(str(score))
    kernel.dumpable(False)


def _join(procs: str | None) -> None:
    if procs is not None:
        with open(procs, "w") as file:
            file.write(str(os.getpid()))


def _limit(launch: Launch) -> None:
    for which, pair in launch.rlimits.items():
        resource.setrlimit(which, pair)


def _change_user(launch: Launch) -> None:
    if launch.gid is not None or launch.uid is not None:
        if os.geteuid() == 0:
            os.setgroups([])
        if launch.gid is not None:
            os.setresgid(launch.gid, launch.gid, launch.gid)
        if launch.uid is not None:
            os.setresuid(launch.uid, launch.uid, launch.uid)


def _follow(wrapper: int) -> None:
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != wrapper:
        raise OSError("the wrapper died meanwhile")
