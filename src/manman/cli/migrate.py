"""`manman migrate …`"""

from typing import Annotated

import typer

from manman.cli import output, plain, serve

app = plain.commands("Bring the database up or down; show where it is.")
To = Annotated[str | None, typer.Option("--to", help="Stop at this step, as 0001.")]


@app.command("up")
def up(to: To = None) -> None:
    """Take every step that is missing; harmless when there is none, and from several replicas at once."""
    _run("up", to)


@app.command("down")
def down(to: Annotated[str, typer.Option("--to", help="The step to stay at; 0000 is the empty database.")]) -> None:
    """Take steps back. What they hold is lost."""
    _run("down", to)


@app.command("status")
def status() -> None:
    """Where the database is, and what is missing."""
    _run("status", None)


@app.command("check")
def check() -> None:
    """Exit 0 when the database is where this version needs it, 1 when not."""
    _run("check", None)


@app.command("epoch")
def epoch() -> None:
    """Say that this database was restored: a new epoch, so that today's wishes beat those of before and no id is used twice.

    A service that starts on another cluster than it knows does so by itself; this is for a restore that looks the same.
    """
    from manman.observability import set_up_logs
    from manman.store import installation, pool
    from manman.store.settings import DatabaseSettings

    set_up_logs("error", service="migrate")
    database = serve.settings_of(DatabaseSettings)

    async def work() -> None:
        connections = await pool.connect(database)
        try:
            async with connections.transaction() as conn:
                now = await installation.next_epoch(conn, "manman migrate epoch")
        finally:
            await connections.close()
        print(f"epoch {now} begins")

    output.run(work())


def _run(what: str, to: str | None) -> None:
    from manman.observability import set_up_logs
    from manman.store import migrate
    from manman.store.settings import DatabaseSettings

    set_up_logs("warning", service="migrate")
    database = serve.settings_of(DatabaseSettings)

    async def work() -> None:
        database.require()
        if what in ("up", "down"):
            found = await getattr(migrate, what)(database, to=to)
        else:
            found = await getattr(migrate, what)(database)
        print(f"database is at {found.current or 'nothing'}, this version knows {found.head}")
        for step in found.pending:
            print(f"  missing: {step.revision} {step.text if hasattr(step, 'text') else ''}".rstrip())
        if what == "check" and found.pending:
            raise SystemExit(output.ENDED)

    output.run(work())
