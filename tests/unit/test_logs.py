"""Lines that cannot be written are lost, and nothing else is."""

import errno
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from manman.observability import acts, get_logger, observe, set_up_logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What these tests set up is undone: logging is the whole process's."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


class FullDisk(io.StringIO):
    """Every write fails."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_does_not_fail_what_is_told() -> None:
    set_up_logs("info", service="test", json=True, stream=FullDisk)
    with observe(acts.SWEEP_HOSTS) as seen:
        seen.add(marked=1)
    get_logger(__name__).warning("something")


def test_a_line_is_json_with_service_level_and_facts() -> None:
    out = io.StringIO()
    set_up_logs("info", service="test", json=True, stream=lambda: out)
    get_logger(__name__).info("host_sessions", host_id=3)
    get_logger(__name__).debug("not_told")
    [line] = out.getvalue().splitlines()
    said = json.loads(line)
    assert (said["event"], said["host_id"], said["service"], said["level"]) == ("host_sessions", 3, "test", "info")


def test_a_traceback_shows_no_local_variables() -> None:
    out = io.StringIO()
    set_up_logs("info", service="test", json=False, stream=lambda: out)
    token = "mmk_" + "canary"
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        get_logger(__name__).error("failed", exc_info=True)
    assert "RuntimeError: broken" in out.getvalue() and token not in out.getvalue()


def test_of_the_loop_only_what_nobody_else_tells_is_told() -> None:
    out = io.StringIO()
    set_up_logs("info", service="test", json=True, stream=lambda: out)
    try:
        for said, error in (
            ("Future exception was never retrieved", ConnectionError("unexpected connection_lost() call")),
            ("Future exception was never retrieved", ValueError("a bug")),
            ("Task exception was never retrieved", ConnectionError("nobody waits for this task")),
        ):
            logging.getLogger("asyncio").error(said, exc_info=error)
    finally:
        for one in logging.getLogger("asyncio").filters[:]:
            logging.getLogger("asyncio").removeFilter(one)
    told = [json.loads(line)["exception"] for line in out.getvalue().splitlines()]
    assert [line.rpartition(": ")[2] for line in told] == ["a bug", "nobody waits for this task"]
