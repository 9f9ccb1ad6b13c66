"""`manman test`: what the tests need is installed and started, the groups run in turn, and nothing remains.

Unit and house tests come first (seconds). Contract, integration and acceptance tests wait more than they compute, so
more of them run at once than there are cores. Faults, which wait too, share the machine with the simulation, which has
a clock of its own and so takes what is left. A group that fails does not keep the others from running.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from contextlib import ExitStack
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

    `services`: packages are needed. `workers`: test processes at once; 0 is this one.
    """

    folders: tuple[str, ...]
    services: bool = True
    workers: int = 0


def of(*folders: str, workers: int, services: bool = True) -> Group:
    """A group, in short."""
    return Group(folders=folders, workers=workers, services=services)


CHOICES: dict[str, Group] = {
    "unit": of("unit", workers=2, services=False),
    "house": of("house", workers=2, services=False),
    "contract": of("contract", workers=4),
    "integration": of("integration", workers=4),
    "acceptance": of("acceptance", workers=3),
    "sim": of("sim", workers=2),
    "faults": of("faults", workers=3),
}
# What runs at the same time: whoever does not come first takes the processor time that the first one leaves.
ALL: tuple[tuple[Group, ...], ...] = (
    (of("unit", "house", workers=2, services=False),),
    (of("contract", "integration", workers=4),),
    (CHOICES["acceptance"],),
    (CHOICES["faults"], CHOICES["sim"]),
)


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
    chosen = ((CHOICES[arguments.pop(0)],),) if arguments and arguments[0] in CHOICES else ALL
    if not TESTS.is_dir():
        typer.echo("the tests are part of the repository, not of the package: run this in a checkout", err=True)
        raise typer.Exit(2)
    try:
        run_with_services(chosen, arguments)
    except PackagesMissing as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def run_with_services(chosen: Sequence[Sequence[Group]], arguments: Sequence[str]) -> None:
    """Own the run's services while its groups run. Ends the process with 1 when a test failed or none ran."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.path.insert(0, str(TESTS))
    shared: Any = importlib.import_module("harness.shared")
    home = shared.begin()
    total = Count()
    try:
        for groups in chosen:
            total = total.plus(run_together(groups, arguments))
    finally:
        if home is not None:
            shared.end(home)
            total = total.plus(Count(failed=left_running(home)))
    print(f"{total.passed} passed, {total.failed} failed", flush=True)
    if total.failed or not total.passed:
        raise typer.Exit(1)


def run_together(groups: Sequence[Group], arguments: Sequence[str]) -> Count:
    """One pytest for each of these groups, at the same time; then the few that failed, alone."""
    present = [group for group in groups if any(any((TESTS / name).rglob("test_*.py")) for name in group.folders)]
    if any(group.services for group in present):
        provide(CHECKOUT / ".tools" / "apt-test.log")
    with ExitStack() as stack:
        runs = [stack.enter_context(Run(group, arguments, aside=group is not present[0])) for group in present]
        counts = [run.end() for run in runs]
        repeats = [run.repeat() for run, count in zip(runs, counts, strict=True) if run.wants_repeat(count)]
    total = Count()
    for count in [*counts, *repeats]:
        total = total.plus(count)
    return total


class Run:
    """One pytest over a group's folders. Its words go to the terminal; `aside`, they are kept until it ends, and it is nice."""

    def __init__(self, group: Group, arguments: Sequence[str], *, aside: bool = False) -> None:
        self.group, self.aside = group, aside
        self._arguments = arguments

    def __enter__(self) -> "Run":
        folders = [f"tests/{name}" for name in self.group.folders if any((TESTS / name).rglob("test_*.py"))]
        self.name = " ".join(folders)
        self._folder = tempfile.TemporaryDirectory(prefix="mmr")
        self._place = Path(self._folder.name)
        cache = ["-o", f"cache_dir={self._place}/cache"]
        self._command = [sys.executable, "-m", "pytest", *folders, *cache, *self._arguments]
        workers = ["-n", str(self.group.workers), "--dist", "worksteal"] if self.group.workers else []
        print(f"== {self.name}{' (aside)' if self.aside else ''}", flush=True)
        self._begin([*self._command, *workers])
        return self

    def __exit__(self, *_: object) -> None:
        if self._child.poll() is None:
            self._child.kill()  # what it started dies with it
            self._child.wait()
        self._folder.cleanup()

    def _begin(self, command: Sequence[str]) -> None:
        self._report = self._place / "report.xml"
        self._report.unlink(missing_ok=True)
        self._until = time.monotonic() + GROUP_SECONDS
        nice = ["nice"] if self.aside else []
        out = (self._place / "said").open("wb") if self.aside else None
        child = [*nice, *command, f"--junitxml={self._report}"]
        self._child = subprocess.Popen(child, cwd=CHECKOUT, env=environment(), stdout=out, stderr=out)
        if out is not None:
            out.close()

    def end(self) -> Count:
        """Wait for its end; one that breaks, or that hangs in spite of its own bounds, counts as a failure."""
        try:
            code = self._child.wait(max(0.0, self._until - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"no end after {GROUP_SECONDS} s: {self.name} is ended", flush=True)
            self._child.kill()
            self._child.wait()
            code = 1
        if self.aside:
            print(f"== {self.name}\n{(self._place / 'said').read_text(errors='replace')}", flush=True)
        count = count_of(self._report)
        if code not in (0, 5) and not count.failed:
            return count.plus(Count(failed=1))
        return count

    def wants_repeat(self, count: Count) -> bool:
        """Whether so few failed that the machine may have been the reason; what needs no service has no such excuse."""
        return self.group.services and 0 < count.failed <= REPEATED_AT_MOST

    def repeat(self) -> Count:
        """The few that failed, once more and alone; how the count changes. Whoever passes now is named: it wants mending."""
        told = self._place / "cache/v/cache/lastfailed"
        failed: list[str] = sorted(json.loads(told.read_text())) if told.exists() else []
        if not failed:
            return Count()
        print(f"== once more, alone: {' '.join(failed)}", flush=True)
        self.aside = False
        self._begin([*self._command, "--last-failed", "--last-failed-no-failures=none"])
        again = self.end()
        if again.failed or again.passed != len(failed):
            return Count()
        for name in failed:
            print(f"PASSED ONLY WHEN ALONE: {name}", flush=True)
        return Count(passed=again.passed, failed=-again.passed)


def environment() -> dict[str, str]:
    """What tests inherit: nothing that would point them at somebody's real installation, nor forbids to keep bytecode.

    Without it each of the hundreds of processes of a run compiles ManMan and its libraries anew: 0.8 s for 0.2.
    """
    theirs = ("MANMAN_URL", "MANMAN_TOKEN", "STATE_DIR", "DATABASE_URL", "RABBITMQ_URL", "PYTEST_ADDOPTS")
    ours = (*theirs, "PYTHONDONTWRITEBYTECODE")
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
