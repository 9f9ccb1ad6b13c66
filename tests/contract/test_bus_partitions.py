"""What a change of partitions needs of a bus: ways that come and go, and (on RabbitMQ) exchanges that spread by a header's hash."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from contract.places import Place
from harness.rabbitmq import RabbitMQ

from manman.errors import Unavailable
from manman.events import topics, topology
from manman.events.bus import Binding, Bus, Outcome, Outgoing, Queue, QueueMissing, Topology, Unsupported
from manman.events.rabbit import bus as rabbit

EVENTS = "said"


@pytest.fixture
def rabbit_place(rabbitmq_url: str) -> Place:
    return Place("rabbitmq", rabbitmq_url)


def said(n: int, host: str | None) -> Outgoing:
    headers = {} if host is None else {"host": host}
    return Outgoing(exchange=topics.INTERNAL, key="status.session.running", body=b"%d" % n, headers=headers)


async def held(bus: Bus, count: int) -> list[list[tuple[str | None, int]]]:
    """What each of the first generation's partitions holds, in order: host and number."""
    found: list[list[tuple[str | None, int]]] = []
    for n in range(count):
        queue = topics.partition(EVENTS, 1, n, count)
        ready = (await bus.depth(queue)).ready
        found.append([])
        async with bus.consume(queue, 500) as consumer:
            while len(found[n]) < ready:
                for one in await consumer.get_batch(500):
                    found[n].append((one.headers.get("host"), int(one.body)))  # type: ignore[arg-type]
                    await consumer.ack(one)
    return found


async def test_a_way_that_is_unbound_takes_nothing_more_and_unbinding_twice_is_harmless(place: Place) -> None:
    way = Topology(bindings=(Binding(queue=EVENTS, exchange=topics.INTERNAL, pattern="status.#"),))
    async with place.bus(topology.exchanges() + Topology(queues=(Queue(name=EVENTS),))) as bus:
        await bus.declare(way, lasting=False)
        await bus.publish([said(1, "7")])
        await bus.unbind(way)
        await bus.unbind(way)
        await bus.publish([said(2, "7")])
        assert (await bus.depth(EVENTS)).ready == 1
        await bus.delete_queue(EVENTS)
        await bus.unbind(way)
        await bus.delete_exchange("never.there")
        with pytest.raises(QueueMissing):
            await bus.depth(EVENTS)


async def test_a_host_is_always_in_the_same_partition_in_order_and_hosts_are_spread(rabbit_place: Place) -> None:
    hosts = [str(n) for n in range(1, 101)]
    async with rabbit_place.bus() as bus:
        await bus.declare(topology.event_queues(EVENTS, 1, 4), lasting=False)
        await bus.declare(topology.event_route(EVENTS, 1, 4), lasting=False)
        outcomes = await bus.publish([said(n, host) for n in range(5) for host in hosts])
        assert set(outcomes) == {Outcome.CONFIRMED}
        found = await held(bus, 4)
        assert sum(map(len, found)) == 500
        where = {host: n for n, messages in enumerate(found) for host, _ in messages}
        for host in hosts:
            assert [number for by, number in found[where[host]] if by == host] == list(range(5))
        assert min(Counter(where.values()).values()) >= 10 and len(set(where.values())) == 4


async def test_who_sends_no_host_is_always_in_one_partition(rabbit_place: Place) -> None:
    async with rabbit_place.bus() as bus:
        await bus.declare(topology.event_queues(EVENTS, 1, 6) + topology.event_route(EVENTS, 1, 6), lasting=False)
        await bus.publish([said(n, None) for n in range(50)])
        assert sorted(map(len, await held(bus, 6))) == [0, 0, 0, 0, 0, 50]


async def test_what_was_bound_for_a_while_is_not_bound_again_with_a_new_connection(rabbit_place: Place) -> None:
    async with rabbit_place.bus() as bus:
        first = topology.event_queues(EVENTS, 1, 2) + topology.event_route(EVENTS, 1, 2)
        await bus.declare(first, lasting=False)
        await bus.unbind(topology.event_route(EVENTS, 1, 2))
        bus._live().close()  # type: ignore[attr-defined]
        for _ in range(1000):
            if not await _refused(bus):
                break
            await asyncio.sleep(0.05)
        assert [(await bus.depth(topics.partition(EVENTS, 1, n, 2))).ready for n in range(2)] == [0, 0]


async def _refused(bus: Bus) -> bool:
    try:
        return (await bus.publish([said(1, "7")])) != [Outcome.CONFIRMED]
    except Unavailable:
        return True


async def test_a_deleted_exchange_is_gone_and_deleting_it_twice_is_harmless(rabbit_place: Place) -> None:
    async with rabbit_place.bus(topology.exchanges()) as bus:
        await bus.declare(topology.event_queues(EVENTS, 1, 2), lasting=False)
        await bus.delete_exchange(topics.partitions_exchange(1))
        await bus.delete_exchange(topics.partitions_exchange(1))
        with pytest.raises(QueueMissing, match="no exchange"):
            await bus.declare(topology.event_route(EVENTS, 1, 2), lasting=False)


async def test_a_broker_without_the_plugin_is_told_so_and_the_connection_lives(roomy: Path) -> None:
    broker = RabbitMQ(roomy / "plain", management=False, consistent_hash=False)
    broker.start()
    try:
        bus = await rabbit.connect(broker.url(), topology=topology.exchanges() + Topology(queues=(Queue(name="q"),)))
        try:
            async with bus.consume("q", 10) as consumer:
                with pytest.raises(Unsupported, match="rabbitmq_consistent_hash_exchange") as told:
                    await bus.declare(topology.event_queues(EVENTS, 1, 4), lasting=False)
                assert "rabbitmq-plugins enable rabbitmq_consistent_hash_exchange" in str(told.value.hint)
                await bus.publish([Outgoing(exchange="", key="q", body=b"lives")])
                [one] = await consumer.get_batch(1)
                assert one.body == b"lives"
        finally:
            await bus.close()
    finally:
        broker.stop()


async def test_the_bus_on_postgresql_refuses_partitions_and_says_why(database_url: str) -> None:
    async with Place("postgresql", database_url).bus() as bus:
        for refused in (bus.require_hashing(), bus.declare(topology.event_queues(EVENTS, 1, 4), lasting=False)):
            with pytest.raises(Unsupported, match="PostgreSQL has no partitions") as told:
                await refused
            assert "RABBITMQ_URL" in str(told.value.hint)
