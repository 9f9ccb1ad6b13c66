"""`manman settings`"""

import typer

from manman import config
from manman.cli import serve

app = typer.Typer(rich_markup_mode=None)


@app.command()
def settings() -> None:
    """The reference of all settings, as Markdown."""
    print(config.settings_reference(serve.all_settings()), end="")
