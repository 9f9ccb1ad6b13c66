"""`manman sessions …`"""

from typing import Annotated, Any

import typer

from manman.cli import output, watching, words
from manman.cli.panel import AsJson, Filter, Timeout, Wait, as_json, find_deployment, find_session, open_panel
from manman.v1 import types

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="One session is one run of a deployment.")
Which = Annotated[
    str, typer.Argument(metavar="SESSION", help="A session's number, or a deployment's name: its latest session.")
]


@app.command("list")
def list_(filter: Filter = None, as_json_: AsJson = False, limit: int = 100) -> None:
    """Sessions, newest first."""

    async def work() -> None:
        async with open_panel() as client:
            sessions = (await client.list_sessions(filter=filter, page_size=limit)).sessions
        if as_json_:
            output.show_json(as_json(sessions))
            return
        rows = [
            (
                s.session_id,
                s.deployment,
                s.game,
                s.host,
                words.state(s),
                words.join(s.endpoints),
                words.clock(s.created_at),
            )
            for s in sessions
        ]
        output.show_table(
            ("id", "deployment", "game", "host", "state", "join", "since"),
            rows,
            empty="No session yet: manman run teeworlds",
        )

    output.run(work())


@app.command("get")
def get(session: Which, as_json_: AsJson = False) -> None:
    """One session, whole."""

    async def work() -> None:
        async with open_panel() as client:
            show(await find_session(client, session), as_json_)

    output.run(work())


@app.command("history")
def history(session: Which, as_json_: AsJson = False) -> None:
    """Every transition, with number, time and cause."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_session(client, session)
            transitions = (await client.list_session_history(found.session_id, page_size=1000)).transitions
        if as_json_:
            output.show_json(as_json(transitions))
            return
        rows = [(t.number, t.from_ or "–", t.to, words.clock(t.at), t.cause) for t in transitions]
        output.show_table(("n", "from", "to", "at", "cause"), rows, empty="No transition yet.")

    output.run(work())


@app.command("start")
def start(
    deployment: Annotated[str, typer.Argument(help="A deployment's name or number.")],
    wait: Wait = False,
    timeout: Timeout = 600,
    as_json_: AsJson = False,
) -> None:
    """Start a deployment; with --wait until it runs."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_deployment(client, deployment)
            session = await client.start_session(deployment_id=found.deployment_id)
            if wait:
                session = await watching.until_running(client, session, timeout)
        show(session, as_json_)
        ended_otherwise(wait and session.status != "running")

    output.run(work())


@app.command("stop")
def stop(
    session: Which,
    grace: Annotated[float | None, typer.Option(help="Seconds to end by itself, instead of the config's.")] = None,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json_: AsJson = False,
) -> None:
    """Stop it as its config says, and keep it stopped."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_session(client, session)
            now = await client.stop_session(found.session_id, grace=f"{grace:g}s" if grace is not None else None)
            if wait:
                now = await watching.until_over(client, now, timeout)
        show(now, as_json_)
        ended_otherwise(wait and now.status != "stopped")

    output.run(work())


@app.command("restart")
def restart(session: Which, wait: Wait = False, timeout: Timeout = 600, as_json_: AsJson = False) -> None:
    """End it and begin the next, with the newest settings; with --wait until that runs."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_session(client, session)
            now = await client.restart_session(found.session_id)
            if wait:
                live = found.status not in watching.FINAL
                now = await (
                    watching.until_followed(client, found, timeout)
                    if live
                    else watching.until_running(client, now, timeout)
                )
        show(now, as_json_)
        ended_otherwise(wait and now.status != "running")

    output.run(work())


@app.command("kill")
def kill(session: Which, wait: Wait = False, timeout: Timeout = 60, as_json_: AsJson = False) -> None:
    """End it at once, without a grace period: what it has not saved is lost."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_session(client, session)
            now = await client.kill_session(found.session_id)
            if wait:
                now = await watching.until_over(client, now, timeout)
        show(now, as_json_)

    output.run(work())


@app.command("send")
def send(session: Which, line: Annotated[str, typer.Argument(help="One line for its console.")]) -> None:
    """Type one line into its console."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_session(client, session)
            await client.send_input(found.session_id, line=line)

    output.run(work())


@app.command("logs")
def logs(
    session: Which,
    first: Annotated[int, typer.Option("--from", help="The first line wanted, from 1 on.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json_: AsJson = False,
) -> None:
    """Its console, each line once, numbered."""

    async def work() -> None:
        from manman.cli.console import print_lines

        async with open_panel() as client:
            found = await find_session(client, session)
            await print_lines(client, found.session_id, first, follow=follow, as_json=as_json_)

    output.run(work())


@app.command("attach")
def attach(session: Which) -> None:
    """Its console, live, with input; Ctrl-D leaves it, the game runs on."""

    async def work() -> None:
        from manman.cli.console import attach_to

        async with open_panel() as client:
            await attach_to(client, await find_session(client, session))

    output.run(work())


def ended_otherwise(yes: bool) -> None:
    """Exit code 1 when what was waited for ended differently."""
    if yes:
        raise SystemExit(output.ENDED)


def show(session: types.Session, as_json_: bool) -> None:
    """One session, for people or programs."""
    if as_json_:
        output.show_json(as_json(session))
        return
    facts: list[tuple[str, Any]] = [
        ("session", f"{session.session_id} of {session.deployment} ({session.game}) on {session.host}"),
        ("state", words.state(session)),
        ("join", "  ".join(f"{e.name} {words.address(e)}/{e.protocol}" for e in session.endpoints)),
        ("cause", session.cause),
        ("detail", session.detail),
        ("after", session.previous_session_id),
        ("started", words.clock(session.started_at)),
        ("ended", words.clock(session.ended_at)),
    ]
    for name, value in facts:
        if value:
            print(f"{name:<9}{value}")
    for line in session.tail:
        print(f"  | {line}")
