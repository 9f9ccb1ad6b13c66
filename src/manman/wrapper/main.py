"""The wrapper's way: detach, take the folder's lock, read the launch, run the session. Nothing fails in silence."""

import fcntl
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable

from manman.wrapper import kernel, verdict
from manman.wrapper.launch_file import BadLaunch, Launch, parse
from manman.wrapper.pipe import LAUNCH, LOCK, LOG, SPOOL
from manman.wrapper.session import Session
from manman.wrapper.spool import Spool
from manman.wrapper.spool_reader import exit_of, head_of

_BEGUN, _BAD, _LIVES, _OVER = 0, 2, 3, 4
_LOCK_PATIENCE = 1.0  # somebody who only asks holds the lock for an instant

Tell = Callable[[int, str], None]


def main(arguments: list[str]) -> int:
    """`[--detach] FOLDER`; the exit codes are `launch.command`'s."""
    detach = arguments[:1] == ["--detach"]
    paths = arguments[1:] if detach else arguments
    if len(paths) != 1:
        print("usage: wrapper [--detach] FOLDER", file=sys.stderr)
        return _BAD
    try:
        folder = os.open(paths[0], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        print(f"session folder {paths[0]}: {error.strerror}", file=sys.stderr)
        return _BAD
    os.fchdir(folder)  # sockets have short names only, and a path may change its meaning
    os.umask(0o077)
    return _detached(folder) if detach else _live(folder, _tell_here)


def _tell_here(code: int, text: str) -> None:
    if code != _BEGUN:
        print(text, file=sys.stderr, flush=True)


def _detached(folder: int) -> int:
    """Runs the wrapper as nobody's child, in a session of its own; ends when that has begun, or says why it did not."""
    told, tell = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.close(told)
        _quiet()

        def report(code: int, text: str) -> None:
            os.write(tell, f"{code} {text}".encode(errors="replace"))
            os.close(tell)

        os._exit(_live(folder, report))
    os.close(tell)
    os.waitpid(middle, 0)
    with os.fdopen(told, "rb") as file:
        code, _, text = file.read().decode(errors="replace").partition(" ")
    if not code:
        print(f"the wrapper died at its start; see {LOG} in the session folder", file=sys.stderr)
        return 1
    print(text, file=sys.stdout if int(code) == _BEGUN else sys.stderr)
    return int(code)


def _quiet() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    except OSError:
        log = null  # a full disk: without complaints then
    for target, fd in enumerate((null, null, log)):
        os.dup2(fd, target)
    for fd in {null, log}:
        if fd > 2:
            os.close(fd)


def _live(folder: int, tell: Tell) -> int:
    """The wrapper's life over an open folder."""
    if not _locked():
        tell(_LIVES, "a wrapper lives in this folder already")
        return _LIVES
    kernel.dumpable(False)
    kernel.adopt_orphans()
    try:
        with open(LAUNCH, "rb") as file:
            launch, bad = parse(file.read()), ""
    except BadLaunch as error:
        launch, bad = None, str(error)
    except OSError as error:
        launch, bad = None, f"{LAUNCH}: {error.strerror}"
    begun_before = head_of(".")
    head = {"session": launch.session if launch else None, "boot": kernel.boot_id(), "wrapper": os.getpid()}
    spool = Spool(SPOOL, begun_before or head)
    if begun_before is not None:
        _close_old(spool, begun_before)
        tell(_OVER, "this session had ended; a session runs once")
        return _OVER
    if launch is None:
        tell(_BEGUN, str(os.getpid()))
        _insist(spool, folder, bad)
        return _BEGUN
    _run(launch, spool, folder, tell)
    return _BEGUN


def _locked() -> bool:
    """Takes the folder's lock for this process's life; False if a living wrapper has it."""
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(fd)
                return False
            time.sleep(0.02)


def _close_old(spool: Spool, head: dict[str, object]) -> None:
    """A session whose wrapper was killed gets its last word, so that a spool always ends with one."""
    if exit_of(".") is not None:
        return
    if head.get("boot") != kernel.boot_id():
        said = verdict.never_began("the machine was restarted", "host_restarted")
    else:
        said = verdict.never_began("its wrapper ended without a word", "unknown")
    at = kernel.microseconds()
    spool.exit({"at": at, **said}, at)


def _insist(spool: Spool, folder: int, detail: str) -> None:
    """Writes the exit of a launch that cannot run, as often as it takes; without a folder it is nobody's any more."""
    at = kernel.microseconds()
    while not spool.exit({"at": at, **verdict.never_began(detail)}, at) and os.fstat(folder).st_nlink:
        time.sleep(1)


def _run(launch: Launch, spool: Spool, folder: int, tell: Tell) -> None:
    selector = selectors.DefaultSelector()
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the wake-up pipe carries them into the loop
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    session = Session(launch, spool, selector, folder)
    selector.register(woken, selectors.EVENT_READ, lambda _: session.signalled(woken.recv(4096)))
    try:
        session.run(lambda: tell(_BEGUN, str(os.getpid())))
    except Exception as error:
        traceback.print_exc()
        session.fail(f"{type(error).__name__}: {error}")
