"""`manman host`: this machine's agent."""

import asyncio
import os
from typing import Annotated

import typer

from manman.cli import output, place, plain, serve
from manman.errors import Malformed

app = plain.commands(
    "Run this machine's agent (no command), or join it.", invoke_without_command=True, no_args_is_help=False
)


@app.callback()
def host(context: typer.Context) -> None:
    """Run the agent of a machine that has joined; games outlive it."""
    if context.invoked_subcommand is None:
        _run()


@app.command("join")
def join(
    url: Annotated[str, typer.Argument(help="The API's URL, as https://panel.example.org.")],
    token: Annotated[str, typer.Argument(help="The join token, from `manman hosts join-token`.")],
    name: Annotated[str | None, typer.Option(help="What the host is called; the machine's name unless given.")] = None,
    addresses: Annotated[
        list[str] | None, typer.Option("--address", help="Where players reach it, the best first.")
    ] = None,
    ca: Annotated[str | None, typer.Option(help="File with a private certificate authority.")] = None,
    pin: Annotated[
        str | None, typer.Option(help="sha256:… of such an authority, which the API presents, instead of a file.")
    ] = None,
) -> None:
    """Join this machine to a control plane; it makes its own secrets and sends only their hashes."""
    from manman.host.join import join as join_host
    from manman.observability import set_up_logs

    set_up_logs("warning", service="host", json=False)

    if ca and pin:
        output.fail(Malformed("--pin", "goes without --ca: both say who vouches for the API"))

    async def work() -> None:
        state = place.state_dir() / "host"
        identity = await join_host(state, url, token, name=name, addresses=addresses or (), ca=ca, pin=pin)
        print(f"joined as host {identity.host_id}, {identity.name}; start the agent: manman host")

    output.run(work())


def _run() -> None:
    from manman.errors import BadSetting
    from manman.events.rabbit import bus as rabbit
    from manman.host.agent import Agent
    from manman.host.join import load
    from manman.host.settings import Settings

    settings = serve.settings_of(Settings)
    state = place.state_dir() / "host"
    identity = load(state)
    if identity is None:
        output.fail(
            BadSetting(
                f"this machine has not joined a control plane (nothing in {state})", hint="manman host join URL TOKEN"
            )
        )

    async def main(stop: asyncio.Event) -> None:
        serve.warn_of_names()
        url = identity.broker_url(settings.agent_rabbitmq_url)
        # A joined agent never ends because the broker is away: it runs its games and goes on trying.
        bus = await rabbit.connect(
            url, name=f"manman-host-{identity.host_id}", patience=None, setting="AGENT_RABBITMQ_URL"
        )
        try:
            async with identity.client() as client:
                await Agent(settings, bus, client, host_id=identity.host_id, state=state, chance=os.urandom).run(stop)
        finally:
            await bus.close()

    serve.run_service("host", main)
