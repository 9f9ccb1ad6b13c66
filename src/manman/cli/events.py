"""`manman events …`"""

import json
import sys
from typing import Annotated

import typer

from manman.cli import output, plain, words
from manman.cli.panel import AsJson, Filter, on_panel
from manman.client import Client
from manman.v1 import types

app = plain.commands("What happened, live or replayed.")
dead = plain.commands("Messages that could not be applied, with the reason.")
app.add_typer(dead, name="dead")
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="A dead letter's number.")]
All = Annotated[bool, typer.Option("--all", help="Also what does not go to other domains.")]


@app.command("list")
@on_panel
async def list_(
    client: Client,
    filter: Filter = None,
    after: Annotated[str | None, typer.Option(help="Only after this cursor.")] = None,
    limit: Annotated[int, typer.Option(help="The most that are listed.")] = 50,
    as_json_: AsJson = False,
) -> None:
    """Past events: the newest first, or after a cursor the oldest first."""
    found = (await client.list_events(filter=filter, after=after, page_size=limit)).events
    if as_json_:
        output.show_json(found)
    else:
        for event in found:
            print(line(event))


@app.command("tail")
@on_panel
async def tail(
    client: Client,
    filter: Filter = None,
    after: Annotated[str | None, typer.Option(help="Replay what came after this cursor first.")] = None,
    everything: All = False,
    as_json_: AsJson = False,
) -> None:
    """Events as they come, a JSON body on each line; Ctrl-C ends it."""
    wanted = " AND ".join(part for part in (filter, None if everything else "public = true") if part) or None
    async for said in client.watch_events(after=after, filter=wanted):
        if said.event is not None:
            if as_json_:
                output.show_json_line(said.event)
            else:
                print(line(said.event))
            sys.stdout.flush()


def line(event: types.Event) -> str:
    """One event on one line: cursor, time, type, body as JSON."""
    return f"{event.cursor:>8}  {words.clock(event.at)}  {event.type:<26} {json.dumps(event.body, ensure_ascii=False)}"


@dead.command("list")
@on_panel
async def list_dead(client: Client, filter: Filter = None, as_json_: AsJson = False) -> None:
    """Dead letters, newest first."""
    output.show_list(
        (await client.list_dead_letters(filter=filter, page_size=1000)).dead_letters,
        as_json_,
        ("n", "at", "key", "host", "reason", ""),
        lambda d: (
            *(d.dead_letter_id, words.clock(d.at), d.key),
            *(d.host_id or "–", d.reason, "open" if d.open else "closed"),
        ),
        empty="No dead letter: every message was applied.",
    )


@dead.command("show")
@on_panel
async def show_dead(client: Client, number: Number) -> None:
    """One dead letter with headers and body."""
    output.show_json(await client.get_dead_letter(number))


@dead.command("replay")
@on_panel
async def replay_dead(client: Client, number: Number) -> None:
    """Try it again, once its cause is mended."""
    output.show_json(await client.replay_dead_letter(number))


@dead.command("drop")
@on_panel
async def drop_dead(client: Client, number: Number) -> None:
    """Drop it for good."""
    output.show_json(await client.drop_dead_letter(number))
