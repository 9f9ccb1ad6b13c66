"""`manman events …`"""

import json
from typing import Annotated, Any

import typer

from manman.cli import output, words
from manman.cli.panel import AsJson, Filter, as_json, open_panel
from manman.v1 import types

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="What happened, live or replayed.")
dead = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Messages that could not be applied, with the reason."
)
app.add_typer(dead, name="dead")
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="A dead letter's number.")]
All = Annotated[bool, typer.Option("--all", help="Also what does not go to other domains.")]


@app.command("list")
def list_(
    filter: Filter = None,
    after: Annotated[str | None, typer.Option(help="Only after this cursor.")] = None,
    limit: int = 50,
    as_json_: AsJson = False,
) -> None:
    """Past events: the newest first, or after a cursor the oldest first."""

    async def work() -> None:
        async with open_panel() as client:
            found = (await client.list_events(filter=filter, after=after, page_size=limit)).events
        if as_json_:
            output.show_json(as_json(found))
            return
        for event in found:
            print(line(event))

    output.run(work())


@app.command("tail")
def tail(
    filter: Filter = None,
    after: Annotated[str | None, typer.Option(help="Replay what came after this cursor first.")] = None,
    everything: All = False,
    as_json_: AsJson = False,
) -> None:
    """Events as they come, a JSON body on each line; Ctrl-C ends it."""

    async def work() -> None:
        wanted = " AND ".join(part for part in (filter, None if everything else "public = true") if part) or None
        async with open_panel() as client:
            async for said in client.watch_events(after=after, filter=wanted):
                if said.event is not None:
                    print(
                        json.dumps(as_json(said.event), ensure_ascii=False) if as_json_ else line(said.event),
                        flush=True,
                    )

    output.run(work())


def line(event: types.Event) -> str:
    """One event on one line: cursor, time, type, body as JSON."""
    return f"{event.cursor:>8}  {words.clock(event.at)}  {event.type:<26} {json.dumps(event.body, ensure_ascii=False)}"


@dead.command("list")
def list_dead(filter: Filter = None, as_json_: AsJson = False) -> None:
    """Dead letters, newest first."""

    async def work() -> None:
        async with open_panel() as client:
            found = (await client.list_dead_letters(filter=filter, page_size=1000)).dead_letters
        if as_json_:
            output.show_json(as_json(found))
            return
        rows = [
            (d.dead_letter_id, words.clock(d.at), d.key, d.host_id or "–", d.reason, "open" if d.open else "closed")
            for d in found
        ]
        output.show_table(
            ("n", "at", "key", "host", "reason", ""), rows, empty="No dead letter: every message was applied."
        )

    output.run(work())


@dead.command("show")
def show_dead(number: Number) -> None:
    """One dead letter with headers and body."""
    _dead(lambda client: client.get_dead_letter(number))


@dead.command("replay")
def replay_dead(number: Number) -> None:
    """Try it again, once its cause is mended."""
    _dead(lambda client: client.replay_dead_letter(number))


@dead.command("drop")
def drop_dead(number: Number) -> None:
    """Drop it for good."""
    _dead(lambda client: client.drop_dead_letter(number))


def _dead(call: Any) -> None:
    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await call(client)))

    output.run(work())
