"""`manman processor`, and `manman processor partitions`"""

import asyncio
from typing import Annotated

import typer

from manman.cli import plain, serve
from manman.cli.panel import AsJson

app = plain.commands(
    "Run the event processor; any number of replicas may run.", no_args_is_help=False, invoke_without_command=True
)


@app.callback()
def processor(context: typer.Context) -> None:
    """Run the event processor; any number of replicas may run."""
    if context.invoked_subcommand is None:
        run()


@app.command("partitions")
def partitions(
    count: Annotated[int | None, typer.Argument(metavar="N", help="How many from now on; left out: show.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing of the old is left.")] = True,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait at most.")] = 600.0,
    as_json_: AsJson = False,
) -> None:
    """Show the partitions of what hosts say, or change their number while everything runs.

    More than one needs the broker's plugin rabbitmq_consistent_hash_exchange. Running processors carry the change out; this shows how
    far it is and may be ended and given again.
    """
    from manman.cli import repartition

    repartition.run(count, wait=wait, timeout=timeout, as_json=as_json_)


def run() -> None:
    """Run one replica until it is told to stop."""
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
        wanted = topology.processor_base(broker.heartbeat_queue_name, broker.external_exchange)
        bus = await rabbit.connect(str(broker.rabbitmq_url), name="manman-processor", topology=wanted)
        # A broker that is short of memory or disk reads nothing more of a connection that publishes, acknowledgements neither.
        publishing = await rabbit.connect(str(broker.rabbitmq_url), name="manman-processor-publishing")
        # Commands go on a connection of their own: what one host's full queue holds up is not the events.
        commands = await rabbit.connect(str(broker.rabbitmq_url), name="manman-processor-commands")
        try:
            processor = Processor(
                settings, database.require(), bus, broker, publish_bus=publishing, command_bus=commands
            )
            await processor.run(stop)
        finally:
            # Side by side: one that the broker blocks answers nothing, and costs its whole patience.
            await asyncio.gather(commands.close(), publishing.close(), bus.close())

    serve.run_service(
        "processor", main, level=settings.log_level, traces=settings.otlp_endpoint, loop=serve.quick_loop()
    )
