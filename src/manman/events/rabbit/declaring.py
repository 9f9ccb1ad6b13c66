"""Topology in AMQP's words."""

from __future__ import annotations

from typing import Any

from manman.events.bus import NO_DELIVERY_LIMIT, Kind, Queue, Topology
from manman.events.rabbit import link
from manman.events.rabbit.lane import LaneConnection


def arguments(queue: Queue) -> dict[str, Any]:
    """The `x-…` arguments of a queue; spans in milliseconds."""
    wanted: dict[str, Any] = {
        "x-message-ttl": None if queue.ttl is None else int(queue.ttl.total_seconds() * 1000),
        "x-max-length": queue.max_length,
        "x-max-length-bytes": queue.max_bytes,
        "x-overflow": None if queue.overflow is None else queue.overflow.value,
        "x-dead-letter-exchange": queue.dead_letter_exchange,
        "x-single-active-consumer": queue.single_active_consumer or None,
    }
    if queue.kind is Kind.QUORUM:
        wanted |= {"x-queue-type": "quorum", "x-delivery-limit": NO_DELIVERY_LIMIT}
    else:
        wanted["x-queue-type"] = "classic"
    return {name: value for name, value in wanted.items() if value is not None}


async def declare(connection: LaneConnection, topology: Topology) -> None:
    """Exchanges, then queues, then bindings, on a channel of its own; the first refusal is raised."""
    channel = await link.open_channel(connection)
    try:
        for exchange in topology.exchanges:
            await link.reply(channel, channel.exchange_declare, exchange, exchange_type="topic", durable=True)
        for queue in topology.queues:
            exclusive = queue.kind is Kind.EXCLUSIVE
            await link.reply(
                channel,
                channel.queue_declare,
                queue.name,
                durable=not exclusive,
                exclusive=exclusive,
                auto_delete=queue.auto_delete,
                arguments=arguments(queue),
            )
        for binding in topology.bindings:
            await link.reply(channel, channel.queue_bind, binding.queue, binding.exchange, routing_key=binding.pattern)
    finally:
        await link.close_channel(channel)
