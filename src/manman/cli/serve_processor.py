"""`manman processor`"""

import asyncio

from manman.cli import plain, serve

app = plain.commands()


@app.command()
def processor() -> None:
    """Run the event processor; any number of replicas may run."""
    from manman.events import topology
    from manman.events.rabbit import bus as rabbit
    from manman.processor.service import Processor
    from manman.processor.settings import ProcessorSettings
    from manman.store.settings import DatabaseSettings

    settings, database, broker = (
        serve.settings_of(ProcessorSettings),
        serve.settings_of(DatabaseSettings),
        serve.broker(),
    )

    async def main(stop: asyncio.Event) -> None:
        serve.warn_of_names()
        wanted = topology.processor(broker.queue_name, broker.heartbeat_queue_name, broker.external_exchange)
        bus = await rabbit.connect(str(broker.rabbitmq_url), name="manman-processor", topology=wanted)
        # Commands go on a connection of their own: what one host's full queue holds up is not the events.
        commands = await rabbit.connect(str(broker.rabbitmq_url), name="manman-processor-commands")
        try:
            await Processor(settings, database.require(), bus, broker, command_bus=commands).run(stop)
        finally:
            await commands.close()
            await bus.close()

    serve.run_service("processor", main, level=settings.log_level, traces=settings.otlp_endpoint)
