"""SIGTERM: what was said last is published, and the next leader repeats nothing."""

from contract.places import Place
from integration.processor_house import House, house


async def test_all_that_was_said_is_published_and_noted(rabbitmq_url: str, database_url: str) -> None:
    place = Place("rabbitmq", rabbitmq_url)
    async with house(place, database_url) as home:
        await _leading(home)
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        await agent.session(session, "starting", "running")
        await home.until_event("manman.session.running", session_id=session)
    async with house(place, database_url, recorder="another") as home:
        await _leading(home)  # at once: the leases were given up
        counters = dict(await home.rows("SELECT name, value FROM counters WHERE name IN ('events', 'published')"))
        assert counters["events"] == counters["published"] > 0
        agent.house = home
        await agent.session(session, "crashed", exit_code=1)
        await home.until_event("manman.session.crashed", session_id=session)
        assert not [event for event in home.events if event["type"] == "manman.session.running"]


async def _leading(home: House) -> None:
    async def leads() -> bool:
        return home.leads()

    await home.until("it leads", leads)
