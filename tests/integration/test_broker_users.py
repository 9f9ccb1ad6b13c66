"""What a host's broker user may, on a real broker: speak for itself, read its own queue, nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote, urlsplit

import pytest

from manman.domain.ids import HostId
from manman.errors import OutOfReach, Unavailable
from manman.events import credentials, topics, topology
from manman.events.bus import Binding, NotAllowed, Outcome, Outgoing, Queue, QueueLocked, Topology
from manman.events.rabbit.admin import BrokerAdmin
from manman.events.rabbit.bus import RabbitBus, connect
from manman.events.rabbit.publisher import Publisher

MINE, OTHER = HostId(7), HostId(70)
PASSWORD = "a password of the host's own"
SOON = timedelta(seconds=20)


def vhost(rabbitmq_url: str) -> str:
    return urlsplit(rabbitmq_url).path.lstrip("/")


def as_host(rabbitmq_url: str, host_id: HostId, password: str = PASSWORD) -> str:
    parts = urlsplit(rabbitmq_url)
    user = quote(credentials.user_name(vhost(rabbitmq_url), host_id), safe="")
    return f"amqp://{user}:{quote(password, safe='')}@{parts.hostname}:{parts.port}{parts.path}"


@pytest.fixture
async def admin(rabbitmq_url: str, rabbitmq_admin_url: str) -> AsyncIterator[BrokerAdmin]:
    async with BrokerAdmin(rabbitmq_admin_url, vhost(rabbitmq_url)) as admin:
        yield admin
        for host_id in (MINE, OTHER):
            await admin.dismiss(host_id, with_queue=True)


@pytest.fixture
async def control(rabbitmq_url: str) -> AsyncIterator[RabbitBus]:
    bus = await connect(rabbitmq_url, topology=topology.processor())
    yield bus
    await bus.close()


@pytest.fixture
async def host(rabbitmq_url: str, admin: BrokerAdmin, control: RabbitBus) -> AsyncIterator[RabbitBus]:
    for host_id in (MINE, OTHER):
        await admin.admit(host_id, credentials.password_hash(PASSWORD, b"salt"))
    bus = await connect(as_host(rabbitmq_url, MINE), setting="AGENT_RABBITMQ_URL")
    yield bus
    await bus.close()


def says(key: str, exchange: str = topics.INTERNAL) -> Outgoing:
    return Outgoing(exchange=exchange, key=key, body=b"{}")


async def test_a_host_speaks_under_its_own_word_and_is_known_by_name(host: RabbitBus, control: RabbitBus) -> None:
    own = [says(topics.status("session", "running", MINE)), says(topics.heartbeat(MINE))]
    assert await host.publish(own) == [Outcome.CONFIRMED] * 2
    async with control.consume(topics.EVENTS_QUEUE, 5) as consumer:
        [delivery] = await consumer.get_batch(5, wait=SOON)
        assert delivery.user_id == host.user_id
        assert delivery.user_id is not None and delivery.user_id.endswith(".host.7")


@pytest.mark.parametrize(
    "foreign",
    [
        says(topics.status("session", "running", OTHER)),
        says(topics.status("session", "running")),
        says(topics.heartbeat(OTHER)),
        says(topics.pulse()),
        says(topics.command(OTHER, "stop")),
        says(topics.command(MINE, "stop")),
        says("manman.host.online", exchange=topics.EXTERNAL),
        says(topics.EVENTS_QUEUE, exchange=""),
        says(topics.host_commands(OTHER), exchange=""),
    ],
    ids=lambda message: f"{message.exchange or 'default'}-{message.key}",
)
async def test_a_host_can_say_nothing_else(host: RabbitBus, control: RabbitBus, foreign: Outgoing) -> None:
    with pytest.raises(NotAllowed):
        await host.publish([foreign])
    assert (await control.depth(topics.EVENTS_QUEUE)).ready == 0
    assert await host.publish([says(topics.heartbeat(MINE))]) == [Outcome.CONFIRMED], "its own words still pass"


async def test_a_host_cannot_sign_as_somebody_else(host: RabbitBus, control: RabbitBus) -> None:
    publisher = await Publisher.open(host._live(), str(control.user_id))
    with pytest.raises(NotAllowed, match="user_id"):
        await publisher.publish([says(topics.heartbeat(MINE))])
    assert (await control.depth(topics.HEARTBEAT_QUEUE)).ready == 0


async def test_a_host_reads_its_commands_and_no_other_queue(host: RabbitBus, control: RabbitBus) -> None:
    mine = Outgoing(exchange=topics.INTERNAL, key=topics.command(MINE, "report"), body=b"{}", mandatory=True)
    assert await control.publish([mine]) == [Outcome.CONFIRMED]
    async with host.consume(topics.host_commands(MINE), 5) as consumer:
        [delivery] = await consumer.get_batch(5, wait=SOON)
        assert delivery.key == "command.host.7.report"
        await consumer.ack(delivery)
    for queue in (topics.host_commands(OTHER), topics.EVENTS_QUEUE, topics.HEARTBEAT_QUEUE):
        with pytest.raises(NotAllowed):
            async with host.consume(queue, 5):
                pass


async def test_a_host_binds_nothing_and_declares_its_lock_only(
    host: RabbitBus, rabbitmq_url: str, admin: BrokerAdmin
) -> None:
    everything = Binding(queue=topics.host_agent(MINE), exchange=topics.INTERNAL, pattern="#")
    with pytest.raises(NotAllowed):
        await host.declare(topology.agent(MINE) + Topology(bindings=(everything,)))
    with pytest.raises(NotAllowed):
        await host.declare(Topology(queues=(Queue(name="mine"),)))
    with pytest.raises(NotAllowed):
        await host.declare(topology.agent(OTHER))
    await host.declare(topology.agent(MINE))
    twin = await connect(as_host(rabbitmq_url, MINE))
    try:
        with pytest.raises(QueueLocked):
            await twin.declare(topology.agent(MINE))
    finally:
        await twin.close()


async def test_the_command_queue_is_bounded_and_admitting_again_is_harmless(
    admin: BrokerAdmin, control: RabbitBus
) -> None:
    for _ in range(2):
        assert await admin.admit(MINE, credentials.password_hash(PASSWORD, b"salt")) == credentials.user_name(
            admin.vhost, MINE
        )
    await control.declare(topology.host(MINE))
    assert await admin.hosts() == {MINE}


async def test_a_new_password_replaces_the_old_and_a_dismissed_host_is_cut_off(
    host: RabbitBus, admin: BrokerAdmin, rabbitmq_url: str
) -> None:
    await admin.admit(MINE, credentials.password_hash("another", b"tlas"))
    assert await host.publish([says(topics.heartbeat(MINE))]) == [Outcome.CONFIRMED], "what is connected stays"
    with pytest.raises(OutOfReach, match="refuses the user"):
        await connect(as_host(rabbitmq_url, MINE))
    newer = await connect(as_host(rabbitmq_url, MINE, "another"))
    await newer.close()
    await admin.dismiss(MINE)
    with pytest.raises((Unavailable, NotAllowed)):
        while True:
            await host.publish([says(topics.heartbeat(MINE))])
    assert await admin.hosts() == {OTHER}


async def test_an_unknown_vhost_is_named_with_how_it_is_written(rabbitmq_url: str) -> None:
    wrong = rabbitmq_url.rpartition("/")[0] + "/nowhere"
    with pytest.raises(OutOfReach, match=r"RABBITMQ_URL.*nowhere") as refused:
        await connect(wrong)
    assert refused.value.hint is not None and "%2F" in refused.value.hint


async def test_a_wrong_admin_password_names_its_setting(rabbitmq_admin_url: str) -> None:
    async with BrokerAdmin(rabbitmq_admin_url.replace("guest:guest", "guest:wrong"), "/") as admin:
        with pytest.raises(OutOfReach, match="BROKER_ADMIN_URL"):
            await admin.hosts()
    async with BrokerAdmin("http://guest:guest@127.0.0.1:1", "/") as nobody:
        with pytest.raises(Unavailable):
            await nobody.hosts()
