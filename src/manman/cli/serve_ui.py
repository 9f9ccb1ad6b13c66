"""`manman ui`"""

import asyncio

from manman.cli import plain, serve

app = plain.commands()


@app.command()
def ui() -> None:
    """Serve the web pages; they speak to the API at API_URL."""
    from manman.api.doors.listening import bound
    from manman.api.doors.listening import serve as listen
    from manman.ui.app import build
    from manman.ui.settings import Settings

    settings = serve.settings_of(Settings)

    async def main(stop: asyncio.Event) -> None:
        serve.warn_of_names()
        await listen(build(settings, stop), bound(settings.ui_host, settings.ui_port, "UI_PORT"), stop)

    serve.run_service("ui", main)
