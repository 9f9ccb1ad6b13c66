"""`manman deployments …`"""

from typing import Annotated, Any

import typer

from manman.cli import output, plain, watching, words
from manman.cli.panel import AsJson, Filter, Timeout, Wait, find_config, find_deployment, find_host, on_panel
from manman.client import Client
from manman.errors import Malformed
from manman.v1 import types

app = plain.commands("Game configs placed on hosts, with their ports.")
Which = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="A deployment's name or number.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="A parameter: NAME=VALUE. May be given several times.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; NAME= removes it.")]
Ports = Annotated[list[str] | None, typer.Option("--port", help="A port: NAME=PORT or NAME=ADDRESS:PORT.")]


@app.command("list")
@on_panel
async def list_(client: Client, filter: Filter = None, as_json_: AsJson = False) -> None:
    """All deployments."""
    found = [d async for d in client.each(client.list_deployments, filter=filter)]
    output.show_list(
        found,
        as_json_,
        ("id", "name", "config", "host", "state", "join", "wanted"),
        lambda d: (d.deployment_id, d.name, d.config, d.host, _state(d), words.join(d.endpoints), d.desired),
        empty="No deployment yet: manman run teeworlds",
    )


@app.command("get")
@on_panel
async def get(client: Client, deployment: Which, as_json_: AsJson = False) -> None:
    """One deployment, whole."""
    show(await find_deployment(client, deployment), as_json_)


@app.command("create")
@on_panel
async def create(
    client: Client,
    name: Annotated[str, typer.Argument(help="Its name, unique in the installation.")],
    config: Annotated[str, typer.Option(help="GAME/CONFIG, GAME or a config's number.")],
    host: Annotated[
        str | None, typer.Option("--on", help="The host's name or number; the only one unless given.")
    ] = None,
    sets: Sets = None,
    ports: Ports = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    as_json_: AsJson = False,
) -> None:
    """Place a config on a host; with --wait until it is installed."""
    found = await find_config(client, config)
    wish: dict[str, Any] = {
        "name": name,
        "host_id": (await find_host(client, host) if host else await only_host(client)).host_id,
        "config_id": found.config_id,
        "parameters": parameters(sets),
        "ports": port_wishes(ports),
    }
    if dry_run:
        answer = await client.validate_deployment(deployment=wish)
        output.show_json(answer)
        raise SystemExit(0 if answer.valid else output.CONFLICT)
    made = await client.deploy_game_config(**wish)
    if wait:
        made = await watching.until_installed(client, made, timeout)
    show(made, as_json_)
    if wait and made.status != "ready":
        raise SystemExit(output.ENDED)


@app.command("update")
@on_panel
async def update(
    client: Client,
    deployment: Which,
    sets: Sets = None,
    revision: Annotated[int | None, typer.Option(help="Another revision of its config.")] = None,
    labels: Labels = None,
    as_json_: AsJson = False,
) -> None:
    """Change parameters, labels or revision; what runs keeps what it began with."""
    found = await find_deployment(client, deployment)
    change: dict[str, Any] = {}
    if sets:
        change["parameters"] = parameters(sets)
    if labels:
        change["labels"] = label_changes(labels)
    if revision is not None:
        change["config_revision"] = revision
    show(await client.update_deployment(found.deployment_id, deployment=change, etag=found.etag), as_json_)


@app.command("stop")
@on_panel
async def stop(client: Client, deployment: Which, as_json_: AsJson = False) -> None:
    """Stop whatever runs there, and cancel a restart that is due."""
    found = await find_deployment(client, deployment)
    show(await client.stop_deployment(found.deployment_id), as_json_)


@app.command("reinstall")
@on_panel
async def reinstall(
    client: Client, deployment: Which, wait: Wait = False, timeout: Timeout = 600, as_json_: AsJson = False
) -> None:
    """Have its host install it again."""
    found = await find_deployment(client, deployment)
    now = await client.reinstall_deployment(found.deployment_id)
    if wait:
        now = await watching.until_installed(client, now, timeout)
    show(now, as_json_)


@app.command("delete")
@on_panel
async def delete(
    client: Client,
    deployment: Which,
    force: Annotated[
        bool, typer.Option(help="Its host is lost: unsafe, should it return its game may still run.")
    ] = False,
    as_json_: AsJson = False,
) -> None:
    """Remove a stopped deployment and free its ports."""
    found = await find_deployment(client, deployment)
    show(await client.delete_deployment(found.deployment_id, force=force or None, etag=found.etag), as_json_)


@app.command("history")
@on_panel
async def history(client: Client, deployment: Which, as_json_: AsJson = False) -> None:
    """Every transition of its install status, with cause."""
    found = await find_deployment(client, deployment)
    transitions = (await client.list_deployment_history(found.deployment_id, page_size=1000)).transitions
    output.show_history(transitions, as_json_)


@app.command("launch")
@on_panel
async def launch(client: Client, deployment: Which) -> None:
    """What its host runs, rendered; secrets are masked."""
    found = await find_deployment(client, deployment)
    output.show_json(await client.get_launch(found.deployment_id))


def show(deployment: types.Deployment, as_json_: bool) -> None:
    """One deployment, for people or programs."""
    if as_json_:
        output.show_json(deployment)
        return
    print(
        f"{deployment.name}  {deployment.config} r{deployment.config_revision} on {deployment.host}: {_state(deployment)}"
    )
    for endpoint in deployment.endpoints:
        print(f"  {endpoint.name:<8}{words.address(endpoint)}/{endpoint.protocol}  {endpoint.join_url}")
    for name, value in deployment.parameters.items():
        print(f"  {name} = {value}")


def parameters(sets: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE texts as parameters; the panel checks value against type and rule."""
    given: dict[str, Any] = {}
    for text in sets or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Malformed("--set", f"{text!r} is not NAME=VALUE")
        given[name] = value
    return given


def label_changes(labels: list[str]) -> dict[str, str | None]:
    """NAME=VALUE texts as a merge patch of labels: an empty value removes one."""
    return {name: value or None for name, value in (label.partition("=")[::2] for label in labels)}


def port_wishes(ports: list[str] | None) -> list[dict[str, Any]]:
    """NAME=PORT or NAME=ADDRESS:PORT texts as wishes."""
    wishes = []
    for text in ports or []:
        name, _, where = text.partition("=")
        address, _, number = where.rpartition(":")
        if not name or not number.isdecimal():
            raise Malformed("--port", f"{text!r} is not NAME=PORT or NAME=ADDRESS:PORT")
        wishes.append({"name": name, "port": int(number), "address": address.strip("[]")})
    return wishes


async def only_host(client: Any) -> types.Host:
    """The installation's only host; `Malformed` when there is none or more than one."""
    hosts = (await client.list_hosts(page_size=1000)).hosts
    if len(hosts) == 1:
        only: types.Host = hosts[0]
        return only
    raise Malformed("--on", f"there are {len(hosts)} hosts; name one" if hosts else "no host has joined yet")


def _state(deployment: types.Deployment) -> str:
    if deployment.suspended:
        return "suspended"
    if deployment.gave_up:
        return f"gave up ({deployment.gave_up})"
    if deployment.status == "ready" and deployment.session is not None:
        silent = (
            ", host silent"
            if deployment.session.unreachable_since and deployment.session.status in ("starting", "running", "stopping")
            else ""
        )
        return deployment.session.status + silent
    if deployment.status == "installing" and deployment.progress is not None:
        return f"installing {deployment.progress * 100:.0f} %"
    return f"{deployment.status}{': ' + deployment.detail if deployment.status == 'install_failed' and deployment.detail else ''}"
