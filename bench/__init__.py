"""Measurements: `make bench` runs them all, `python -m bench NAME…` some. They print figures and assert no time.

A measurement is a module named in `PARTS` with `measure() -> list[Figure]`; services come from `tests/harness`. What was measured
last is kept in `results.json`, from which `RESULTS.md` and `results.svg` are written, so that parts can be run one by one.
`BENCH_REPEATS` is how often each comparison runs (3); `--seconds` (`BENCH_SECONDS`) how long what is held is held.
"""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

PARTS = (
    "processor",
    "latency",
    "lone",
    "growth",
    "detection",
    "silence",
    "failover",
    "heartbeats",
    "memory",
    "hold",
    "profile",
    "codec",
    "databases",
)
REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number: what, how much, in which unit. `low` and `high`: the spread where it was measured several times.

    `target` is what was aimed at, in words, and `met` whether this run reached it; both empty where nothing was aimed at.
    """

    what: str
    amount: float
    unit: str
    low: float | None = None
    high: float | None = None
    target: str = ""
    met: bool | None = None


def progress(text: str) -> None:
    """One line for whoever waits: how far a measurement is."""
    print(f"    … {text}", flush=True)


def seconds(usually: int) -> int:
    """How long to hold what is held."""
    return int(os.environ.get("BENCH_SECONDS", usually))


def median(
    what: str,
    amounts: Sequence[float],
    unit: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    target: str = "",
) -> Figure:
    """The median of several runs with their spread, beside the target."""
    middle = statistics.median(amounts)
    met = None if at_least is None and at_most is None else middle >= (at_least or 0) and middle <= (at_most or middle)
    said = target or (f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}" if at_most else "")
    return Figure(what=what, amount=middle, unit=unit, low=min(amounts), high=max(amounts), target=said, met=met)


def none(what: str, amounts: Sequence[float]) -> Figure:
    """What must not be: the most of it in several runs."""
    most = max(amounts)
    return Figure(what=what, amount=most, unit="", low=min(amounts), high=most, target="0", met=most == 0)
