"""How long a bus waits before it connects again."""

import pytest

from manman.errors import Unavailable
from manman.events.bus import QueueLocked
from manman.events.rabbit import keeping

AWAY = Unavailable("out of reach")


def most(count: int) -> bytes:
    return b"\xff" * count


@pytest.mark.parametrize("failures", [1, 5, 1000])
def test_where_another_connection_holds_its_queue_it_tries_each_second(failures: int) -> None:
    locked = QueueLocked("held by another connection")
    assert {keeping.pause(failures, locked, chance) for chance in (bytes, most)} == {1.0}


def test_else_the_pause_grows_to_its_bound_and_is_jittered_by_half() -> None:
    assert [keeping.pause(n, AWAY, bytes) for n in (1, 2, 3, 1000)] == [0.1, 0.2, 0.4, 2.5]
    assert keeping.pause(1000, AWAY, most) == pytest.approx(5.0)
