"""Games: List, Create, Get, Update, Delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from manman.api import json, masks, shapes
from manman.api.callers import Caller
from manman.api.pages import List
from manman.api.refusals import invalid, not_found
from manman.api.usecases import use_case
from manman.errors import RefusedError
from manman.store import game_changes, listed
from manman.store.pool import Connection
from manman.v1 import games_pb2 as pb

GAMES = List(noun=pb.Game.DESCRIPTOR, id="game_id", order="name", query=listed.sql["games"])
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")


def named(name: str, pointer: str = "/name") -> str:
    """A name as every noun has it; raises `invalid_argument`."""
    if NAME.fullmatch(name) is None:
        raise invalid(pointer, f"must be lower-case letters, digits, dots and dashes, at most 100, not {name!r}")
    return name


def taken(what: str, name: str, **facts: Any) -> RefusedError:
    """`already_exists`, naming it."""
    return RefusedError("already_exists", f"there is a {what} {name} already", hint="choose another name", **facts)


def in_use(what: str, name: str, use: Any) -> RefusedError:
    """`in_use`, naming the deployment."""
    return RefusedError(
        "in_use",
        f"{what} {name} is used by deployment {use['name']}",
        hint="delete the deployment first",
        deployment_id=use["id"],
    )


def game_of(row: Mapping[str, Any]) -> pb.Game:
    """A row of `listed.games` as its message."""
    return json.fill(pb.Game(), {**row, "etag": str(row["version"])})


async def load(conn: Connection, game: int) -> pb.Game:
    """One game; raises `not_found`."""
    row = await listed.one(conn, "games", "game_id", game)
    if row is None:
        raise not_found("game", game)
    return game_of(row)


@use_case("Games.ListGames")
async def list_games(request: pb.ListGamesRequest, caller: Caller, conn: Connection) -> pb.ListGamesResponse:
    watch_from = await shapes.watch_from(conn)
    found, token = await GAMES.page(conn, request, caller.now)
    games = [game_of(row) for row in found.rows]
    return pb.ListGamesResponse(games=games, next_page_token=token, total=found.total, watch_from=watch_from)


@use_case("Games.GetGame")
async def get_game(request: pb.GetGameRequest, caller: Caller, conn: Connection) -> pb.Game:
    return await load(conn, request.game_id)


@use_case("Games.CreateGame")
async def create_game(request: pb.CreateGameRequest, caller: Caller, conn: Connection) -> pb.Game:
    game = request.game
    made = await game_changes.add_game(conn, named(game.name), game.title, game.description, game.labels)
    if made is None:
        raise taken("game", game.name, game_id=await game_changes.game_named(conn, game.name))
    return await load(conn, made)


@use_case("Games.UpdateGame")
async def update_game(request: pb.UpdateGameRequest, caller: Caller, conn: Connection) -> pb.Game:
    locked = await game_changes.lock(conn, "game", request.game_id)
    if locked is None:
        raise not_found("game", request.game_id)
    masks.must_match(request.etag, locked["version"], f"game {request.game_id}")
    before = await load(conn, request.game_id)
    after = masks.patched(before, request.game, request.update_mask.paths)
    if after == before:
        return before
    if not await game_changes.set_game(
        conn, request.game_id, named(after.name), after.title, after.description, after.labels
    ):
        raise taken("game", after.name)
    made: pb.Game = noted(caller, before, await load(conn, request.game_id))
    return made


def noted(caller: Caller, before: Any, after: Any) -> Any:
    """`after`, with what differs from `before` noted for the audit row."""
    old, new = json.plain(before), json.plain(after)
    changed = {key: [old[key], new[key]] for key in new if old.get(key) != new[key] and key != "parameters"}
    if old.get("parameters") != new.get("parameters"):
        # Their values may be secret.
        changed["parameters"] = sorted(set(old["parameters"]) | set(new["parameters"]))
    caller.notes["changed"] = changed
    return after


@use_case("Games.DeleteGame")
async def delete_game(request: pb.DeleteGameRequest, caller: Caller, conn: Connection) -> pb.DeleteGameResponse:
    locked = await game_changes.lock(conn, "game", request.game_id)
    if locked is None:
        raise not_found("game", request.game_id)
    masks.must_match(request.etag, locked["version"], f"game {request.game_id}")
    use = await game_changes.use_of(conn, "game", request.game_id)
    if use is not None:
        raise in_use("game", str(request.game_id), use)
    await game_changes.delete(conn, "game", request.game_id)
    return pb.DeleteGameResponse()
