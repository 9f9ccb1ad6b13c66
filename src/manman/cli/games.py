"""`manman games …`"""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from manman.cli import output, plain
from manman.cli.deployments import Sets, parameters
from manman.cli.panel import AsJson, find_config, find_game, on_panel
from manman.client import Client
from manman.errors import Malformed

app = plain.commands("Titles, and the configs that say how to run them.")
File = Annotated[str, typer.Option("-f", "--file", help="A JSON file; - is standard input.")]
Config = Annotated[str, typer.Argument(metavar="CONFIG", help="GAME/CONFIG, GAME or a config's number.")]


@app.command("list")
@on_panel
async def list_(client: Client, as_json_: AsJson = False) -> None:
    """Games of this installation."""
    output.show_list(
        [g async for g in client.each(client.list_games)],
        as_json_,
        ("id", "name", "title", "configs"),
        lambda g: (g.game_id, g.name, g.title, g.configs),
        empty="No game yet: manman games catalogue",
    )


@app.command("catalogue")
@on_panel
async def catalogue(client: Client, as_json_: AsJson = False) -> None:
    """Ready-made games that come with the package."""
    output.show_list(
        (await client.list_catalogue()).entries,
        as_json_,
        ("name", "title", "what it is"),
        lambda e: (e.entry, e.title, e.description),
        empty="The catalogue is empty.",
    )


@app.command("import")
@on_panel
async def import_(
    client: Client, entry: Annotated[str, typer.Argument(help="A name of the catalogue.")], as_json_: AsJson = False
) -> None:
    """Make a ready-made game and its config; again is the same."""
    config = await client.import_catalogue(entry)
    output.show_json(config) if as_json_ else print(f"{config.game}/{config.name} r{config.revision}")


@app.command("create")
@on_panel
async def create(
    client: Client,
    name: str,
    title: Annotated[str, typer.Option(help="What people call it.")] = "",
    as_json_: AsJson = False,
) -> None:
    """Make a game."""
    game = await client.create_game(game={"name": name, "title": title or name})
    output.show_json(game) if as_json_ else print(f"{game.game_id} {game.name}")


@app.command("get")
@on_panel
async def get(client: Client, game: str) -> None:
    """One game."""
    output.show_json(await find_game(client, game))


@app.command("update")
@on_panel
async def update(client: Client, game: str, title: str | None = None, description: str | None = None) -> None:
    """Change a game's title or description."""
    found = await find_game(client, game)
    change = {k: v for k, v in (("title", title), ("description", description)) if v is not None}
    output.show_json(await client.update_game(found.game_id, game=change, etag=found.etag))


@app.command("delete")
@on_panel
async def delete(client: Client, game: str) -> None:
    """Remove a game that no deployment uses."""
    found = await find_game(client, game)
    await client.delete_game(found.game_id, etag=found.etag)


@app.command("configs")
@on_panel
async def configs(
    client: Client,
    game: Annotated[str | None, typer.Argument(help="Only this game's.")] = None,
    as_json_: AsJson = False,
) -> None:
    """Configs: how games are run."""
    about = f"game_id = {(await find_game(client, game)).game_id}" if game else None
    output.show_list(
        [c async for c in client.each(client.list_game_configs, filter=about)],
        as_json_,
        ("id", "config", "revision"),
        lambda c: (c.config_id, f"{c.game}/{c.name}", c.revision),
        empty="No config yet.",
    )


@app.command("config")
@on_panel
async def config(client: Client, which: Config) -> None:
    """One config at its newest revision."""
    output.show_json(await find_config(client, which))


@app.command("revisions")
@on_panel
async def revisions(client: Client, which: Config) -> None:
    """Every revision of a config."""
    found = await find_config(client, which)
    output.show_json((await client.list_config_revisions(found.config_id)).revisions)


@app.command("set-config")
@on_panel
async def set_config(client: Client, which: Annotated[str, typer.Argument(metavar="GAME/CONFIG")], file: File) -> None:
    """Make a config of a JSON spec, or give an existing one a new revision."""
    game_name, _, name = which.partition("/")
    if not name:
        raise Malformed("GAME/CONFIG", f"{which!r} names no config")
    spec = _read(file)
    game = await find_game(client, game_name)
    known = (await client.list_game_configs(filter=f"game_id = {game.game_id}", page_size=1000)).configs
    old = next((c for c in known if c.name == name), None)
    if old is None:
        now = await client.create_game_config(config={"game_id": game.game_id, "name": name, "spec": spec})
    else:
        now = await client.update_game_config(old.config_id, config={"spec": spec}, etag=old.etag)
    print(f"{now.game}/{now.name} r{now.revision}")


@app.command("delete-config")
@on_panel
async def delete_config(client: Client, which: Config) -> None:
    """Remove a config that no deployment uses."""
    found = await find_config(client, which)
    await client.delete_game_config(found.config_id, etag=found.etag)


@app.command("preview")
@on_panel
async def preview(client: Client, which: Config, sets: Sets = None) -> None:
    """What would run: command, environment and files, each value with its origin."""
    found = await find_config(client, which)
    output.show_json(await client.preview_game_config(found.config_id, parameters=parameters(sets)))


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise Malformed("--file", f"{file} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Malformed("--file", f"{file} is not a JSON object: {error}") from error
