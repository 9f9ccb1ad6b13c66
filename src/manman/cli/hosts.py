"""`manman hosts …`"""

from typing import Annotated, Any

import typer

from manman.cli import output, words
from manman.cli.panel import AsJson, as_json, find_host, open_panel
from manman.v1 import types

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Machines that play games.")
Which = Annotated[str, typer.Argument(metavar="HOST", help="A host's name or number.")]
tokens = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Join tokens: how a machine comes in.")
app.add_typer(tokens, name="tokens")


@app.command("list")
def list_(as_json_: AsJson = False) -> None:
    """All hosts."""

    async def work() -> None:
        async with open_panel() as client:
            hosts = [h async for h in client.each(client.list_hosts)]
        if as_json_:
            output.show_json(as_json(hosts))
            return
        rows = [
            (
                h.host_id,
                h.name,
                _state(h),
                ", ".join(h.addresses),
                h.live_sessions,
                h.agent_version,
                words.clock(h.last_seen),
            )
            for h in hosts
        ]
        output.show_table(
            ("id", "name", "state", "addresses", "live", "agent", "heard"),
            rows,
            empty="No host yet: manman hosts join-token",
        )

    output.run(work())


@app.command("get")
def get(host: Which) -> None:
    """One host, whole."""
    _one(host, lambda client, found: client.get_host(found.host_id))


@app.command("update")
def update(
    host: Which,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    addresses: Annotated[
        list[str] | None, typer.Option("--address", help="Where players reach it, the best first.")
    ] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; NAME= removes it.")] = None,
) -> None:
    """Change a host's name, addresses or labels."""
    change: dict[str, Any] = {}
    if name:
        change["name"] = name
    if addresses:
        change["addresses"] = addresses
    if labels:
        change["labels"] = {k: v or None for k, v in (label.partition("=")[::2] for label in labels)}
    _one(host, lambda client, found: client.update_host(found.host_id, host=change, etag=found.etag))


@app.command("drain")
def drain(host: Which) -> None:
    """Take no new session there; what runs there runs on."""
    _one(host, lambda client, found: client.drain_host(found.host_id))


@app.command("undrain")
def undrain(host: Which) -> None:
    """Take sessions there again."""
    _one(host, lambda client, found: client.undrain_host(found.host_id))


@app.command("delete")
def delete(host: Which) -> None:
    """Remove a host that holds no deployment."""
    _one(host, lambda client, found: client.delete_host(found.host_id, etag=found.etag))


@app.command("ports")
def ports(host: Which) -> None:
    """Its ports that are held, and by which deployment."""

    async def work() -> None:
        async with open_panel() as client:
            found = (await client.list_ports((await find_host(client, host)).host_id)).ports
        rows = [(f"{p.address}:{p.port}/{p.protocol}", p.name, p.deployment) for p in found]
        output.show_table(("port", "name", "deployment"), rows, empty="No port is held.")

    output.run(work())


@app.command("history")
def history(host: Which) -> None:
    """When it came and went."""

    async def work() -> None:
        async with open_panel() as client:
            found = (
                await client.list_host_history((await find_host(client, host)).host_id, page_size=1000)
            ).transitions
        rows = [(t.number, t.from_ or "–", t.to, words.clock(t.at), t.cause) for t in found]
        output.show_table(("n", "from", "to", "at", "cause"), rows, empty="No transition yet.")

    output.run(work())


@app.command("join-token")
def join_token(
    uses: Annotated[int, typer.Option(help="How many machines may join with it.")] = 1,
    hours: Annotated[float, typer.Option(help="How long it is good for.")] = 1,
    as_json_: AsJson = False,
) -> None:
    """Make a join token and print the line that a new machine runs."""

    async def work() -> None:
        async with open_panel() as client:
            made = await client.create_join_token(uses=uses, valid_for=f"{hours * 3600:g}s")
            url = client.base_url
        if as_json_:
            output.show_json(as_json(made))
            return
        print(f"manman host join {url} {made.token}")

    output.run(work())


@tokens.command("list")
def list_tokens(as_json_: AsJson = False) -> None:
    """Join tokens, without their secrets."""

    async def work() -> None:
        async with open_panel() as client:
            found = [t async for t in client.each(client.list_join_tokens)]
        if as_json_:
            output.show_json(as_json(found))
            return
        rows = [
            (t.join_token_id, f"{t.used}/{t.uses}", words.clock(t.expires_at), t.created_by, t.revoked or "")
            for t in found
        ]
        output.show_table(("id", "used", "expires", "by", "revoked"), rows, empty="No join token.")

    output.run(work())


@tokens.command("revoke")
def revoke_token(join_token_id: int) -> None:
    """Make a join token useless."""

    async def work() -> None:
        async with open_panel() as client:
            await client.revoke_join_token(join_token_id)

    output.run(work())


def _one(host: str, call: Any) -> None:
    async def work() -> None:
        async with open_panel() as client:
            output.show_json(as_json(await call(client, await find_host(client, host))))

    output.run(work())


def _state(host: types.Host) -> str:
    silent = f"silent since {words.clock(host.last_seen)}" if host.status == "stale" else str(host.status)
    return f"{silent}, draining" if host.draining else silent
