"""`manman api`"""

import asyncio

from manman.cli import plain, serve
from manman.errors import BadSetting

app = plain.commands()


@app.command()
def api() -> None:
    """Serve the control plane API: REST and gRPC."""
    from manman.api import service
    from manman.api.settings import ApiSettings
    from manman.events import topology
    from manman.events.rabbit import bus as rabbit
    from manman.store import migrate, pool
    from manman.store.settings import DatabaseSettings

    settings, database, broker = serve.settings_of(ApiSettings), serve.settings_of(DatabaseSettings), serve.broker()

    async def main(stop: asyncio.Event) -> None:
        serve.warn_of_names()
        connections = await pool.connect(database)
        found = await migrate.check(database)
        if found.pending:
            raise BadSetting(
                f"the database is at {found.current or 'nothing'}, this version needs {found.head}",
                hint="manman migrate up",
            )
        wanted = topology.exchanges(broker.external_exchange)
        bus = await rabbit.connect(str(broker.rabbitmq_url), name="manman-api", topology=wanted)
        try:
            await service.run(settings, database, connections, bus, stop)
        finally:
            await bus.close()
            await connections.close()

    serve.run_service("api", main)
