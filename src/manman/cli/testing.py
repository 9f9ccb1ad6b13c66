"""`manman test`: what the tests need is installed and started, the groups run in turn, and nothing remains.

Unit and house tests come first (seconds); contract and integration tests share the machine's cores; acceptance,
simulation and faults run last, each alone. A group that fails does not keep the others from running.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from manman.cli import plain
from manman.cli.testing_packages import PackagesMissing, provide

CHECKOUT = Path(__file__).resolve().parents[3]
TESTS = CHECKOUT / "tests"
GROUP_SECONDS = 2400  # no group takes a quarter of this
REPEATED_AT_MOST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Folders of tests that run in one pytest.

    `services`: packages are needed. `workers`: test processes at once; 0 is this one. `more`: further arguments.
    """

    folders: tuple[str, ...]
    services: bool = True
    workers: int = 0
    more: tuple[str, ...] = ()


ALL = (
    Group(folders=("unit", "house"), services=False),
    Group(folders=("contract", "integration"), workers=2),
    Group(folders=("acceptance",)),
    Group(folders=("sim",), workers=2),
    Group(folders=("faults",), workers=3),
)
CHOICES: dict[str, Group] = {
    "unit": Group(
        folders=("unit", "house"), services=False, more=("--ignore=tests/house/test_tools.py",)
    ),  # `make check` has these
    "house": Group(folders=("house",), services=False),
    "contract": Group(folders=("contract",), workers=2),
    "integration": Group(folders=("integration",), workers=2),
    "acceptance": ALL[2],
    "sim": ALL[3],
    "faults": ALL[4],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Tests that passed and that did not."""

    passed: int = 0
    failed: int = 0

    def plus(self, other: "Count") -> "Count":
        """Both together."""
        return Count(passed=self.passed + other.passed, failed=self.failed + other.failed)


app = plain.commands()


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP] [PYTEST ARGUMENTS]...", help=f"GROUP is one of {', '.join(CHOICES)}; none: all."
        ),
    ] = None,
) -> None:
    """Run the test suite with the services that it needs."""
    arguments = list(words or [])
    chosen = (CHOICES[arguments.pop(0)],) if arguments and arguments[0] in CHOICES else ALL
    if not TESTS.is_dir():
        typer.echo("the tests are part of the repository, not of the package: run this in a checkout", err=True)
        raise typer.Exit(2)
    try:
        run_with_services(chosen, arguments)
    except PackagesMissing as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def run_with_services(chosen: Sequence[Group], arguments: Sequence[str]) -> None:
    """Own the run's services while its groups run. Ends the process with 1 when a test failed or none ran."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.path.insert(0, str(TESTS))
    shared: Any = importlib.import_module("harness.shared")
    home = shared.begin()
    total = Count()
    try:
        for group in chosen:
            total = total.plus(run_group(group, arguments))
    finally:
        if home is not None:
            shared.end(home)
            total = total.plus(Count(failed=left_running(home)))
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    if total.failed or not total.passed:
        raise typer.Exit(1)


def run_group(group: Group, arguments: Sequence[str]) -> Count:
    """One pytest over the group's folders; its own words go to the terminal. A pytest that breaks counts as a failure."""
    folders = [f"tests/{name}" for name in group.folders if any((TESTS / name).rglob("test_*.py"))]
    if not folders:
        return Count()
    if group.services:
        provide(CHECKOUT / ".tools" / "apt-test.log")
    print(f"== {' '.join(folders)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mmr") as place:
        command = [sys.executable, "-m", "pytest", *folders, "-o", f"cache_dir={place}/cache", *group.more, *arguments]
        count = run_pytest([*command, *(["-n", str(group.workers)] if group.workers else [])], Path(place))
        if not group.services or not 0 < count.failed <= REPEATED_AT_MOST:
            return count
        return count.plus(repeat(command, Path(place)))


def run_pytest(command: Sequence[str], place: Path) -> Count:
    """One pytest to its end; one that breaks, or that hangs in spite of its own bounds, counts as a failure."""
    report = place / "report.xml"
    report.unlink(missing_ok=True)
    child = subprocess.Popen([*command, f"--junitxml={report}"], cwd=CHECKOUT, env=environment())
    try:
        code = child.wait(GROUP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"no end after {GROUP_SECONDS} s: the group is ended", flush=True)
        code = 1
    finally:
        if child.poll() is None:
            child.kill()  # what it started dies with it
            child.wait()
    count = count_of(report)
    if code not in (0, 5) and not count.failed:
        return count.plus(Count(failed=1))
    return count


def repeat(command: Sequence[str], place: Path) -> Count:
    """The few that failed, once more and alone; how the count changes. Whoever passes now is named: it wants mending."""
    told = place / "cache/v/cache/lastfailed"
    failed: list[str] = sorted(json.loads(told.read_text())) if told.exists() else []
    if not failed:
        return Count()
    print(f"== once more, alone: {' '.join(failed)}", flush=True)
    again = run_pytest([*command, "--last-failed", "--last-failed-no-failures=none"], place)
    if again.failed or again.passed != len(failed):
        return Count()
    for name in failed:
        print(f"PASSED ONLY WHEN ALONE: {name}", flush=True)
    return Count(passed=again.passed, failed=-again.passed)


def environment() -> dict[str, str]:
    """What tests inherit: nothing that would point them at somebody's real installation."""
    ours = ("MANMAN_URL", "MANMAN_TOKEN", "STATE_DIR", "DATABASE_URL", "RABBITMQ_URL", "PYTEST_ADDOPTS")
    return {name: value for name, value in os.environ.items() if name not in ours}


def count_of(report: Path) -> Count:
    """What pytest's report says; errors in a fixture are failures, skipped tests count as failed too."""
    if not report.exists():
        return Count()
    suites = ElementTree.parse(report).getroot().iter("testsuite")
    told = [{name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")} for suite in suites]
    failed = sum(suite["failures"] + suite["errors"] + suite["skipped"] for suite in told)
    return Count(passed=sum(suite["tests"] for suite in told) - failed, failed=failed)


def left_running(home: Path) -> int:
    """The number of processes that outlived the run, named and killed; each counts as a failure."""
    processes: Any = importlib.import_module("harness.processes")
    ending = {process: processes.words_of(process) for process in processes.mentioning(home)}
    _, left = psutil.wait_procs(ending, timeout=10)
    for process in left:
        print(f"left running: {process.pid} {ending[process]}", flush=True)
        process.kill()
    return len(left)


if __name__ == "__main__":
    app()
