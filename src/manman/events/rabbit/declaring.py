"""Topology in AMQP's words."""

from __future__ import annotations

from typing import Any

from manman.errors import Unavailable
from manman.events.bus import NO_DELIVERY_LIMIT, Kind, Queue, Topology, Unsupported
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


PLUGIN = "rabbitmq_consistent_hash_exchange"
HASHES = "x-consistent-hash"


async def declare(connection: LaneConnection, topology: Topology) -> None:
    """Exchanges, then queues, then bindings, on a channel of its own; the first refusal is raised."""
    channel = await link.open_channel(connection)
    try:
        for exchange in topology.exchanges:
            await link.reply(channel, channel.exchange_declare, exchange, exchange_type="topic", durable=True)
        for spread in topology.hash_exchanges:
            given = {"hash-header": spread.header}
            await link.reply(
                channel, channel.exchange_declare, spread.name, exchange_type=HASHES, durable=True, arguments=given
            )
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
        for way in topology.links:
            await link.reply(channel, channel.exchange_bind, way.exchange, way.source, routing_key=way.pattern)
    finally:
        await link.close_channel(channel)


async def unbind(connection: LaneConnection, topology: Topology) -> None:
    """The topology's links and bindings are gone when this returns; what was not there is no error."""
    channel = await link.open_channel(connection)
    try:
        for way in topology.links:
            await link.reply(channel, channel.exchange_unbind, way.exchange, way.source, routing_key=way.pattern)
        for one in topology.bindings:
            await link.reply(channel, channel.queue_unbind, one.queue, one.exchange, routing_key=one.pattern)
    finally:
        await link.close_channel(channel)


async def try_hashing(connection: LaneConnection, name: str) -> None:
    """Makes an exchange that spreads by hash, and removes it; raises `Unsupported`. Not knowing the type, a broker closes the whole
    connection, so this needs one of its own."""
    channel = await link.open_channel(connection)
    try:
        await link.reply(channel, channel.exchange_declare, name, exchange_type=HASHES, auto_delete=True)
        await link.reply(channel, channel.exchange_delete, name)
    except Unavailable as error:
        if "exchange type" not in str(error):
            raise
        raise Unsupported(
            f"the broker has no exchanges of the type {HASHES!r}: its plugin {PLUGIN} is not enabled",
            hint=f"on each of the broker's nodes: rabbitmq-plugins enable {PLUGIN}",
        ) from error
