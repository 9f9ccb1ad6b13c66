"""Times and sizes in words: relative to an hour, then the clock, then day and clock; never a guess about what is unset."""

from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


def span(length: timedelta) -> str:
    """'12 s', '4 min', '3 h 02 min', '2 d 5 h'; a negative one is '0 s'."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def clock(at: datetime) -> str:
    """'03:07:12'."""
    return at.strftime("%H:%M:%S")


def moment(at: datetime, now: datetime) -> str:
    """The clock today, day and clock within a week, else the date."""
    if at.date() == now.date():
        return clock(at)
    if abs(now - at) < timedelta(days=6):
        return at.strftime("%a %H:%M")
    return f"{at.day} {at.strftime('%b %H:%M')}" if at.year == now.year else f"{at.day} {at.strftime('%b %Y')}"


def exact(at: datetime) -> str:
    """With date and zone, for hover and focus: '2026-11-24 03:07:12 UTC'."""
    return at.strftime("%Y-%m-%d %H:%M:%S %Z").strip()


def size(count: int | None) -> str:
    """'4.0 GiB', '512 MiB', '–' for unset."""
    if count is None:
        return "–"
    value, unit = float(count), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{int(value)} B" if unit == "B" else f"{value:.1f} {unit}" if unit != "KiB" else f"{value:.0f} KiB"


def used(part: int, whole: int) -> str:
    """'9.1 of 31.0 GiB'; each with its unit where they differ."""
    (few, small), (many, big) = size(part).split(" "), size(whole).split(" ")
    return f"{few} of {many} {big}" if small == big else f"{few} {small} of {many} {big}"


def share(value: float | None) -> str:
    """0.4 → '40 %', '–' for unset."""
    return "–" if value is None else f"{round(min(max(value, 0.0), 1.0) * 100)} %"


def number(value: int) -> str:
    """'1,024'."""
    return f"{value:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """'1 host', '3 hosts'."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
