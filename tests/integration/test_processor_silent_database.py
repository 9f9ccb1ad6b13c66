"""A database whose address moved without a word: connections that were open are silent, new ones are answered."""

import asyncio

from contract.places import Place
from harness.proxy import Proxy
from integration.processor_house import House, house

WITHIN = 20.0  # seconds, three times what it takes


def through(proxy: Proxy, database_url: str) -> str:
    return database_url.replace(f":{proxy.target}/", f":{proxy.port}/")


async def leading(home: House) -> None:
    async def leads() -> bool:
        return home.leads()

    await home.until("it leads", leads)


async def answers(home: House, whether: bool) -> bool:
    return home.leads() is whether and (home.processor.health.required["database"]() is None) is whether


async def test_what_was_open_is_given_up_and_all_goes_on(proxy: Proxy, rabbitmq_url: str, database_url: str) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), through(proxy, database_url)) as home:
        await leading(home)
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        await agent.session(session, "starting", "running")
        await home.until_event("manman.session.running", session_id=session)
        proxy.forget()
        async with asyncio.timeout(WITHIN):
            await agent.session(session, "crashed", exit_code=1)
            await home.until_event("manman.session.crashed", session_id=session)
            await leading(home)
            await home.until("readiness again", lambda: answers(home, True))


async def test_one_that_cannot_renew_stands_by_before_its_lease_ends_and_says_why(
    proxy: Proxy, rabbitmq_url: str, database_url: str
) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), through(proxy, database_url)) as home:
        await leading(home)
        proxy.hold()
        try:
            async with asyncio.timeout(WITHIN):
                await home.until("it stands by and says why", lambda: answers(home, False))
        finally:
            proxy.heal()
        await leading(home)
