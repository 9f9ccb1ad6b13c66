"""Somebody deletes a queue or an exchange that the processor made: it is made again, and what comes next is heard."""

import pytest
import structlog
from contract.places import Place
from integration.processor_house import House, house

from manman.errors import Transient
from manman.events import topics, topology
from manman.events.bus import QueueMissing, Topology
from manman.processor.service import Processor


@pytest.fixture(params=["postgresql", "rabbitmq"])
def place(request: pytest.FixtureRequest, database_url: str) -> Place:
    kind = str(request.param)
    return Place(kind, request.getfixturevalue("rabbitmq_url") if kind == "rabbitmq" else database_url)


async def consumed(home: House, queue: str) -> bool:
    try:
        return (await home.bus.depth(queue)).consumers == 1
    except Transient:
        return False


async def test_a_deleted_heartbeat_queue_is_made_again_and_hosts_are_heard(place: Place, database_url: str) -> None:
    async with house(place, database_url) as home:
        agent = await home.host()
        note = home.processor.health.notes["heartbeats"]

        async def well() -> bool:
            return note() is None and await consumed(home, topics.HEARTBEAT_QUEUE)

        await home.until("heartbeats are consumed", well)
        await home.bus.delete_queue(topics.HEARTBEAT_QUEUE)
        await home.until("heartbeats are consumed again", well)
        await agent.heartbeat()
        await home.until_event("manman.host.online", host_id=agent.id)


async def test_a_deleted_queue_of_expired_commands_is_made_again(place: Place, database_url: str) -> None:
    async with house(place, database_url) as home:

        async def well() -> bool:
            return await consumed(home, topics.EXPIRED_QUEUE)

        await home.until("expired commands are consumed", well)
        await home.bus.delete_queue(topics.EXPIRED_QUEUE)
        await home.until("they are consumed again", well)
        await home.until("nothing is noted", lambda: _quiet(home))


async def test_a_deleted_exchange_of_events_is_made_again_and_who_binds_itself_anew_hears_what_waited(
    rabbitmq_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url) as home:
        agent, later = await home.host(), await home.host()
        make_again = Processor._make_again

        async def make_again_and_bind(processor: Processor, error: QueueMissing) -> None:
            await make_again(processor, error)
            # The bindings alone: a subscriber that declares all it needs would make the exchange itself.
            await home.bus.declare(Topology(bindings=topology.subscriber("recorder").bindings), lasting=False)

        monkeypatch.setattr(Processor, "_make_again", make_again_and_bind)
        with structlog.testing.capture_logs() as logs:
            await home.bus.delete_exchange(topics.EXTERNAL)
            await agent.heartbeat()
            await home.until_event("manman.host.online", host_id=agent.id)
        told = next(line for line in logs if line["event"] == "queue_missing")
        assert told["made"] == "again" and topics.EXTERNAL in told["reason"]
        await later.heartbeat()
        await home.until_event("manman.host.online", host_id=later.id)


async def _quiet(home: House) -> bool:
    return home.processor.health.notes["expired"]() is None
