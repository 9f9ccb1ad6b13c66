"""Generations of partitions and what was asked for: the state of a change, whoever carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from manman.domain.ids import HostId
from manman.domain.partitions import Do, Generation, Step, Wanted
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What there is, read at `now`; `led_for` as `domain.partitions.next_step` wants it. `epoch` is another one after a restore."""

    wanted: Wanted
    begun: tuple[Generation, ...]
    now: datetime
    epoch: int
    led_for: timedelta | None


async def ask(conn: Connection, partitions: int) -> bool:
    """Asks for this many partitions; whether that is a change."""
    return str(await conn.execute(sql["ask"], partitions)) == "UPDATE 1"


async def wanted(conn: Connection) -> Wanted:
    """What was asked for last."""
    row = await conn.fetchrow(sql["wanted"])
    return Wanted(partitions=row["partitions"], generation=row["generation"])


async def begun(conn: Connection) -> tuple[Generation, ...]:
    """The generations that were begun and are not gone, oldest first."""
    rows = await conn.fetch(sql["begun"])
    return tuple(Generation(**{**dict(row), "ended": tuple(row["ended"])}) for row in rows)


async def state(conn: Connection, lease: str) -> State:
    """Everything that decides about the next step of whoever holds the lease."""
    row = await conn.fetchrow(sql["led_for"], lease)
    return State(
        wanted=await wanted(conn),
        begun=await begun(conn),
        now=row["now"],
        epoch=row["epoch"],
        led_for=row["led_for"],
    )


async def note(conn: Connection, step: Step) -> None:
    """A step was made (`begin` is made by this); noting it again changes nothing."""
    if step.do is Do.BEGIN:
        await conn.execute(sql["begin"], step.number, step.partitions)
    else:
        await conn.execute(sql[step.do.value], step.number)


async def end(conn: Connection, generation: int, partition: int, mark: int) -> None:
    """The mark at a partition's end was consumed: all that came before it is settled."""
    await conn.execute(sql["end"], generation, partition, mark)


async def settled(conn: Connection, places: Sequence[tuple[HostId, str, int]]) -> set[tuple[HostId, str, int]]:
    """Which of these numbers (host, journal, number) are in the inbox: applied, refused, or closed by a report."""
    if not places:
        return set()
    rows = await conn.fetch(sql["settled"], *map(list, zip(*places, strict=True)))
    return {(HostId(row["host"]), row["journal"], row["number"]) for row in rows}
