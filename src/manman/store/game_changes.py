"""Games, configs and their revisions, as people change them. A revision never changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
Noun = Literal["game", "config"]


async def add_game(conn: Connection, name: str, title: str, description: str, labels: Mapping[str, str]) -> int | None:
    """A new game; None when the name is taken."""
    made: int | None = await conn.fetchval(sql["add_game"], name, title, description, dict(labels))
    return made


async def game_named(conn: Connection, name: str) -> int | None:
    """The game of this name."""
    found: int | None = await conn.fetchval(sql["game_named"], name)
    return found


async def lock(conn: Connection, noun: Noun, key: int) -> Any | None:
    """`version` (and of a config `revision`) of a row, locked; None when there is none."""
    return await conn.fetchrow(sql[f"lock_{noun}"], key)


async def set_game(
    conn: Connection, game: int, name: str, title: str, description: str, labels: Mapping[str, str]
) -> bool:
    """Changes a locked game; false when the name is another one's."""
    return await conn.fetchval(sql["set_game"], game, name, title, description, dict(labels)) is not None


async def use_of(conn: Connection, noun: Noun, key: int) -> Any | None:
    """A deployment that uses a game or config: `id`, `name`."""
    return await conn.fetchrow(sql[f"uses_of_{noun}"], key)


async def delete(conn: Connection, noun: Noun, key: int) -> None:
    """Removes a game with its configs, or a config with its revisions."""
    await conn.execute(sql[f"delete_{noun}"], key)


async def add_config(
    conn: Connection, game: int, name: str, description: str, spec: Mapping[str, Any], by: str
) -> int | None:
    """A new config at revision 1; None when the game has one of this name."""
    made: int | None = await conn.fetchval(sql["add_config"], game, name, description)
    if made is not None:
        await conn.execute(sql["add_revision"], made, 1, dict(spec), by)
    return made


async def config_named(conn: Connection, game: int, name: str) -> int | None:
    """The config of this name in a game."""
    found: int | None = await conn.fetchval(sql["config_named"], game, name)
    return found


async def set_config(conn: Connection, config: int, name: str, description: str, revision: int) -> bool:
    """Changes a locked config; false when the name is another one's."""
    return await conn.fetchval(sql["set_config"], config, name, description, revision) is not None


async def add_revision(conn: Connection, config: int, revision: int, spec: Mapping[str, Any], by: str) -> None:
    """The next revision of a config."""
    await conn.execute(sql["add_revision"], config, revision, dict(spec), by)


async def revision(conn: Connection, config: int, number: int) -> Any | None:
    """A revision with its names (`spec`, `revision`, `config`, `game`); 0 is the newest; None when there is none."""
    return await conn.fetchrow(sql["revision"], config, number)
