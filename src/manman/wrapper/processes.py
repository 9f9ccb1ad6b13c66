"""The game's processes, read from /proc: who they are, what they use, which ports are theirs."""

import os
import signal
from collections.abc import Iterable
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTENING = {"tcp": "0A", "udp": "07"}


class Use(NamedTuple):
    """What processes use now: CPU seconds since their start (children that ended included), resident bytes, how many."""

    cpu_seconds: float
    rss_bytes: int
    processes: int


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the name; None when it is gone. 0 state, 1 parent, 11–14 times, 21 resident."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def lives(pid: int) -> bool:
    """Whether there is such a process, and no zombie. Pids are reused: a yes may mean another one."""
    stat = _stat(pid)
    return stat is not None and stat[0] != "Z"


def descendants(ancestor: int) -> list[int]:
    """Pids of all living descendants, zombies left out."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))) is not None and stat[0] != "Z":
            children.setdefault(int(stat[1]), []).append(int(name))
    found, waiting = [], [ancestor]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += mine
    return found


def send(pids: Iterable[int], number: int) -> None:
    """A signal to each of them that still is."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # gone, or it made itself somebody else's


def send_group(group: int, number: int) -> None:
    """A signal to a process group, as a terminal's Ctrl-C is; a stopped one is woken so that it can obey."""
    for each in (number, signal.SIGCONT):
        try:
            os.killpg(group, each)
        except (ProcessLookupError, PermissionError):
            return


def use(pids: Iterable[int]) -> Use:
    """The sum over these processes."""
    ticks = pages = count = 0
    for pid in pids:
        stat = _stat(pid)
        if stat is not None:
            ticks += sum(int(field) for field in stat[11:15])
            pages += int(stat[21])
            count += 1
    return Use(round(ticks / _TICK, 2), pages * _PAGE, count)


def is_bound(game: int, family: int, port: int, protocol: str) -> bool:
    """Whether one of the game's processes listens on (tcp) or is bound to (udp) this port, on any address.

    No connection is made: a proxy accepts for deaf games, and UDP cannot be connected. Where the owner of the socket cannot
    be told (the descriptors are another user's), the port counts. `family` is the process whose descendants are the game.
    """
    inodes = _bound(game, port, protocol)
    if not inodes:
        return False
    for pid in {game, *descendants(family)}:
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            return True
        except OSError:
            continue
        for fd in fds:
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    return True
            except OSError:
                continue
    return False


def _bound(pid: int, port: int, protocol: str) -> set[str]:
    """The sockets bound to `port` in this process's network, as /proc names them in its descriptors."""
    wanted, state, found = f"{port:04X}", _LISTENING[protocol], set()
    for table in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                next(file)
                for row in file:
                    field = row.split()
                    if field[3] == state and field[1].rpartition(":")[2] == wanted:
                        found.add(f"socket:[{field[9]}]")
        except (OSError, StopIteration):
            continue  # no IPv6, or the process is gone
    return found
