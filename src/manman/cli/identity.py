"""`manman login …`: who one is to the panel."""

from manman.cli import output, plain
from manman.cli.panel import on_panel
from manman.client import Client

app = plain.commands("Who you are to the panel.")


@app.command("whoami")
@on_panel
async def whoami(client: Client) -> None:
    """Who this command is to the panel, and what it may do."""
    output.show_json(await client.who_am_i())


@app.command("status")
@on_panel
async def status(client: Client) -> None:
    """The installation at a glance."""
    output.show_json(await client.get_installation())
