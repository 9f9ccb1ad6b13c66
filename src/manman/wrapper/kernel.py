"""What the wrapper asks of Linux that Python has no call for."""

import ctypes
import os
import time

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with_parent(signal_number: int) -> None:
    """This process gets the signal when the thread that forked it ends. Cleared by a change of user: call it after that."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Descendants whose parents end become this process's children (subreaper), so that none is lost from sight."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def dumpable(yes: bool) -> None:
    """Whether processes of the same user may trace this one and read its memory; exec sets it anew."""
    _prctl(_PR_SET_DUMPABLE, int(yes))


def boot_id() -> str:
    """The machine's id of this boot; another one means that the machine was restarted."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def microseconds() -> int:
    """Now, in microseconds since 1970; for what is written down, never for a deadline."""
    return time.time_ns() // 1000
