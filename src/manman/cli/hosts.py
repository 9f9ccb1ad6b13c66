"""`manman hosts …`"""

from typing import Annotated, Any

import typer

from manman.cli import output, plain, words
from manman.cli.deployments import Labels, label_changes
from manman.cli.panel import AsJson, find_host, on_panel
from manman.client import Client
from manman.v1 import types

app = plain.commands("Machines that play games.")
Which = Annotated[str, typer.Argument(metavar="HOST", help="A host's name or number.")]
tokens = plain.commands("Join tokens: how a machine comes in.")
app.add_typer(tokens, name="tokens")


@app.command("list")
@on_panel
async def list_(client: Client, as_json_: AsJson = False) -> None:
    """All hosts."""
    output.show_list(
        [h async for h in client.each(client.list_hosts)],
        as_json_,
        ("id", "name", "state", "addresses", "live", "agent", "heard"),
        lambda h: (
            *(h.host_id, h.name, _state(h), ", ".join(h.addresses)),
            *(h.live_sessions, h.agent_version, words.clock(h.last_seen)),
        ),
        empty="No host yet: manman hosts join-token",
    )


@app.command("get")
@on_panel
async def get(client: Client, host: Which) -> None:
    """One host, whole."""
    output.show_json(await find_host(client, host))


@app.command("update")
@on_panel
async def update(
    client: Client,
    host: Which,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    addresses: Annotated[
        list[str] | None, typer.Option("--address", help="Where players reach it, the best first.")
    ] = None,
    labels: Labels = None,
) -> None:
    """Change a host's name, addresses or labels."""
    change: dict[str, Any] = {}
    if name:
        change["name"] = name
    if addresses:
        change["addresses"] = addresses
    if labels:
        change["labels"] = label_changes(labels)
    found = await find_host(client, host)
    output.show_json(await client.update_host(found.host_id, host=change, etag=found.etag))


@app.command("drain")
@on_panel
async def drain(client: Client, host: Which) -> None:
    """Take no new session there; what runs there runs on."""
    output.show_json(await client.drain_host((await find_host(client, host)).host_id))


@app.command("undrain")
@on_panel
async def undrain(client: Client, host: Which) -> None:
    """Take sessions there again."""
    output.show_json(await client.undrain_host((await find_host(client, host)).host_id))


@app.command("delete")
@on_panel
async def delete(client: Client, host: Which) -> None:
    """Remove a host that holds no deployment."""
    found = await find_host(client, host)
    output.show_json(await client.delete_host(found.host_id, etag=found.etag))


@app.command("ports")
@on_panel
async def ports(client: Client, host: Which, as_json_: AsJson = False) -> None:
    """Its ports that are held, and by which deployment."""
    output.show_list(
        (await client.list_ports((await find_host(client, host)).host_id)).ports,
        as_json_,
        ("port", "name", "deployment"),
        lambda p: (f"{p.address}:{p.port}/{p.protocol}", p.name, p.deployment),
        empty="No port is held.",
    )


@app.command("history")
@on_panel
async def history(client: Client, host: Which, as_json_: AsJson = False) -> None:
    """When it came and went."""
    found = await find_host(client, host)
    output.show_history((await client.list_host_history(found.host_id, page_size=1000)).transitions, as_json_)


@app.command("join-token")
@on_panel
async def join_token(
    client: Client,
    uses: Annotated[int, typer.Option(help="How many machines may join with it.")] = 1,
    hours: Annotated[float, typer.Option(help="How long it is good for.")] = 1,
    as_json_: AsJson = False,
) -> None:
    """Make a join token and print the line that a new machine runs."""
    made = await client.create_join_token(uses=uses, valid_for=f"{hours * 3600:g}s")
    if as_json_:
        output.show_json(made)
    else:
        print(f"manman host join {client.base_url} {made.token}{f' --pin {made.pin}' if made.pin else ''}")


@tokens.command("list")
@on_panel
async def list_tokens(client: Client, as_json_: AsJson = False) -> None:
    """Join tokens, without their secrets."""
    output.show_list(
        [t async for t in client.each(client.list_join_tokens)],
        as_json_,
        ("id", "used", "expires", "by", "revoked"),
        lambda t: (
            *(t.join_token_id, f"{t.used}/{t.uses}", words.clock(t.expires_at)),
            *(t.created_by, t.revoked or ""),
        ),
        empty="No join token.",
    )


@tokens.command("revoke")
@on_panel
async def revoke_token(client: Client, join_token_id: int) -> None:
    """Make a join token useless."""
    await client.revoke_join_token(join_token_id)


def _state(host: types.Host) -> str:
    silent = f"silent since {words.clock(host.last_seen)}" if host.status == "stale" else str(host.status)
    return f"{silent}, draining" if host.draining else silent
