"""Somebody deletes a queue that the processor made for itself: it is made again, and what comes next is heard."""

import pytest
from contract.places import Place
from integration.processor_house import House, house

from manman.errors import Transient
from manman.events import topics


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


async def _quiet(home: House) -> bool:
    return home.processor.health.notes["expired"]() is None
