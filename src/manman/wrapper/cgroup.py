"""A cgroup of the game's own, where one may be made (v1 memory, or a delegated v2); the wrapper stays outside of it.

It counts out-of-memory kills, limits memory, and lists the game's processes. Where none can be made, nothing fails.
"""

import os
import re

from manman.wrapper import processes

_ROOT = "/sys/fs/cgroup"


class Cgroup:
    """One made cgroup. `procs` is the file that the game writes itself into."""

    def __init__(self, folder: str, events: str) -> None:
        self._folder = folder
        self._events = os.path.join(folder, events)
        self.procs = os.path.join(folder, "cgroup.procs")
        self._before = self._count()

    def pids(self) -> list[int]:
        """The processes in it, the game and all that it started."""
        try:
            with open(self.procs) as file:
                return [int(line) for line in file]
        except OSError:
            return []

    def counted_oom_kill(self) -> bool:
        """Whether the kernel killed something in here because the memory limit was reached."""
        return self._count() > self._before

    def _count(self) -> int:
        try:
            with open(self._events) as file:
                found = re.search(r"^oom_kill (\d+)", file.read(), re.M)
        except OSError:
            return 0
        return int(found[1]) if found else 0

    def remove(self) -> None:
        """Gives it back; one that still holds a process stays until the machine's next boot."""
        try:
            os.rmdir(self._folder)
        except OSError:
            pass


def make(session: str, memory: int | None) -> Cgroup | None:
    """A cgroup below the wrapper's own, with a memory limit in bytes; None where this machine does not allow it."""
    name = f"manman-{re.sub('[^A-Za-z0-9_-]', '_', session)}-{os.getpid()}"
    for parent, events, limit in _candidates():
        _sweep(parent)
        folder = os.path.join(parent, name)
        try:
            os.makedirs(folder, exist_ok=True)
            if memory is not None:
                with open(os.path.join(folder, limit), "w") as file:
                    file.write(str(memory))
            if os.path.exists(os.path.join(folder, events)):
                return Cgroup(folder, events)
            os.rmdir(folder)
        except OSError:
            try:
                os.rmdir(folder)
            except OSError:
                pass
    return None


def _sweep(parent: str) -> None:
    """Removes what wrappers that were killed could not: empty cgroups with the number of a process that is no more."""
    try:
        names = os.listdir(parent)
    except OSError:
        return
    for name in names:
        found = re.fullmatch(r"manman-.*-(\d+)", name)
        if found and not processes.lives(int(found[1])):
            try:
                os.rmdir(os.path.join(parent, name))
            except OSError:
                pass  # somebody in it lives on


def _candidates() -> list[tuple[str, str, str]]:
    """(folder of the wrapper's own cgroup, file that counts, file that limits) for each hierarchy with a memory controller."""
    found = []
    try:
        with open("/proc/self/cgroup") as file:
            rows = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return []
    for _, controllers, path in rows:
        if controllers == "":
            found.append((_ROOT + path, "memory.events", "memory.max"))
        elif "memory" in controllers.split(","):
            found.append((f"{_ROOT}/memory{path}", "memory.oom_control", "memory.limit_in_bytes"))
    return [each for each in found if os.path.isdir(each[0])]
