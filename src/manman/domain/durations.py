"""Durations as the API writes them: "90s", "1.5s", "1m30s"."""

import re
from datetime import timedelta

PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse(text: str | None, default: timedelta) -> timedelta:
    """The span of a text; `default` when there is none. Raises `ValueError` with a sentence."""
    if not text:
        return default
    parts = PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it as 90s or 1m30s")
    return timedelta(seconds=sum(float(number) * UNITS[unit] for number, unit in parts))
