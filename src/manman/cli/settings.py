"""`manman settings`"""

from manman import config
from manman.cli import plain, serve

app = plain.commands()


@app.command()
def settings() -> None:
    """The reference of all settings, as Markdown."""
    print(config.settings_reference(serve.all_settings()), end="")
