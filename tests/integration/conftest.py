"""Where the integration tests run."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from contract.places import Place
from harness import apis
from harness.proxy import Proxy
from integration.store_rows import a_pool

from manman.store.pool import Pool


@pytest.fixture(params=["postgresql", "rabbitmq"])
def bus_place(request: pytest.FixtureRequest, database_url: str) -> Place:
    """Each implementation of the bus in turn."""
    kind = str(request.param)
    url = database_url if kind == "postgresql" else request.getfixturevalue("rabbitmq_url")
    return Place(kind, url)


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[apis.Running]:
    """A running API whose bus is the database."""
    async with apis.running(database_url, Place("postgresql", database_url)) as made:
        yield made


@pytest.fixture
async def api_on_each_bus(database_url: str, bus_place: Place) -> AsyncIterator[apis.Running]:
    """A running API on each bus in turn."""
    async with apis.running(database_url, bus_place) as made:
        yield made


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to the test's database."""
    made = await a_pool(database_url)
    yield made
    await made.close()


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    """What a connection to the test's database goes through, where a test holds or cuts it."""
    made = await Proxy(urlsplit(database_url).port or 5432).open()
    try:
        yield made
    finally:
        await made.close()
