"""`manman run GAME`: one command to a game that a friend can join."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from manman.cli import output, plain, watching, words
from manman.cli.deployments import Sets, only_host, parameters
from manman.cli.panel import AsJson, find_config, find_host, on_panel, quoted
from manman.client import ApiError, Client
from manman.errors import RefusedError
from manman.v1 import types

app = plain.commands()


@app.command()
@on_panel
async def run(
    client: Client,
    game: Annotated[str, typer.Argument(help="A name of `manman games catalogue`, or GAME/CONFIG of your own.")],
    host: Annotated[
        str | None, typer.Option("--on", help="The host's name or number; the only one unless given.")
    ] = None,
    sets: Sets = None,
    name: Annotated[str | None, typer.Option("--name", help="The deployment's name; the game's unless given.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 600,
    as_json_: AsJson = False,
) -> None:
    """Find or make game, config, deployment and ports, start it, wait, print where to join. The same name again is the same deployment."""
    deployment = await find_or_deploy(client, game, host=host, sets=sets, name=name)
    session = await start_and_wait(client, deployment, timeout)
    if as_json_:
        output.show_json(session)
    elif session.status == "running":
        print(f"{session.deployment} runs. Join: {' '.join(join_lines(session))}")
    else:
        print(f"{session.deployment} did not come up: {words.state(session)} {session.detail}")
        print(f"  look at its console: manman sessions logs {session.session_id}")
    raise SystemExit(0 if session.status == "running" else output.ENDED)


async def find_or_deploy(
    client: Client,
    game: str,
    *,
    host: str | None = None,
    sets: list[str] | None = None,
    name: str | None = None,
    choose_ports: Callable[[types.GameConfig], list[Any]] = lambda config: [],
) -> types.Deployment:
    """The deployment of that name, with the parameters given; made, with its config, where there is none.

    `choose_ports` may wish for ports of a new one; what it leaves open the panel chooses.
    """
    called = name or game.replace("/", "-")
    found = (await client.list_deployments(filter=f"name = {quoted(called)}")).deployments
    if found:
        return await _as_wanted(client, found[0], game, parameters(sets))
    config = await find_or_import(client, game)
    on = await find_host(client, host) if host else await only_host(client)
    return await client.deploy_game_config(
        name=called,
        host_id=on.host_id,
        config_id=config.config_id,
        parameters=parameters(sets),
        ports=choose_ports(config),
    )


async def find_or_import(client: Client, game: str) -> types.GameConfig:
    """A config by `game/config`, else the catalogue's entry of that name, else a game's only config."""
    entries = (await client.list_catalogue()).entries
    if any(e.entry == game for e in entries):
        return await client.import_catalogue(game)
    try:
        return await find_config(client, game)
    except RefusedError as error:
        ready_made = ", ".join(e.entry for e in entries)
        raise RefusedError(
            "not_found", f"{error.detail}; ready-made are {ready_made}", hint="manman games catalogue"
        ) from error


async def _as_wanted(
    client: Client, deployment: types.Deployment, game: str, wanted: dict[str, Any]
) -> types.Deployment:
    if "/" not in game and deployment.game != game and deployment.config.split("/")[0] != game:
        raise RefusedError(
            "already_exists",
            f"deployment {deployment.name} is {deployment.config}, not {game}",
            hint=f"choose another name: manman run {game} --name …",
        )
    if not wanted:
        return deployment
    return await client.update_deployment(
        deployment.deployment_id, deployment={"parameters": wanted}, etag=deployment.etag
    )


async def start_and_wait(client: Client, deployment: types.Deployment, timeout: float) -> types.Session:
    """Install, start (or take what is live), and wait until it runs or has ended."""
    if deployment.status == "installing":
        deployment = await watching.until_installed(client, deployment, timeout)
    if deployment.status == "install_failed":
        raise RefusedError(
            "deployment_not_ready",
            f"{deployment.name} could not be installed: {deployment.detail}",
            hint=f"try again: manman deployments reinstall {deployment.name} --wait",
        )
    try:
        session = await client.start_session(deployment_id=deployment.deployment_id)
    except ApiError as error:
        if error.refused_code != "session_live":
            raise
        session = await client.get_session(int(error.facts["session_id"]))
    return await watching.until_running(client, session, timeout)


def join_lines(session: types.Session) -> list[str]:
    """Every address that players use, with the link that opens the game where there is one."""
    return [f"{words.address(e)}/{e.protocol}{' ' + e.join_url if e.join_url else ''}" for e in session.endpoints]
