"""What a batch says of hosts that came back together: of each host its own sessions."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from integration.store_rows import a_session

from manman.domain.hosts import HostMoved, Presence
from manman.domain.ids import DeploymentId, HostId
from manman.domain.sessions import Session, Status
from manman.events.announce import Names
from manman.processor import batch
from manman.processor.world import World

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS, EACH = 40, 3


class Compared(int):
    """The id of a host, and how often any was compared with another one."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int(self) == other

    __hash__ = int.__hash__


async def test_each_host_is_followed_by_its_own_sessions_without_looking_through_those_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = [HostId(Compared(number)) for number in range(1, HOSTS + 1)]
    live = [
        a_session(host * EACH + n, DeploymentId(host * EACH + n), host, status=Status.RUNNING)
        for n in range(EACH)
        for host in here
    ]
    said: list[tuple[int, list[int]]] = []

    async def locked(*_: Any) -> list[Session]:
        return live

    async def names(*_: Any) -> Names:
        return Names(sessions={}, hosts={})

    def announced(moved: HostMoved, _: Names, sessions: list[Session], *__: Any) -> list[Any]:
        said.append((int(moved.host_id), [session.id for session in sessions]))
        return []

    monkeypatch.setattr("manman.store.batches.lock_live_on_hosts", locked)
    monkeypatch.setattr(batch, "_names", names)
    monkeypatch.setattr(batch, "host_moved", announced)
    world = World(now=NOW, threshold=timedelta(seconds=10), chance=os.urandom)
    for host in here:
        moved = HostMoved(host_id=host, from_=Presence.STALE, to=Presence.ONLINE, at=NOW, cause="heartbeat")
        world.hosts_moved.append(moved)
    Compared.times = 0
    anything: Any = None
    await batch._announcements(anything, world)
    assert said == [(host, [host * EACH + n for n in range(EACH)]) for host in range(1, HOSTS + 1)]
    assert Compared.times <= HOSTS * EACH
