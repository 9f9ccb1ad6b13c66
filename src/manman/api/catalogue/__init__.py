"""Ready-made games: a TOML file each in this folder, read when asked for.

A file holds `game`, `title`, `description`, `config` (a name) and `[spec]`, a `GameConfigSpec` as its JSON is. The file's
name is the entry's. A test reads them all and holds that each spec is one that the rules accept.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from manman.api import configs, json
from manman.api.callers import Caller
from manman.api.refusals import not_found
from manman.api.usecases import Done, use_case
from manman.store import game_changes
from manman.store.pool import Connection
from manman.v1 import games_pb2 as pb


@cache
def entries() -> Mapping[str, pb.CatalogueEntry]:
    """Every entry by its name. Raises `ValueError` for a file that does not fit: a bug of ours."""
    found = {}
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            name = file.name.removesuffix(".toml")
            found[name] = _entry(name, tomllib.loads(file.read_text(encoding="utf-8")))
    return found


def _entry(name: str, values: Mapping[str, Any]) -> pb.CatalogueEntry:
    made = pb.CatalogueEntry()
    faults = json.read({"entry": name, **values}, made)
    if faults:
        raise ValueError(f"{name}.toml{faults[0].pointer} {faults[0].detail}")
    return made


@use_case("Games.ListCatalogue")
async def list_catalogue(
    request: pb.ListCatalogueRequest, caller: Caller, conn: Connection
) -> pb.ListCatalogueResponse:
    return pb.ListCatalogueResponse(entries=entries().values())


@use_case("Games.ImportCatalogue")
async def import_catalogue(request: pb.ImportCatalogueRequest, caller: Caller, conn: Connection) -> Done:
    entry = entries().get(request.entry)
    if entry is None:
        known = ", ".join(entries())
        raise not_found("catalogue entry", f"{request.entry}; there is {known}")
    game = await game_changes.add_game(conn, entry.game, entry.title, entry.description, {})
    if game is None:
        game = await game_changes.game_named(conn, entry.game)
    assert game is not None
    spec = configs.checked(entry.spec)
    config = await game_changes.add_config(conn, game, entry.config, entry.description, spec, caller.said)
    if config is not None:
        return Done(await configs.load(conn, config), 201)
    config = await game_changes.config_named(conn, game, entry.config)
    assert config is not None
    return Done(await configs.load(conn, config), 200)
