"""`manman games …`"""

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from manman.cli import output
from manman.cli.deployments import Sets, parameters
from manman.cli.panel import AsJson, as_json, find_config, find_game, open_panel
from manman.errors import Malformed

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Titles, and the configs that say how to run them.")
File = Annotated[str, typer.Option("-f", "--file", help="A JSON file; - is standard input.")]
Config = Annotated[str, typer.Argument(metavar="CONFIG", help="GAME/CONFIG, GAME or a config's number.")]


@app.command("list")
def list_(as_json_: AsJson = False) -> None:
    """Games of this installation."""

    async def work() -> None:
        async with open_panel() as client:
            games = [g async for g in client.each(client.list_games)]
        if as_json_:
            output.show_json(as_json(games))
            return
        output.show_table(
            ("id", "name", "title", "configs"),
            [(g.game_id, g.name, g.title, g.configs) for g in games],
            empty="No game yet: manman games catalogue",
        )

    output.run(work())


@app.command("catalogue")
def catalogue(as_json_: AsJson = False) -> None:
    """Ready-made games that come with the package."""

    async def work() -> None:
        async with open_panel() as client:
            entries = (await client.list_catalogue()).entries
        if as_json_:
            output.show_json(as_json(entries))
            return
        output.show_table(
            ("name", "title", "what it is"),
            [(e.entry, e.title, e.description) for e in entries],
            empty="The catalogue is empty.",
        )

    output.run(work())


@app.command("import")
def import_(entry: Annotated[str, typer.Argument(help="A name of the catalogue.")], as_json_: AsJson = False) -> None:
    """Make a ready-made game and its config; again is the same."""

    async def work() -> None:
        async with open_panel() as client:
            config = await client.import_catalogue(entry)
        output.show_json(as_json(config)) if as_json_ else print(f"{config.game}/{config.name} r{config.revision}")

    output.run(work())


@app.command("create")
def create(
    name: str, title: Annotated[str, typer.Option(help="What people call it.")] = "", as_json_: AsJson = False
) -> None:
    """Make a game."""

    async def work() -> None:
        async with open_panel() as client:
            game = await client.create_game(game={"name": name, "title": title or name})
        output.show_json(as_json(game)) if as_json_ else print(f"{game.game_id} {game.name}")

    output.run(work())


@app.command("get")
def get(game: str) -> None:
    """One game."""

    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await find_game(client, game)))

    output.run(work())


@app.command("update")
def update(game: str, title: str | None = None, description: str | None = None) -> None:
    """Change a game's title or description."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_game(client, game)
            change = {k: v for k, v in (("title", title), ("description", description)) if v is not None}
            output.show_json(as_json(await client.update_game(found.game_id, game=change, etag=found.etag)))

    output.run(work())


@app.command("delete")
def delete(game: str) -> None:
    """Remove a game that no deployment uses."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_game(client, game)
            await client.delete_game(found.game_id, etag=found.etag)

    output.run(work())


@app.command("configs")
def configs(
    game: Annotated[str | None, typer.Argument(help="Only this game's.")] = None, as_json_: AsJson = False
) -> None:
    """Configs: how games are run."""

    async def work() -> None:
        async with open_panel() as client:
            about = f"game_id = {(await find_game(client, game)).game_id}" if game else None
            found = [c async for c in client.each(client.list_game_configs, filter=about)]
        if as_json_:
            output.show_json(as_json(found))
            return
        output.show_table(
            ("id", "config", "revision"),
            [(c.config_id, f"{c.game}/{c.name}", c.revision) for c in found],
            empty="No config yet.",
        )

    output.run(work())


@app.command("config")
def config(which: Config) -> None:
    """One config at its newest revision."""

    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await find_config(client, which)))

    output.run(work())


@app.command("revisions")
def revisions(which: Config) -> None:
    """Every revision of a config."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_config(client, which)
            output.show_json(as_json((await client.list_config_revisions(found.config_id)).revisions))

    output.run(work())


@app.command("set-config")
def set_config(which: Annotated[str, typer.Argument(metavar="GAME/CONFIG")], file: File) -> None:
    """Make a config of a JSON spec, or give an existing one a new revision."""

    async def work() -> None:
        game_name, _, name = which.partition("/")
        if not name:
            raise Malformed("GAME/CONFIG", f"{which!r} names no config")
        spec = _read(file)
        async with open_panel() as client:
            game = await find_game(client, game_name)
            known = (await client.list_game_configs(filter=f"game_id = {game.game_id}", page_size=1000)).configs
            old = next((c for c in known if c.name == name), None)
            if old is None:
                now = await client.create_game_config(config={"game_id": game.game_id, "name": name, "spec": spec})
            else:
                now = await client.update_game_config(old.config_id, config={"spec": spec}, etag=old.etag)
        print(f"{now.game}/{now.name} r{now.revision}")

    output.run(work())


@app.command("delete-config")
def delete_config(which: Config) -> None:
    """Remove a config that no deployment uses."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_config(client, which)
            await client.delete_game_config(found.config_id, etag=found.etag)

    output.run(work())


@app.command("preview")
def preview(which: Config, sets: Sets = None) -> None:
    """What would run: command, environment and files, each value with its origin."""

    async def work() -> None:
        async with open_panel() as client:
            found = await find_config(client, which)
            output.show_json(as_json(await client.preview_game_config(found.config_id, parameters=parameters(sets))))

    output.run(work())


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return msgspec.json.decode(text, type=dict[str, Any])
    except OSError as error:
        raise Malformed("--file", f"{file} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Malformed("--file", f"{file} is not a JSON object: {error}") from error
