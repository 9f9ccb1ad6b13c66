"""A sign of life that waited for the database makes its host heard as of when it was taken, not of when it is applied."""

from datetime import UTC, datetime, timedelta

import pytest

from manman.domain.hosts import Heard, unreachable_since
from manman.domain.ids import HostId
from manman.events import contracts, topics
from manman.events.codec import Message
from manman.processor import fold
from manman.processor.world import Arrived, World

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST = HostId(1)
THRESHOLD = timedelta(seconds=10)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def after_online(last_seen: datetime | None, taken: float | None) -> Heard:
    """How the host is heard once the next boot's `online`, taken at that second of the loop's clock, is applied at second 100."""
    heard = Heard(host_id=HOST, online=last_seen is not None, boot=3, beat=7, last_seen=last_seen)
    world = World(now=NOW, threshold=THRESHOLD, chance=bytes, hosts={HOST: heard}, loop_now=100.0)
    key = topics.status("host", "online", HOST)
    message = Message(key=topics.parse(key), body=contracts.HostOnline(host_id=HOST, boot=4), host_id=HOST)
    fold.fold(world, [Arrived(key=key, headers={}, body=b"", message=message, taken=taken)])
    return world.hosts[HOST]


@pytest.mark.parametrize(
    ("last_seen", "taken", "seen"),
    [
        (ago(30), None, NOW),
        (ago(30), 100.0, NOW),
        (ago(30), 83.0, ago(17)),
        (ago(5), 83.0, ago(5)),
        (None, 83.0, ago(17)),
        (ago(30), 101.0, NOW),
    ],
)
def test_a_host_is_heard_when_its_word_was_taken_and_no_earlier_than_before(
    last_seen: datetime | None, taken: float | None, seen: datetime
) -> None:
    heard = after_online(last_seen, taken)
    assert (heard.boot, heard.online, heard.last_seen) == (4, True, seen)


def test_what_waited_longer_than_the_threshold_shows_nobody_as_plainly_running() -> None:
    assert unreachable_since(after_online(ago(30), 83.0), NOW, THRESHOLD) == ago(17)
    assert unreachable_since(after_online(ago(30), 99.0), NOW, THRESHOLD) is None
