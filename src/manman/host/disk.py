"""The disk guard: what may begin only while there is room, and a ballast that is given up when there is none."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

LEAST_FREE = 1024**3
LEAST_SHARE = 0.05
BALLAST = 64 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes of the file system that a folder lies on."""

    total: int
    free: int

    @property
    def wanted(self) -> int:
        """Below this nothing new begins: the larger of 1 GiB and 5 %."""
        return max(LEAST_FREE, int(self.total * LEAST_SHARE))

    @property
    def is_short(self) -> bool:
        """Whether starts, installs and backups are refused as `disk_full`."""
        return self.free < self.wanted


def room(folder: Path) -> Room:
    """What is there now."""
    usage = shutil.disk_usage(folder)
    return Room(total=usage.total, free=usage.free)


def shortage(folder: Path) -> str | None:
    """One line when nothing may begin, else None."""
    now = room(folder)
    if not now.is_short:
        return None
    return f"{now.free // 1024**2} MiB are free where {folder} lies; {now.wanted // 1024**2} MiB are needed to begin"


class Ballast:
    """A file of 64 MiB that is given up when the disk is full, so that the journal can still record an exit."""

    def __init__(self, path: Path, size: int = BALLAST) -> None:
        self._path, self._size = path, size

    @property
    def is_there(self) -> bool:
        """Whether it holds its room."""
        return self._path.exists() and self._path.stat().st_size >= self._size

    def give_up(self) -> bool:
        """Removes it; False when there was none: the disk is full for good."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def take_up(self) -> bool:
        """Makes it (again) while there is room for it and for everything else; False when there is not."""
        if self.is_there:
            return True
        if room(self._path.parent).is_short:
            return False
        beside = self._path.with_name(self._path.name + ".new")
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, self._size)
            finally:
                os.close(fd)
            beside.rename(self._path)
        except OSError:
            beside.unlink(missing_ok=True)
            return False
        return True
