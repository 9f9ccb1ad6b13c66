"""`manman sessions …`"""

from typing import Annotated, Any

import typer

from manman.cli import output, plain, watching, words
from manman.cli.panel import AsJson, Filter, Timeout, Wait, find_deployment, find_session, on_panel
from manman.client import Client
from manman.v1 import types

app = plain.commands("One session is one run of a deployment.")
Limit = Annotated[int, typer.Option(help="The most that are listed.")]
Which = Annotated[
    str, typer.Argument(metavar="SESSION", help="A session's number, or a deployment's name: its latest session.")
]


@app.command("list")
@on_panel
async def list_(client: Client, filter: Filter = None, as_json_: AsJson = False, limit: Limit = 100) -> None:
    """Sessions, newest first."""
    output.show_list(
        (await client.list_sessions(filter=filter, page_size=limit)).sessions,
        as_json_,
        ("id", "deployment", "game", "host", "state", "join", "since"),
        lambda s: (
            *(s.session_id, s.deployment, s.game, s.host),
            *(words.state(s), words.join(s.endpoints), words.clock(s.created_at)),
        ),
        empty="No session yet: manman run teeworlds",
    )


@app.command("get")
@on_panel
async def get(client: Client, session: Which, as_json_: AsJson = False) -> None:
    """One session, whole."""
    show(await find_session(client, session), as_json_)


@app.command("history")
@on_panel
async def history(client: Client, session: Which, as_json_: AsJson = False) -> None:
    """Every transition, with number, time and cause."""
    found = await find_session(client, session)
    transitions = (await client.list_session_history(found.session_id, page_size=1000)).transitions
    output.show_history(transitions, as_json_)


@app.command("start")
@on_panel
async def start(
    client: Client,
    deployment: Annotated[str, typer.Argument(help="A deployment's name or number.")],
    wait: Wait = False,
    timeout: Timeout = 600,
    as_json_: AsJson = False,
) -> None:
    """Start a deployment; with --wait until it runs."""
    found = await find_deployment(client, deployment)
    session = await client.start_session(deployment_id=found.deployment_id)
    if wait:
        session = await watching.until_running(client, session, timeout)
    show(session, as_json_)
    ended_otherwise(wait and session.status != "running")


@app.command("stop")
@on_panel
async def stop(
    client: Client,
    session: Which,
    grace: Annotated[float | None, typer.Option(help="Seconds to end by itself, instead of the config's.")] = None,
    wait: Wait = False,
    timeout: Timeout = 300,
    as_json_: AsJson = False,
) -> None:
    """Stop it as its config says, and keep it stopped."""
    found = await find_session(client, session)
    now = await client.stop_session(found.session_id, grace=f"{grace:g}s" if grace is not None else None)
    if wait:
        now = await watching.until_over(client, now, timeout)
    show(now, as_json_)
    ended_otherwise(wait and now.status != "stopped")


@app.command("restart")
@on_panel
async def restart(
    client: Client, session: Which, wait: Wait = False, timeout: Timeout = 600, as_json_: AsJson = False
) -> None:
    """End it and begin the next, with the newest settings; with --wait until that runs."""
    found = await find_session(client, session)
    now = await client.restart_session(found.session_id)
    if wait:
        live = found.status not in watching.FINAL
        now = await (
            watching.until_followed(client, found, timeout) if live else watching.until_running(client, now, timeout)
        )
    show(now, as_json_)
    ended_otherwise(wait and now.status != "running")


@app.command("kill")
@on_panel
async def kill(
    client: Client, session: Which, wait: Wait = False, timeout: Timeout = 60, as_json_: AsJson = False
) -> None:
    """End it at once, without a grace period: what it has not saved is lost."""
    found = await find_session(client, session)
    now = await client.kill_session(found.session_id)
    if wait:
        now = await watching.until_over(client, now, timeout)
    show(now, as_json_)


@app.command("send")
@on_panel
async def send(
    client: Client, session: Which, line: Annotated[str, typer.Argument(help="One line for its console.")]
) -> None:
    """Type one line into its console."""
    found = await find_session(client, session)
    await client.send_input(found.session_id, line=line)


@app.command("logs")
@on_panel
async def logs(
    client: Client,
    session: Which,
    first: Annotated[int, typer.Option("--from", help="The first line wanted, from 1 on.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    as_json_: AsJson = False,
) -> None:
    """Its console, each line once, numbered."""
    from manman.cli.console import print_lines

    found = await find_session(client, session)
    await print_lines(client, found.session_id, first, follow=follow, as_json=as_json_)


@app.command("attach")
@on_panel
async def attach(client: Client, session: Which) -> None:
    """Its console, live, with input; Ctrl-D leaves it, the game runs on."""
    from manman.cli.console import attach_to

    await attach_to(client, await find_session(client, session))


def ended_otherwise(yes: bool) -> None:
    """Exit code 1 when what was waited for ended differently."""
    if yes:
        raise SystemExit(output.ENDED)


def show(session: types.Session, as_json_: bool) -> None:
    """One session, for people or programs."""
    if as_json_:
        output.show_json(session)
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
