"""A broker that is short of disk takes nothing: what is queued is applied all the same, and readiness says why nothing else comes."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from contract.places import Place
from harness import RabbitMQ
from integration.processor_house import house

MANY = 3000  # several times what a consumer may hold


@pytest.fixture
async def place(own_rabbitmq: RabbitMQ) -> AsyncIterator[Place]:
    yield Place("rabbitmq", own_rabbitmq.url())


async def test_the_backlog_drains_and_readiness_names_the_alarm(
    own_rabbitmq: RabbitMQ, place: Place, database_url: str
) -> None:
    async with place.bus() as publishing, house(place, database_url, publish_bus=publishing) as home:
        agent = await home.host()
        said = {"deployment_id": 99, "desired_version": 1}
        busy = await asyncpg.connect(database_url)  # which may idle in a transaction for as long as the broker takes
        async with busy.transaction():
            # Nothing is applied until the alarm is there.
            await busy.execute("SELECT FROM hosts FOR UPDATE")
            await home.publish(*(agent.message("deployment", "seen", said) for _ in range(MANY)))
            await asyncio.to_thread(own_rabbitmq.alarm)

            async def named() -> bool:
                return "disk" in (home.processor.health.required["broker"]() or "")

            await home.until("readiness names the alarm", named)
        await busy.close()
        await home.until_settled(agent)
        await asyncio.to_thread(own_rabbitmq.calm)

        async def ready() -> bool:
            return home.processor.health.required["broker"]() is None

        await home.until("readiness again", ready)
