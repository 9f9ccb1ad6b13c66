"""The first game of `manman up`, and what is said about games that are there already."""

import asyncio
import socket
from typing import Any

from manman.cli import run, words
from manman.client import Client
from manman.errors import ManManError
from manman.v1 import types

FALLBACK = "demo"
PATIENCE = 300.0


async def first_game(client: Client, game: str, stop: asyncio.Event) -> None:
    """Where nothing is deployed yet, run `game`, or the demo game with the reason; else say what should run and where."""
    known = [d async for d in client.each(client.list_deployments)]
    if known:
        await _what_runs(client, known)
        return
    if not game:
        return
    try:
        await _run(client, game)
    except ManManError as error:
        if game == FALLBACK:
            raise
        print(f"  {game} is not possible here: {error.detail}", flush=True)
        print(f"  instead: {FALLBACK}, a text arena inside the package", flush=True)
        await _run(client, FALLBACK)


async def _run(client: Client, game: str) -> None:
    deployment = await run.find_or_deploy(client, game, choose_ports=free_ports)
    session = await run.start_and_wait(client, deployment, PATIENCE)
    if session.status != "running":
        print(f"  {game} did not come up: {words.state(session)} {session.detail}", flush=True)
        return
    _joinable(session.deployment, session.endpoints)


async def _what_runs(client: Client, known: list[types.Deployment]) -> None:
    """Wanted games get a little time to be adopted or begun again by their agent, then each is said with its address."""
    wanted = [d for d in known if d.desired == "running"]
    for _ in range(40):
        now = [await client.get_deployment(d.deployment_id) for d in wanted]
        if all(
            d.session is not None and d.session.status == "running" and d.session.unreachable_since is None for d in now
        ):
            break
        await asyncio.sleep(0.25)
    for deployment in [await client.get_deployment(d.deployment_id) for d in wanted]:
        if deployment.session is not None and deployment.session.status == "running":
            _joinable(deployment.name, deployment.endpoints)
        else:
            state = deployment.session.status if deployment.session is not None else deployment.status
            print(f"  {deployment.name}  {state}", flush=True)
    if not wanted:
        print(
            f"  {len(known)} deployment{'s' if len(known) > 1 else ''}, none wanted to run: manman deployments list",
            flush=True,
        )


def free_ports(config: types.GameConfig) -> list[dict[str, Any]]:
    """Wishes for the ports of this machine that another program holds: the next free number, one for ports that share one."""
    ports = config.spec.ports if config.spec is not None else []
    numbers: dict[int, list[str]] = {}
    for port in ports:
        if port.default:
            numbers.setdefault(port.default, []).append(port.protocol)
    moved = {n: _next_free(n, protocols) for n, protocols in numbers.items()}
    return [{"name": p.name, "port": moved[p.default]} for p in ports if p.default and moved[p.default] != p.default]


def _next_free(number: int, protocols: list[str]) -> int:
    return next((n for n in range(number, min(number + 200, 65536)) if all(_is_free(n, p) for p in protocols)), number)


def _is_free(number: int, protocol: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as probe:
        if protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", number))
            if protocol == "tcp":
                probe.listen(1)
        except OSError:
            return False
    return True


def _joinable(name: str, endpoints: list[types.Endpoint]) -> None:
    for endpoint in endpoints:
        url = f"  {endpoint.join_url}" if endpoint.join_url else ""
        print(f"  {name}  runs. Join: {words.address(endpoint)}/{endpoint.protocol}{url}", flush=True)
