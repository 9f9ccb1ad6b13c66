"""A flood of refusals is counted, and told by a few lines."""

import structlog

from manman.observability import metrics
from manman.processor import remarks
from manman.processor.world import DeadLetter


def letters(count: int) -> list[DeadLetter]:
    key = "status.session.running.7"
    return [DeadLetter(key=key, headers={}, body=b"", reason="foreign", detail=f"no {n}") for n in range(count)]


def counted() -> float:
    return metrics.REGISTRY.get_sample_value("manman_notices_total", {"what": "dead_letters"}) or 0.0


def told(count: int) -> list[str]:
    with structlog.testing.capture_logs() as logs:
        remarks.refused(letters(count))
    return [line["event"] for line in logs]


def test_a_few_are_told_each_by_a_line() -> None:
    assert told(0) == []
    assert told(remarks.MOST) == ["dead_letter"] * remarks.MOST


def test_of_a_flood_the_first_are_told_and_all_are_counted() -> None:
    before = counted()
    assert told(4000) == ["dead_letter"] * remarks.MOST + ["dead_letters_more"]
    assert counted() - before == 4000
