"""Queues and bindings of the bus on PostgreSQL: declared, compared, measured."""

from __future__ import annotations

from typing import Any, NoReturn

from manman.events.bus import Depth, Kind, Queue, QueueDiffers, QueueLocked, QueueMissing, Topology, Unsupported
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)

_ARGUMENTS = (
    "kind",
    "single_active_consumer",
    "ttl",
    "max_length",
    "max_bytes",
    "overflow",
    "dead_letter_exchange",
    "auto_delete",
)


async def declare(conn: Connection, topology: Topology, owner: int) -> None:
    """Within the caller's transaction: makes what is missing; exclusive queues become `owner`'s.

    Raises `QueueDiffers` naming queue, argument and both values, `QueueLocked` when another owner has it, `Unsupported` for
    partitions.
    """
    if topology.hash_exchanges or topology.links:
        refuse_hashing()
    await conn.execute(sql["declaring"])
    for queue in topology.queues:
        await conn.fetch(sql["forget_dead_owner"], queue.name, owner)
        wanted = _row(queue)
        mine = owner if queue.kind is Kind.EXCLUSIVE else None
        await conn.execute(sql["add_queue"], queue.name, *wanted.values(), mine)
        found = await conn.fetchrow(sql["get_queue"], queue.name)
        _compare(queue.name, wanted, dict(found), owner)
    for binding in topology.bindings:
        await conn.execute(sql["add_binding"], binding.queue, binding.exchange, binding.pattern)


def refuse_hashing() -> NoReturn:
    """Raises `Unsupported`: what is spread over partitions here would only compete for the same database."""
    raise Unsupported(
        "the bus on PostgreSQL has no partitions: what hosts say is one queue there",
        hint="one partition needs no broker: manman processor partitions 1; more need RabbitMQ, RABBITMQ_URL",
    )


async def unbind(conn: Connection, topology: Topology) -> None:
    """Takes the bindings away; harmless where they are not there."""
    await conn.execute(sql["declaring"])
    for binding in topology.bindings:
        await conn.execute(sql["remove_binding"], binding.queue, binding.exchange, binding.pattern)


def _row(queue: Queue) -> dict[str, Any]:
    overflow = None if queue.overflow is None else queue.overflow.value
    values: dict[str, Any] = {name: getattr(queue, name) for name in _ARGUMENTS}
    return values | {"kind": queue.kind.value, "overflow": overflow}


def _compare(name: str, wanted: dict[str, Any], found: dict[str, Any], owner: int) -> None:
    if found["owner"] not in (None, owner):
        raise QueueLocked(f"queue {name!r} is exclusive and held by another connection")
    differences = [
        f"{argument} is {found[argument]} and should be {wanted[argument]}"
        for argument in _ARGUMENTS
        if found[argument] != wanted[argument]
    ]
    if differences:
        raise QueueDiffers(
            f"queue {name!r} exists with other arguments: {'; '.join(differences)}",
            hint=f"stop its consumers once it is empty, then: DELETE FROM bus_queues WHERE name = '{name}'",
        )


async def depth(conn: Connection, queue: str, owner: int) -> Depth:
    """What the queue holds; raises `QueueMissing`, or `QueueLocked` for another owner's exclusive one."""
    row = await conn.fetchrow(sql["depth"], queue)
    if row is None:
        raise QueueMissing(f"there is no queue {queue!r}")
    if row["owner"] not in (None, owner):
        raise QueueLocked(f"queue {queue!r} is exclusive and held by another connection")
    return Depth(ready=row["ready"], consumers=row["consumers"], unacked=row["unacked"], dropped=row["dropped"])


async def delete(conn: Connection, queue: str) -> None:
    """Removes the queue, its bindings and messages; harmless when it is not there."""
    await conn.execute(sql["delete_queue"], queue)
