"""What a processor really did, written in its own transactions: which number was settled how, which beat was received when.

The rows commit and roll back with what they tell of; so they are no counters that die with `kill -9`.
"""

import time
from types import SimpleNamespace
from typing import Any

from manman.processor import batch
from manman.processor import fold as folds
from manman.processor.heartbeats import HeartbeatConsumer
from manman.store import hosts

TABLES = (
    "CREATE TABLE fault_settled (id bigint GENERATED ALWAYS AS IDENTITY, host bigint, journal text, sequence bigint, outcome text,"
    " key text, at timestamptz)",
    "CREATE TABLE fault_beats (host bigint, received timestamptz, applied timestamptz)",
)
SETTLED = """
    INSERT INTO fault_settled (host, journal, sequence, outcome, key, at)
    SELECT u.*, clock_timestamp() FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) AS u"""
BEATEN = """
    INSERT INTO fault_beats (host, received, applied)
    SELECT u.host, clock_timestamp() - u.ago * interval '1 second', clock_timestamp()
    FROM unnest($1::bigint[], $2::float8[]) AS u (host, ago)"""


def install() -> None:
    """Watch this process."""
    _watch_messages()
    _watch_beats()


def _watch_messages() -> None:
    fold, conclude, commit = folds.fold, folds.conclude, batch.commit
    # The world is kept beside its rows, so that no other one gets its number.
    pending: dict[int, tuple[Any, list[tuple[Any, ...]]]] = {}

    def watched(world: Any, arrived: list[Any]) -> list[Any]:
        outcomes = fold(world, arrived)
        rows = [_row(one, outcome.value) for one, outcome in zip(arrived, outcomes, strict=True)]
        pending[id(world)] = world, [row for row in rows if row is not None]
        return outcomes

    def condemned(world: Any, arrived: Any, why: Any) -> Any:
        outcome = conclude(world, arrived, why)
        row = _row(arrived, outcome.value)
        pending[id(world)] = world, [] if row is None else [row]
        return outcome

    async def committed(conn: Any, world: Any, *more: Any) -> Any:
        numbered = await commit(conn, world, *more)
        _, rows = pending.pop(id(world), (None, []))
        if rows:
            await conn.execute(SETTLED, *(list(column) for column in zip(*rows, strict=True)))
        return numbered

    batch.fold = SimpleNamespace(fold=watched, conclude=condemned)  # type: ignore[attr-defined]
    batch.commit = committed


def _row(arrived: Any, outcome: str) -> tuple[Any, ...] | None:
    if arrived.journal is None or arrived.sequence is None or arrived.replays is not None:
        return None  # a dead letter's replay settles its row, not its number
    return (*arrived.journal, arrived.sequence, outcome, arrived.key)


def _watch_beats() -> None:
    newest_of, update = HeartbeatConsumer.newest_of, hosts.update_last_seen
    delivered: dict[int, float] = {}

    def noted(self: Any, deliveries: Any) -> Any:
        beats, pulses = newest_of(self, deliveries)
        delivered.update((beat.host_id, time.monotonic()) for beat in beats)
        return beats, pulses

    async def updated(conn: Any, beats: Any, **more: Any) -> Any:
        beaten = await update(conn, beats, **more)
        counted = [one.host_id for one in beaten if one.counted]
        if counted:
            await conn.execute(BEATEN, counted, [time.monotonic() - delivered[host] for host in counted])
        return beaten

    HeartbeatConsumer.newest_of = noted  # type: ignore[method-assign]
    hosts.update_last_seen = updated
