"""A host leaves by exactly one event, however often and late it is said that it is gone, and returns by one."""

from datetime import UTC, datetime, timedelta

import pytest

from manman.domain.hosts import GOODBYE, Heard, HostMoved, Presence
from manman.domain.ids import HostId
from manman.events import contracts, topics
from manman.events.codec import Message
from manman.processor import fold
from manman.processor.outcomes import Outcome
from manman.processor.world import Arrived, World

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST = HostId(1)
ONLINE = Heard(host_id=HOST, online=True, boot=3, beat=7, last_seen=NOW - timedelta(seconds=3))
STALE = Heard(host_id=HOST, online=False, boot=3, beat=7, last_seen=NOW - timedelta(seconds=30))
NEW = Heard(host_id=HOST, online=False, boot=0, beat=0, last_seen=None)


def a_world(heard: Heard) -> World:
    return World(now=NOW, threshold=timedelta(seconds=10), chance=bytes, hosts={HOST: heard})


def say(world: World, word: str, boot: int) -> Outcome:
    """The host says hello or goodbye in a boot."""
    key = topics.status("host", word, HOST)
    kind = contracts.HostOnline if word == "online" else contracts.HostOffline
    message = Message(key=topics.parse(key), body=kind(host_id=HOST, boot=boot), host_id=HOST)
    [outcome] = fold.fold(world, [Arrived(key=key, headers={}, body=b"", message=message)])
    return outcome


def announced(world: World) -> list[HostMoved]:
    return [moved for moved in world.hosts_moved if moved.is_announced]


def test_a_goodbye_is_announced_once() -> None:
    world = a_world(ONLINE)
    assert say(world, "offline", 3) is Outcome.APPLIED
    assert say(world, "offline", 3) is Outcome.LATE
    assert [(m.from_, m.to) for m in announced(world)] == [(Presence.ONLINE, Presence.OFFLINE)]


@pytest.mark.parametrize("boot", [3, 4])
def test_a_silent_host_whose_goodbye_comes_late_leaves_no_second_time_and_its_boot_is_closed(boot: int) -> None:
    world = a_world(STALE)
    assert say(world, "offline", boot) is Outcome.APPLIED
    assert (world.hosts[HOST].online, world.hosts[HOST].boot, world.hosts[HOST].beat) == (False, boot, GOODBYE)
    assert announced(world) == []
    assert [(m.from_, m.to) for m in world.hosts_moved] == [(Presence.STALE, Presence.OFFLINE)]
    assert say(world, "online", boot) is Outcome.LATE
    assert not world.hosts[HOST].online


def test_it_returns_once_and_says_for_how_long_it_was_silent() -> None:
    world = a_world(STALE)
    say(world, "offline", 3)
    assert say(world, "online", 4) is Outcome.APPLIED
    assert say(world, "online", 4) is Outcome.UNCHANGED
    [back] = announced(world)
    assert (back.from_, back.to, back.last_seen) == (Presence.OFFLINE, Presence.ONLINE, STALE.last_seen)


def test_a_host_that_was_never_heard_does_not_leave() -> None:
    world = a_world(NEW)
    assert say(world, "offline", 1) is Outcome.UNCHANGED
    assert world.hosts_moved == []
    assert world.presence(HOST) is Presence.NEW
    assert say(world, "online", 1) is Outcome.LATE
    say(world, "online", 2)
    assert [(m.from_, m.to) for m in world.hosts_moved] == [(Presence.NEW, Presence.ONLINE)]
