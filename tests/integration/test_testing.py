"""A run of the tests ends, whatever hangs in it, and says of every test whether it passed."""

from pathlib import Path

import pytest

from manman.cli import testing

TWO_TRIES = """
from pathlib import Path
def test_sound(): pass
def test_disturbed():
    seen = Path("seen")
    assert seen.exists() or seen.touch()
"""
MEETING = """
import time
from pathlib import Path
def test_both_are_here():
    Path("{own}").touch()
    until = time.monotonic() + 90
    while not Path("{other}").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
"""
BROKEN = "def test_sound(): pass\ndef test_broken(): assert False\n"
HANGING = "import threading\ndef test_sound(): pass\ndef test_hanging(): threading.Event().wait()\n"
ASYNC = """
import asyncio, pathlib, pytest
@pytest.fixture
async def taken_down():
    yield
    pathlib.Path("down").touch()
@pytest.mark.timeout(20)
async def test_hanging(taken_down): await asyncio.Event().wait()
async def test_next(): pass
"""
GROUP = testing.Group(folders=("integration",))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a folder for one test file; no package is installed for it."""
    (tmp_path / "tests" / "integration").mkdir(parents=True)
    monkeypatch.setattr(testing, "CHECKOUT", tmp_path)
    monkeypatch.setattr(testing, "TESTS", tmp_path / "tests")
    monkeypatch.setattr(testing, "provide", lambda _: None)
    return tmp_path


def count(checkout: Path, text: str, *arguments: str) -> tuple[int, int]:
    """Passed and failed of a group with this one file."""
    (checkout / "tests" / "integration" / "test_it.py").write_text(text)
    told = testing.run_together((GROUP,), ["-p", "no:randomly", *arguments])
    return told.passed, told.failed


def test_who_fails_and_then_passes_alone_passes_and_is_named(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert count(checkout, TWO_TRIES) == (2, 0)
    assert "PASSED ONLY WHEN ALONE: tests/integration/test_it.py::test_disturbed" in capfd.readouterr().out


def test_who_fails_twice_has_failed(checkout: Path) -> None:
    assert count(checkout, BROKEN) == (1, 1)


def test_groups_run_at_the_same_time_and_the_words_of_the_second_come_at_its_end(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (checkout / "tests" / "sim").mkdir()
    (checkout / "tests" / "integration" / "test_it.py").write_text(MEETING.format(own="here", other="there"))
    (checkout / "tests" / "sim" / "test_there.py").write_text(MEETING.format(own="there", other="here") + TWO_TRIES)
    told = testing.run_together((GROUP, testing.CHOICES["sim"]), ["-p", "no:randomly"])
    assert (told.passed, told.failed) == (4, 0)
    said = capfd.readouterr().out
    assert said.index("== tests/sim (aside)") < said.index("1 passed in") < said.index("== tests/sim\n")
    assert said.endswith("PASSED ONLY WHEN ALONE: tests/sim/test_there.py::test_disturbed\n")


def test_a_file_that_cannot_be_read_is_a_failure(checkout: Path) -> None:
    assert count(checkout, "import no_such_module\n") == (0, 1)


def test_a_test_that_hangs_is_ended_and_has_failed(checkout: Path) -> None:
    passed, failed = count(checkout, HANGING, "-o", "timeout=5", "-o", "timeout_method=thread", "-n", "1")
    assert (passed, failed) == (1, 1)


def test_a_group_that_hangs_is_ended_and_has_failed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "GROUP_SECONDS", 3)
    assert count(checkout, HANGING) == (0, 1)


def test_an_async_test_that_hangs_has_its_fixtures_taken_down_and_the_next_one_runs(checkout: Path) -> None:
    (checkout / "conftest.py").write_text((Path(__file__).parents[1] / "conftest.py").read_text())
    shown = ("-o", "anyio_mode=auto", "-o", f"pythonpath={Path(__file__).parents[1]}", "-o", "timeout=60")
    assert count(checkout, ASYNC, *shown) == (1, 1)
    assert (checkout / "down").exists()
