"""What tests stand on: real services, simulated agents, builders. Also used by `bench/`.

`async def test_…` just works: pytest's anyio plugin runs it (`anyio_mode = "auto"` in pyproject.toml, backend asyncio),
async fixtures too; no decorator is needed.

Fixtures (tests/conftest.py): `database_url` is a fresh, migrated database, `empty_database_url` a fresh empty one,
`rabbitmq_url` a fresh vhost of a real broker, `rabbitmq_admin_url` its management API, `postgres_major` 15, or 15 and 18
under `@pytest.mark.both_postgres`. The services behind them start when the first test asks, once a run, and end with it.
A test that restarts, kills or freezes a service makes one of its own: `own_postgres`, `own_rabbitmq` (without the
management plugin: stops in 1.3 s), or `Postgres(folder, major=18)`, `RabbitMQ(folder, management=True)` from here.
`roomy` is a short temporary folder that users other than root can pass through (0711).

A service that cannot start fails the test with its last words; nothing is skipped.
"""

from harness.postgres import Postgres
from harness.processes import ServiceFailed, free_port
from harness.rabbitmq import RabbitMQ

__all__ = ["Postgres", "RabbitMQ", "ServiceFailed", "free_port"]
