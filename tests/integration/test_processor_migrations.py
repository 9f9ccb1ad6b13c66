"""A processor and a database whose schema is behind: it says which command is missing, and works once it was given."""

import asyncio

import pytest
from contract.places import Place
from integration.processor_house import house, settings_of

from manman.errors import Permanent
from manman.events.settings import BrokerSettings
from manman.processor.service import Processor
from manman.store import migrate
from manman.store.settings import DatabaseSettings


async def test_readiness_says_when_the_database_lacks_a_step(rabbitmq_url: str, database_url: str) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url) as home:
        required = home.processor.health.required

        async def ready() -> bool:
            return all(check() is None for check in required.values())

        async def said() -> bool:
            lacking = required["migrations"]()
            return lacking is not None and f"needs {migrate.head()}" in lacking

        await home.until("readiness", ready)
        await migrate.down(database_url)
        await home.until("readiness says so", said)
        await migrate.up(database_url)
        await home.until("readiness again", ready)


async def test_a_processor_does_not_start_on_a_database_that_lacks_a_step(
    rabbitmq_url: str, empty_database_url: str
) -> None:
    database = DatabaseSettings(database_url=empty_database_url)
    async with Place("rabbitmq", rabbitmq_url).bus() as bus:
        with pytest.raises(Permanent, match=f"database is at nothing, this version needs {migrate.head()}") as refused:
            await Processor(settings_of(), database, bus, BrokerSettings()).run(asyncio.Event())
    assert refused.value.hint == "manman migrate up"
