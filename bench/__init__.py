"""Measurements: `make bench` runs them all, `python -m bench NAME…` some. They print figures and assert no time.

A measurement is a module here with `measure() -> list[Figure]`; services come from `tests/harness`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number: what, how much, in which unit."""

    what: str
    amount: float
    unit: str
