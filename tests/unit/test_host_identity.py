"""When an agent takes its identity for another one's: only then it leaves to that one what is to begin."""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import structlog.testing

from manman.domain.ids import HostId
from manman.errors import ManManError, Unavailable
from manman.events.bus import Bus, QueueLocked, Topology
from manman.host.identity import IdentityLock, are_of_two
from manman.host.journal import Journal

LONG, NONE = 1e9, 0.0
ONE, OTHER = {"machine_id": "one"}, {"machine_id": "other"}


class Broker:
    """A connection to a broker whose queue of this name another one holds while `locks`."""

    def __init__(self, *, locks: bool = False, away: bool = False) -> None:
        self.locks, self.connected = locks, not away
        self.trouble: ManManError | None = None

    async def wait_connected(self) -> None:
        if not self.connected:
            await asyncio.Event().wait()

    async def declare(self, topology: Topology, **_: Any) -> None:
        if self.locks:
            raise QueueLocked("held by another connection")


@contextmanager
def life(
    disk: Path, broker: Broker, *, threshold: float = LONG, marks: Mapping[str, str] = ONE
) -> Iterator[IdentityLock]:
    journal = Journal(disk / "journal.db", HostId(3), chance=os.urandom)
    try:
        yield IdentityLock(journal, cast(Bus, broker), asyncio.Event(), threshold=threshold, marks=marks)
    finally:
        journal.close()


async def tried(lock: IdentityLock) -> None:
    """One try to have it."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(lock.hold(), 0.05)


async def test_while_the_broker_says_that_another_connection_has_it_nothing_begins(tmp_path: Path) -> None:
    with life(tmp_path, Broker(locks=True)) as lock:
        await tried(lock)
        assert lock.may_be_anothers


async def test_a_broker_that_goes_before_its_own_dead_connection_was_gone_holds_nothing_back(tmp_path: Path) -> None:
    broker = Broker(locks=True)
    with life(tmp_path, broker) as lock:
        await tried(lock)
        broker.connected = False
        assert not lock.may_be_anothers
        broker.connected = True
        assert lock.may_be_anothers
        broker.locks = False
        await tried(lock)
        assert not lock.may_be_anothers


async def test_a_lock_that_lasted_for_the_threshold_is_anothers_also_when_the_broker_goes(tmp_path: Path) -> None:
    broker = Broker(locks=True)
    with life(tmp_path, broker, threshold=NONE) as lock:
        await tried(lock)
        broker.connected = False
        assert lock.may_be_anothers


async def test_one_that_lost_it_meanwhile_waits_only_while_the_broker_says_that_another_has_it(tmp_path: Path) -> None:
    broker = Broker()
    with life(tmp_path, broker) as lock:
        await tried(lock)
        broker.connected, broker.trouble = False, QueueLocked("held by another connection")
        assert lock.may_be_anothers
        broker.trouble = Unavailable("out of reach")
        assert not lock.may_be_anothers


async def test_one_that_finds_it_anothers_when_it_connects_again_says_so_once_for_each_time(tmp_path: Path) -> None:
    broker, said = Broker(), "another_agent_has_this_identity"
    with life(tmp_path, broker, threshold=NONE) as lock, structlog.testing.capture_logs() as logs:
        for times in (1, 2):
            await lock.look()
            assert not lock.may_be_anothers and [one["event"] for one in logs].count(said) == times - 1
            broker.connected, broker.trouble = False, QueueLocked("held by another connection")
            for _ in range(3):
                await lock.look()
                assert lock.may_be_anothers and [one["event"] for one in logs].count(said) == times
            broker.connected, broker.trouble = True, None


async def test_before_the_threshold_it_may_be_its_own_dead_connection_that_holds_it(tmp_path: Path) -> None:
    broker = Broker()
    with life(tmp_path, broker, threshold=LONG) as lock, structlog.testing.capture_logs() as logs:
        await lock.look()
        broker.connected, broker.trouble = False, QueueLocked("held by another connection")
        await lock.look()
        assert lock.may_be_anothers and not logs


async def test_a_disk_on_another_machine_is_taken_for_a_copy_until_its_agent_had_its_identity_there(
    tmp_path: Path,
) -> None:
    with life(tmp_path, Broker()) as lock:
        await tried(lock)
    for marks, is_copy in ((ONE, False), (OTHER, True), (OTHER, True), (ONE, False)):
        with life(tmp_path, Broker(away=True), marks=marks) as lock:
            await tried(lock)
            assert lock.may_be_anothers == is_copy
    with life(tmp_path, Broker(), marks=OTHER) as lock:
        await tried(lock)
        assert not lock.may_be_anothers
    for marks, is_copy in ((OTHER, False), (ONE, True)):
        with life(tmp_path, Broker(away=True), marks=marks) as lock:
            assert lock.may_be_anothers == is_copy


def test_only_marks_that_both_have_tell_machines_apart() -> None:
    both = {"machine_id": "one", "product_uuid": "u"}
    assert not are_of_two({}, both) and not are_of_two(both, {})
    assert not are_of_two({"machine_id": "one"}, both) and not are_of_two(both, dict(both))
    assert are_of_two(both, both | {"product_uuid": "v"})
    assert not are_of_two(both, both | {"machine_id": "made anew at each boot"})
