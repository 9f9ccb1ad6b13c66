"""Times and sizes in words."""

from datetime import UTC, datetime, timedelta

import pytest

from manman.ui import times

NOW = datetime(2026, 11, 24, 3, 19, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 00 min"),
        (11000, "3 h 03 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_spans(seconds: float, said: str) -> None:
    assert times.span(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(minutes=12), "03:07:42"),
        (timedelta(days=2), "Sun 03:19"),
        (timedelta(days=20), "4 Nov 03:19"),
        (timedelta(days=400), "20 Oct 2025"),
    ],
)
def test_moments_say_the_day_only_where_it_is_another(ago: timedelta, said: str) -> None:
    assert times.moment(NOW - ago, NOW) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (None, "–"),
        (0, "0 B"),
        (1023, "1023 B"),
        (2048, "2 KiB"),
        (512 * 1024**2, "512.0 MiB"),
        (4 * 1024**3, "4.0 GiB"),
    ],
)
def test_sizes(count: int | None, said: str) -> None:
    assert times.size(count) == said


def test_shares_stay_between_nothing_and_all() -> None:
    assert [times.share(one) for one in (None, 0.0, 0.404, 1.7)] == ["–", "0 %", "40 %", "100 %"]
    assert (
        times.plural(1, "host") == "1 host"
        and times.plural(1024, "message was", "messages were") == "1,024 messages were"
    )
