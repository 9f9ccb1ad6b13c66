"""The panel that a command speaks to, and how people name things to it: by name or by number."""

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import typer

from manman.cli import output, place
from manman.client import Client
from manman.errors import RefusedError
from manman.v1 import types

N = TypeVar("N")
P = ParamSpec("P")
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
Filter = Annotated[str | None, typer.Option("--filter", help="As in the API: 'status = running AND host_id = 1'.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until it is reached.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds that --wait waits at most.")]


def on_panel(work: Callable[Concatenate[Client, P], Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A command that speaks to the panel which `place.panel` finds: `work` is called with a client first; what the command
    takes is the rest. Errors end it as `output.run` says."""

    @wraps(work)
    def command(*given: P.args, **named: P.kwargs) -> None:
        async def ask() -> None:
            url, token = place.panel()
            async with Client(url, token) as client:
                await work(client, *given, **named)

        output.run(ask())

    whole = signature(work)
    vars(command)["__signature__"] = whole.replace(parameters=list(whole.parameters.values())[1:])
    return command


async def find_host(client: Client, name: str) -> types.Host:
    """A host by name or number; `not_found` names what there is."""
    if name.isdecimal():
        return await client.get_host(int(name))
    everything = (await client.list_hosts(page_size=1000)).hosts
    return _the_one(
        name, [h for h in everything if h.name == name], "host", [h.name for h in everything], "manman hosts list"
    )


async def find_deployment(client: Client, name: str) -> types.Deployment:
    """A deployment by name or number; `not_found` names the command that lists them."""
    if name.isdecimal():
        return await client.get_deployment(int(name))
    found = (await client.list_deployments(filter=f"name = {quoted(name)}")).deployments
    return _the_one(name, found, "deployment", [], "manman deployments list")


async def find_session(client: Client, name: str) -> types.Session:
    """A session by number, or the latest one of a deployment by name."""
    if name.isdecimal():
        return await client.get_session(int(name))
    deployment = await find_deployment(client, name)
    if deployment.session_id is None:
        raise RefusedError("not_found", f"deployment {name} has never run", hint=f"manman sessions start {name}")
    return await client.get_session(deployment.session_id)


async def find_game(client: Client, name: str) -> types.Game:
    """A game by name or number."""
    if name.isdecimal():
        return await client.get_game(int(name))
    everything = (await client.list_games(page_size=1000)).games
    return _the_one(
        name, [g for g in everything if g.name == name], "game", [g.name for g in everything], "manman games catalogue"
    )


async def find_config(client: Client, name: str) -> types.GameConfig:
    """A config by number, `game/config`, or `game` where it has one config only."""
    if name.isdecimal():
        return await client.get_game_config(int(name))
    game_name, _, config_name = name.partition("/")
    game = await find_game(client, game_name)
    configs = (await client.list_game_configs(filter=f"game_id = {game.game_id}", page_size=1000)).configs
    found = [c for c in configs if not config_name or c.name == config_name]
    known = [f"{game_name}/{c.name}" for c in configs]
    if len(found) > 1:
        raise RefusedError("invalid_argument", f"game {game_name} has several configs; name one of {', '.join(known)}")
    return _the_one(name, found, "config", known, f"manman games configs {game_name}")


def quoted(text: str) -> str:
    """A text as a value of the filter grammar."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _the_one(name: str, found: list[N], noun: str, known: list[str], command: str) -> N:
    if found:
        return found[0]
    others = f"; there is {', '.join(known[:8])}" if known else ""
    raise RefusedError("not_found", f"no {noun} is called {name}{others}", hint=command)
