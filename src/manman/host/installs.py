"""The install step: Debian packages got and unpacked by the agent itself, without root and without their scripts.

`apt-get -s install` tells what this machine lacks; these are downloaded (apt checks them against its signed lists, and
the sum is checked again when a file comes from the cache), kept once per host, and unpacked by `dpkg-deb -x` into the
deployment's `game` folder, which replaces the old one in one rename.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from manman.errors import Permanent, Transient
from manman.host import disk, files

Progress = Callable[[float, str], Awaitable[None]]
MARK = "packages.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_INST = re.compile(r"^Inst (?P<name>\S+) (?:\[[^\]]*\] )?\((?P<version>\S+)[^)]*\)", re.MULTILINE)
_URI = re.compile(r"^'[^']*' (?P<file>\S+) (?P<size>\d+) (?P<sum>\S*)$", re.MULTILINE)
_LIBRARY = re.compile(r"lib[^/]+\.so(\.[0-9.]+)?$")
_QUIET = {
    "LC_ALL": "C",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "DEBIAN_FRONTEND": "noninteractive",
}


class InstallFailed(Permanent):
    """The packages cannot be had; the detail is one line for a person. `reason` is a word of a session's reasons."""

    code = "install_failed"
    reason = "config_invalid"


class NoRoom(InstallFailed):
    """There is too little disk left to install anything."""

    reason = "disk_full"


class _Unknown(Transient):
    """These lists do not know a package, or no longer where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package file to have: its name in the cache, bytes, SHA-256 (or other sum, as apt writes it), `name=version`."""

    spec: str
    file: str
    size: int
    sum: str


class Installer:
    """One per host: a cache of packages, and one install at a time."""

    def __init__(self, cache: Path) -> None:
        # apt works in a folder of its own: it says nothing of a file that is in the one it is called in.
        self._cache, self._work = cache, cache / "work"
        self._one = asyncio.Lock()

    async def install(self, folder: Path, wanted: Sequence[str], said: Progress, *, again: bool = False) -> None:
        """Makes `folder`/game hold these packages and what they need and the machine lacks; nothing to do is quick.

        `said` hears the share done (0 to 1) and a line. Raises `InstallFailed`.
        """
        if not wanted or (not again and self.is_installed(folder, wanted)):
            return
        _check_names(wanted)
        self._cache.mkdir(parents=True, exist_ok=True)
        short = disk.shortage(self._cache)
        if short is not None:
            raise NoRoom(short)
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise InstallFailed(f"this machine has no apt-get and dpkg-deb to get {', '.join(wanted)} with")
        async with self._one:
            await said(0.0, f"looking for {', '.join(wanted)}")
            packages = await self._fetch(wanted, said)
            await self._unpack(folder, packages, wanted)
        await said(1.0, "installed")

    def is_installed(self, folder: Path, wanted: Sequence[str]) -> bool:
        """Whether exactly these were installed there."""
        try:
            return bool(msgspec.json.decode((folder / MARK).read_bytes()) == sorted(wanted))
        except (OSError, msgspec.DecodeError):
            return False

    async def _fetch(self, wanted: Sequence[str], said: Progress) -> list[Package]:
        try:
            return await self._fetch_with(wanted, said, ())
        except _Unknown:
            await said(0.0, "reading package lists")
        lists = self._work / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        own = ("-o", "Dir::State::lists=./lists")
        try:
            await self._apt((*own, "update"))
            return await self._fetch_with(wanted, said, own)
        except _Unknown as error:
            raise InstallFailed(str(error)) from None
        finally:
            files.remove_tree(lists)  # 84 MB that are old tomorrow

    async def _fetch_with(self, wanted: Sequence[str], said: Progress, lists: Sequence[str]) -> list[Package]:
        plan = await self._apt((*lists, "-s", "--no-install-recommends", "install", *wanted))
        specs = [f"{found['name']}={found['version']}" for found in _INST.finditer(plan)]
        if not specs:
            return []
        printed = await self._apt((*lists, "download", "--print-uris", *specs))
        places = list(_URI.finditer(printed))
        if len(places) != len(specs):
            raise _Unknown(f"apt-get knows where {len(places)} of {len(specs)} packages are")
        packages = [
            Package(spec=spec, file=found["file"], size=int(found["size"]), sum=found["sum"])
            for spec, found in zip(specs, places, strict=True)
        ]
        missing = [package for package in packages if not await asyncio.to_thread(self._has, package)]
        if missing:
            await self._download(missing, said, lists)
        return packages

    async def _download(self, missing: Sequence[Package], said: Progress, lists: Sequence[str]) -> None:
        total = sum(package.size for package in missing) or 1
        for package in missing:
            (self._work / package.file).unlink(missing_ok=True)
        work = asyncio.create_task(self._apt((*lists, "download", *(package.spec for package in missing))))
        try:
            while not (await asyncio.wait({work}, timeout=0.5))[0]:
                here = sum(_size(self._work / package.file) for package in missing)
                await said(min(0.95, here / total), f"getting packages, {here * 100 // total} %")
            await work
        finally:
            work.cancel()
        for package in missing:
            if (self._work / package.file).exists():
                (self._work / package.file).replace(self._cache / package.file)
            if not await asyncio.to_thread(self._has, package):
                raise InstallFailed(f"the package {package.spec} did not arrive whole")

    def _has(self, package: Package) -> bool:
        path = self._cache / package.file
        kind, _, value = package.sum.partition(":")
        if _size(path) != package.size:
            return False
        if kind.lower() not in hashlib.algorithms_available or not value:
            return True
        with open(path, "rb") as file:
            return hashlib.file_digest(file, kind.lower()).hexdigest() == value

    async def _unpack(self, folder: Path, packages: Sequence[Package], wanted: Sequence[str]) -> None:
        staging = folder / "game.new"
        await asyncio.to_thread(files.remove_tree, staging)
        staging.mkdir(parents=True)
        for package in packages:
            code, _, err = await run("dpkg-deb", "-x", str(self._cache / package.file), str(staging), cwd=self._cache)
            if code != 0:
                raise InstallFailed(f"{package.file} cannot be unpacked: {_last(err)}")
        await asyncio.to_thread(files.remove_tree, folder / "game.old")
        if (folder / "game").exists():
            (folder / "game").rename(folder / "game.old")
        staging.chmod(0o755)
        staging.rename(folder / "game")
        files.private(folder / MARK, msgspec.json.encode(sorted(wanted)))
        await asyncio.to_thread(files.remove_tree, folder / "game.old")

    async def _apt(self, arguments: Sequence[str]) -> str:
        """Output of apt-get in its work folder. Options do not bear spaces, so folders are relative to it."""
        options = ["-q", "-y", "-o", "Debug::NoLocking=1", "-o", "Dir::Cache=./apt"]
        (self._work / "apt" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            options += ["-o", "APT::Sandbox::User=root"]
        code, out, err = await run("apt-get", *options, *arguments, cwd=self._work)
        if code != 0:
            raise _Unknown(f"apt-get {arguments[-1] if arguments[-1] == 'update' else 'found no way'}: {_last(err)}")
        return out


async def run(*command: str, cwd: Path) -> tuple[int, str, str]:
    """(exit code, output, errors) of a program with a small environment; ended when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=_QUIET,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


def library_folders(game: Path) -> list[Path]:
    """The folders of unpacked packages that hold shared libraries, for LD_LIBRARY_PATH."""
    found: set[Path] = set()
    for top in (game / "usr" / "lib", game / "lib"):
        for folder, _, names in os.walk(top):
            if any(_LIBRARY.fullmatch(name) for name in names):
                found.add(Path(folder))
    return sorted(found)


def _check_names(wanted: Sequence[str]) -> None:
    for name in wanted:
        if not _NAME.fullmatch(name):
            raise InstallFailed(f"{name!r} is not the name of a Debian package")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
