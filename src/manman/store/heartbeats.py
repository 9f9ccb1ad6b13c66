"""What comes with heartbeats beside liveness: how far a host's journal is written, samples of the machine, players of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from manman.domain.ids import HostId, SessionId
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
SAMPLED_EVERY = 10
"""Seconds between the finest samples of a machine; they begin at whole multiples of it by the database's clock."""


class Sample(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A machine at one moment: `cpu` is a share of 0 to 1, memory and disk are bytes."""

    host_id: HostId
    cpu: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    disk_used: int | None = None
    disk_total: int | None = None
    players: int | None = None


async def tell_written(conn: Connection, written: Mapping[tuple[HostId, str], int]) -> None:
    """The last number that each journal is said to hold; what is not settled up to there is a hole from now on."""
    if written:
        keys = sorted(written)
        await conn.execute(sql["told"], [k[0] for k in keys], [k[1] for k in keys], [written[k] for k in keys])


async def add_samples(conn: Connection, samples: Sequence[Sample]) -> None:
    """Keep one sample of ten seconds for each host. Their liveness rows are locked, so that none of them goes meanwhile."""
    if samples:
        names = ("host_id", "cpu", "memory_used", "memory_total", "disk_used", "disk_total", "players")
        await conn.execute(sql["samples"], *([getattr(one, name) for one in samples] for name in names))


async def set_players(conn: Connection, players: Mapping[tuple[HostId, SessionId], int]) -> None:
    """How many play, by session; a row that somebody changes right now is left for the next heartbeat."""
    if players:
        keys = sorted(players)
        await conn.execute(sql["players"], [k[0] for k in keys], [k[1] for k in keys], [players[k] for k in keys])
