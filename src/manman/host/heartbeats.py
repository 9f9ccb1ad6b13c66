"""Heartbeats: boot and beat, counts and fingerprint of the live sessions, and samples of the machine. Perishable: never
journalled; one that could not go out within 2 s is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from manman.domain.ids import SessionId
from manman.errors import ManManError
from manman.events import codec, contracts, topics
from manman.events.bus import Bus, Outgoing
from manman.events.envelope import HOST
from manman.host import disk
from manman.host.journal import Journal
from manman.host.reports import version

LONGEST_WAIT = 2.0
LIVE = ("pending", "starting", "running", "stopping")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """One live session as a heartbeat counts it; `sample` is the wrapper's last one."""

    session_id: SessionId
    status: str
    players: int | None = None
    sample: dict[str, Any] | None = None


def counts(lives: Iterable[Lives]) -> tuple[contracts.Counts, contracts.Live, int | None]:
    """(sessions by status, fingerprint of their ids, players of all; None where no game tells)."""
    by = dict.fromkeys(LIVE, 0)
    xor = total = 0
    players: int | None = None
    for one in lives:
        by[one.status] += 1
        xor ^= one.session_id
        total += 1
        if one.players is not None:
            players = (players or 0) + one.players
    return contracts.Counts(total=total, **by), contracts.Live(count=total, xor=xor), players


class Heartbeats:
    """Beats of one life of the agent: 1, 2, 3, …"""

    def __init__(
        self, journal: Journal, bus: Bus, state: Path, lives: Callable[[], list[Lives]], now: Callable[[], datetime]
    ) -> None:
        self._journal, self._bus, self._state, self._lives = journal, bus, state, lives
        self._now = now
        self._beat = 0
        psutil.cpu_percent()  # the first one only sets the mark that the next is measured from

    def next(self) -> contracts.Heartbeat:
        """The next beat."""
        self._beat += 1
        lives = self._lives()
        sessions, live, players = counts(lives)
        memory = psutil.virtual_memory()
        room = disk.room(self._state)
        return contracts.Heartbeat(
            host_id=self._journal.host_id,
            boot=self._journal.boot,
            beat=self._beat,
            at=self._now(),
            journal_id=self._journal.journal_id,
            sequence=self._journal.sequence,
            sessions=sessions,
            live=live,
            cpu=round(psutil.cpu_percent() / 100, 4),
            memory={"total": memory.total, "used": memory.total - memory.available},
            disk={"total": room.total, "free": room.free},
            players=players,
            agent_version=version(),
            samples=[_sample(one) for one in lives if one.sample is not None or one.players is not None] or None,
        )

    async def step(self) -> bool:
        """Sends one beat; False where it was dropped."""
        if not self._bus.connected:
            return False
        body = self.next()
        message = Outgoing(
            exchange=topics.INTERNAL,
            key=topics.heartbeat(self._journal.host_id),
            body=codec.encode_body(body),
            headers={HOST: str(self._journal.host_id)},
            ttl=timedelta(seconds=10),
            perishable=True,
        )
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await self._bus.publish([message])
        except (ManManError, TimeoutError):
            return False
        return True


def _sample(one: Lives) -> dict[str, Any]:
    said: dict[str, Any] = {"session_id": one.session_id, **(one.sample or {})}
    if one.players is not None:
        said["players"] = one.players
    return said
