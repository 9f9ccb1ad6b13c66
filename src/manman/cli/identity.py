"""`manman login …`: who one is to the panel."""

import typer

from manman.cli import output
from manman.cli.panel import as_json, open_panel

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Who you are to the panel.")


@app.command("whoami")
def whoami() -> None:
    """Who this command is to the panel, and what it may do."""

    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await client.who_am_i()))

    output.run(work())


@app.command("status")
def status() -> None:
    """The installation at a glance."""

    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await client.get_installation()))

    output.run(work())
