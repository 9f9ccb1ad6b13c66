"""`manman admin …`: for when nobody can sign in any more."""

import os

from manman.cli import links, output, place, plain, serve
from manman.errors import OutOfReach

app = plain.commands("Break-glass, for whoever owns the machine or the database.")


@app.callback()
def root() -> None:
    """Holds the group open."""


@app.command("link")
def link() -> None:
    """A one-time link for the admin, good for an hour: from a running `manman up`, else from DATABASE_URL."""
    from manman.client import LocalFile
    from manman.store.settings import DatabaseSettings

    database = serve.settings_of(DatabaseSettings)

    async def work() -> None:
        if database.given:
            print(await _of_database(database))
            return
        state = place.state_dir()
        local = LocalFile.read(state)
        if local is None or not place.is_alive(local.pid):
            raise OutOfReach(f"no `manman up` runs with its state in {state}, and DATABASE_URL is not set")
        print(links.ask(state, local.pid))

    output.run(work())


async def _of_database(database: "object") -> str:
    from manman.api import identity
    from manman.store import pool
    from manman.store.settings import DatabaseSettings

    assert isinstance(database, DatabaseSettings)
    connections = await pool.connect(database)
    try:
        async with connections.transaction() as conn:
            return f"open /login#{await identity.new_admin_link(conn, os.urandom)} on the panel's address"
    finally:
        await connections.close()
