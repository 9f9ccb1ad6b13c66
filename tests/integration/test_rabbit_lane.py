"""The fast lane on a real broker: large and odd messages between the usual ones, garbage, a broker that says nothing any more."""

import asyncio
import struct
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import pika
import pytest
from harness.proxy import Proxy
from pika import data

from manman.cli import serve
from manman.errors import Malformed, OutOfReach, Unavailable
from manman.events.bus import Bus, Delivery, Kind, Outcome, Outgoing, Queue, Topology
from manman.events.rabbit import bus as rabbit
from manman.events.rabbit import link

QUEUE = Queue(name="lane", kind=Kind.CLASSIC)
SOON = timedelta(seconds=60)  # generous: a wait that ends by an event, never by this
DEEP = 10_000  # tables
SIZES = (0, 1, 100, 70_000, 131_064, 131_065, 300_000, 0, 5)


@pytest.fixture
async def proxy(rabbitmq_url: str) -> AsyncIterator[Proxy]:
    """A door to the broker that can be held."""
    made = await Proxy(target=urlsplit(rabbitmq_url).port or 0).open()
    yield made
    await made.close()


def through(proxy: Proxy, url: str) -> str:
    """The broker's URL by way of the proxy."""
    return url.replace(f":{urlsplit(url).port}/", f":{proxy.port}/")


async def all_of(bus: Bus, count: int) -> list[Delivery]:
    """So many, acked."""
    got: list[Delivery] = []
    async with bus.consume(QUEUE.name, 1000) as consumer:
        while len(got) < count:
            batch = await consumer.get_batch(1000, wait=SOON)
            assert batch
            await consumer.ack(batch[-1])
            got += batch
    return got


def say(body: bytes, **more: object) -> Outgoing:
    return Outgoing(exchange="", key=QUEUE.name, body=body, **more)  # type: ignore[arg-type]


async def test_bodies_of_every_size_arrive_whole_and_in_order(rabbitmq_url: str) -> None:
    bus = await rabbit.connect(rabbitmq_url, topology=Topology(queues=(QUEUE,)))
    try:
        sent = [say(bytes([n]) * size, headers={"n": n}) for n, size in enumerate(SIZES * 3)]
        assert await bus.publish(sent) == [Outcome.CONFIRMED] * len(sent)
        got = await all_of(bus, len(sent))
        assert [(one.body, dict(one.headers)) for one in got] == [(one.body, dict(one.headers)) for one in sent]
    finally:
        await bus.close()


async def test_several_publish_at_once_and_each_gets_its_own_outcomes(rabbitmq_url: str) -> None:
    bus = await rabbit.connect(rabbitmq_url, topology=Topology(queues=(QUEUE,)))
    try:
        lost = Outgoing(exchange="", key="nowhere", body=b"", mandatory=True)
        batches = [[say(b"x")] * n + [lost] * (n % 3) + [say(b"y")] * 100 for n in range(1, 20)]
        outcomes = await asyncio.gather(*(bus.publish(batch) for batch in batches))
        for batch, found in zip(batches, outcomes, strict=True):
            assert found == [Outcome.UNROUTABLE if one is lost else Outcome.CONFIRMED for one in batch]
    finally:
        await bus.close()


async def test_a_key_that_amqp_cannot_say_is_refused_and_the_channel_goes_on(rabbitmq_url: str) -> None:
    bus = await rabbit.connect(rabbitmq_url, topology=Topology(queues=(QUEUE,)))
    try:
        with pytest.raises(Malformed, match="has no form in AMQP"):
            await bus.publish([say(b"first"), Outgoing(exchange="", key="k" * 300, body=b"")])
        assert await bus.publish([say(b"second")]) == [Outcome.CONFIRMED]
        assert [one.body for one in await all_of(bus, 1)] == [b"second"], "of a batch that is refused nothing is sent"
    finally:
        await bus.close()


async def test_garbage_ends_the_connection_and_the_bus_comes_back(proxy: Proxy, rabbitmq_url: str) -> None:
    bus = await rabbit.connect(through(proxy, rabbitmq_url), topology=Topology(queues=(QUEUE,)))
    try:
        with pytest.raises(Unavailable):
            async with bus.consume(QUEUE.name, 5) as consumer:
                waiting = asyncio.ensure_future(consumer.get_batch(5))
                proxy.inject(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await asyncio.wait_for(waiting, SOON.total_seconds())
        assert "no AMQP frame" in str(bus.trouble)
        await asyncio.wait_for(bus.wait_connected(), SOON.total_seconds())
        assert await bus.publish([say(b"1")]) == [Outcome.CONFIRMED]
    finally:
        await bus.close()


async def test_a_door_behind_which_nobody_speaks_is_out_of_reach(proxy: Proxy, rabbitmq_url: str) -> None:
    proxy.hold()
    async with asyncio.timeout(SOON.total_seconds()):
        with pytest.raises(OutOfReach):
            await rabbit.connect(through(proxy, rabbitmq_url), patience=timedelta(seconds=1))


async def test_whoever_waits_for_a_bus_that_nobody_connects_any_more_is_told(proxy: Proxy, rabbitmq_url: str) -> None:
    proxy.cut()
    bus = await rabbit.connect(through(proxy, rabbitmq_url), patience=None)
    waiting = asyncio.ensure_future(bus.wait_connected())
    await asyncio.sleep(0)
    assert bus._keeper is not None
    bus._keeper.cancel()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, SOON.total_seconds())
    await bus.close()


@pytest.mark.parametrize("quick", [False, True])
async def test_what_waited_in_the_socket_while_the_process_stood_still_counts_as_held(
    rabbitmq_url: str, quick: bool
) -> None:
    many, still = 200, 1.5
    body = b"x" * 5000  # more than is read at once

    async def publish() -> None:
        bus = await rabbit.connect(rabbitmq_url)
        assert await bus.publish([say(body)] * many) == [Outcome.CONFIRMED] * many
        await bus.close()

    async def stand_still() -> tuple[float, list[Delivery], Delivery, float]:
        now = asyncio.get_running_loop().time
        bus = await rabbit.connect(rabbitmq_url, topology=Topology(queues=(QUEUE,)))
        async with bus.consume(QUEUE.name, 1000) as consumer:
            await asyncio.sleep(0.6)
            before = now()
            publisher = threading.Thread(target=asyncio.run, args=[publish()])
            publisher.start()
            time.sleep(still)  # noqa: ASYNC251 - this is it
            got: list[Delivery] = []
            while len(got) < many:
                got += await consumer.get_batch(many, wait=SOON)
            await asyncio.to_thread(publisher.join)
            await asyncio.sleep(0.6)
            said = now()
            await bus.publish([say(b"later")])
            [later] = await consumer.get_batch(1, wait=SOON)
        await bus.close()
        return before, got, later, said

    def on_a_loop_of_its_own() -> tuple[float, list[Delivery], Delivery, float]:
        with asyncio.Runner(loop_factory=serve.quick_loop() if quick else None) as runner:
            return runner.run(stand_still())

    before, got, later, said = await asyncio.to_thread(on_a_loop_of_its_own)
    assert all(before - 1 <= one.held_since <= before + 0.5 for one in got)
    assert said - 1 <= later.held_since <= said + 1


async def test_the_processor_s_event_loop_carries_the_bus_over_a_cut(proxy: Proxy, rabbitmq_url: str) -> None:
    make = serve.quick_loop()
    assert make is not None, "uvloop is installed here"
    here = asyncio.get_running_loop()

    async def there() -> list[bytes]:
        bus = await rabbit.connect(through(proxy, rabbitmq_url), topology=Topology(queues=(QUEUE,)))
        try:
            await bus.publish([say(bytes([n]) * size) for n, size in enumerate(SIZES)])
            here.call_soon_threadsafe(proxy.cut)
            while bus.connected:  # noqa: ASYNC110 - whether it is connected is looked at, not waited for
                await asyncio.sleep(0.01)
            here.call_soon_threadsafe(proxy.heal)
            await bus.wait_connected()
            return [one.body for one in await all_of(bus, len(SIZES))]
        finally:
            await bus.close()

    def run() -> list[bytes]:
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(asyncio.wait_for(there(), SOON.total_seconds()))

    assert await asyncio.to_thread(run) == [bytes([n]) * size for n, size in enumerate(SIZES)]


async def test_headers_that_nobody_can_read_take_neither_the_message_nor_the_connection(
    rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A time that no calendar has, and a table that is too deep. Whoever may publish may say it, and the broker keeps it: a consumer
    that trips over it would do so for ever."""
    bus = await rabbit.connect(rabbitmq_url, topology=Topology(queues=(QUEUE,)))
    try:
        with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as other:
            channel = other.channel()
            monkeypatch.setattr(data, "encode_table", lambda pieces, _: pieces.append(unreadable()))
            for more, size in (({}, 1), ({"correlation_id": "rare"}, 1), ({}, 300_000)):
                channel.basic_publish("", QUEUE.name, b"x" * size, pika.BasicProperties(headers={"as": "told"}, **more))
            monkeypatch.undo()
        got = await all_of(bus, 3)
        assert [(dict(one.headers), one.redelivered) for one in got] == [({"good": "1", "when": None}, False)] * 3
    finally:
        await bus.close()


def unreadable() -> bytes:
    """A table's bytes: a time, tables in tables, and a text."""
    deep = b""
    for _ in range(DEEP):
        deep = b"\0F" + struct.pack(">I", len(deep)) + deep
    values = (
        b"\4whenT" + struct.pack(">Q", 2**62) + b"\4deepF" + struct.pack(">I", len(deep)) + deep + b"\4goodS\0\0\0\0011"
    )
    return struct.pack(">I", len(values)) + values


async def test_a_connection_that_has_no_channel_left_ends_only_where_some_cannot_be_closed(rabbitmq_url: str) -> None:
    """Channels that the broker holds up cannot be closed, and add up; what is in use is left alone."""
    connection = await link.open_connection(link.parameters(f"{rabbitmq_url}?channel_max=2", "lane", "URL"), "URL")
    used, left = await link.open_channel(connection), await link.open_channel(connection)
    for _ in range(2):
        with pytest.raises(Unavailable, match="no channel left"):
            await link.open_channel(connection)
        assert connection.is_open and used.is_open
    link.leave_channel(left)
    with pytest.raises(Unavailable, match="no channel left"):
        await link.open_channel(connection)
    async with asyncio.timeout(SOON.total_seconds()):
        while not connection.is_closed:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
