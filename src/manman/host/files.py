"""Files beneath a folder that a game may write: opened by a handle on that folder, step by step, no link followed.

A game owns its data folder and may put a link anywhere in it; whoever writes there by path would write where the link
points. Paths are relative, with `/`; `..`, empty and absolute ones are refused with `Escapes`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from manman.errors import Permanent

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Escapes(Permanent):
    """A path would leave the folder that it was given for; the detail names it."""

    code = "config_invalid"


def parts_of(path: str) -> tuple[str, ...]:
    """The steps of a relative path; raises `Escapes`."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in path:
        raise Escapes(f"the path {path!r} must be relative and stay within the deployment's data folder")
    return pure.parts


@contextmanager
def folder_of(root: Path, parts: Sequence[str], owner: tuple[int, int] | None = None) -> Iterator[int]:
    """A handle on `root`/parts, folders made where they are missing (owned by `owner`: uid, gid)."""
    fd = os.open(root, _FOLDER)
    try:
        for part in parts:
            try:
                os.mkdir(part, 0o755, dir_fd=fd)
                if owner is not None:
                    os.chown(part, *owner, dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                pass
            try:
                inner = os.open(part, _FOLDER, dir_fd=fd)
            except OSError as error:
                raise Escapes(f"{part!r} in {'/'.join(parts)!r} is no folder: {error.strerror}") from error
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def write(root: Path, path: str, content: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Replaces a file whole: written beside, synced, renamed; whatever was there, a link too, is replaced."""
    *folders, name = parts_of(path)
    beside = f".{name}.new"
    with folder_of(root, folders, owner) as fd:
        with _gone(beside, fd):
            out = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=fd)
        try:
            with open(out, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(out, mode)
                if owner is not None:
                    os.fchown(out, *owner)
                os.fsync(out)
            os.replace(beside, name, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError:
            with _gone(beside, fd):
                raise


@contextmanager
def _gone(name: str, fd: int) -> Iterator[None]:
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        pass
    yield


def link(root: Path, path: str, target: Path, *, owner: tuple[int, int] | None = None) -> None:
    """Makes `path` a link to `target`, replacing an older link; anything else there is left and refused."""
    *folders, name = parts_of(path)
    with folder_of(root, folders, owner) as fd:
        try:
            if os.readlink(name, dir_fd=fd) == str(target):
                return
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Escapes(f"{path!r} exists and is no link, so it is not replaced by one") from error
        os.symlink(str(target), name, dir_fd=fd)
        if owner is not None:
            os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)


def may_bind(target: Path, roots: Sequence[Path]) -> bool:
    """Whether a folder of the machine lies below one of the roots, links resolved."""
    real = Path(os.path.realpath(target))
    return any(real == root or root in real.parents for root in (Path(os.path.realpath(root)) for root in roots))


def give(root: Path, owner: tuple[int, int]) -> None:
    """Gives a folder and everything in it to a user, never through a link."""
    fd = os.open(root, _FOLDER)
    try:
        os.fchown(fd, *owner)
        for _, folders, names, inner in os.fwalk(".", dir_fd=fd, follow_symlinks=False):
            for name in (*folders, *names):
                held = os.stat(name, dir_fd=inner, follow_symlinks=False)
                # A hard link to somebody else's file would be given away with it.
                if held.st_nlink == 1 or stat.S_ISDIR(held.st_mode):
                    os.chown(name, *owner, dir_fd=inner, follow_symlinks=False)
    finally:
        os.close(fd)


def private(path: Path, content: bytes) -> None:
    """Writes a file of the agent's own (mode 600), synced and renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    out = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(out, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(out)
    os.replace(beside, path)


def remove_tree(path: Path) -> None:
    """Removes a folder with all it holds; harmless when it is not there; links in it are not followed."""
    shutil.rmtree(path, ignore_errors=True)


def closed_to_others(path: Path) -> Path | None:
    """The first folder on the way to `path` that an ordinary user cannot enter, None when there is none."""
    for folder in (path, *path.parents):
        if folder.exists() and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None
