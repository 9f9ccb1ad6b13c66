import asyncio, pytest
from manman.store import migrate
pytestmark = pytest.mark.both_postgres
async def test_it(empty_database_url):
    s = await migrate.status(empty_database_url); print(s.current, s.head)
    a = await asyncio.gather(*(migrate.up(empty_database_url) for _ in range(4)))
    assert all(x.ready for x in a)
    d = await migrate.down(empty_database_url, to="base"); assert d.current is None
    await migrate.up(empty_database_url)
