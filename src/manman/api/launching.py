"""GetLaunch: what a host runs, rendered by the function that Preview calls; masked for everybody but the host itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from manman.api import sealing, shapes
from manman.api.callers import Caller
from manman.api.refusals import not_found
from manman.api.usecases import use_case
from manman.domain import launches
from manman.domain.launches import Placed
from manman.domain.outcomes import Refused
from manman.errors import RefusedError
from manman.store import deployment_changes, requests
from manman.store.pool import Connection
from manman.v1 import deployments_pb2, games_pb2
from manman.v1.types import ConfigFile, GameConfigSpec, Launch, LaunchPort, Overrides, RestartPolicy

MASK = "********"


def rendered(spec: GameConfigSpec, placed: Placed) -> Launch:
    """The launch; raises `config_invalid`."""
    launch = launches.render(spec, placed)
    if isinstance(launch, Refused):
        raise RefusedError(launch.code, launch.detail, hint=launch.hint, **launch.facts)
    return launch


def masked(launch: Launch, spec: GameConfigSpec, given: Iterable[str] = ()) -> Launch:
    """The launch with every secret value replaced wherever it was put in; the digest stays that of the real one.

    `given` are the secrets it was rendered with: the launch names only those that are long enough for a tail to be masked.
    """
    defaults = [str(p.default) for p in spec.parameters if p.type == "secret" and p.default not in (None, "")]
    secrets = sorted({*launch.secrets, *defaults, *(one for one in given if one)}, key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text

    return msgspec.structs.replace(
        launch,
        argv=[hide(part) for part in launch.argv],
        env={name: hide(value) for name, value in launch.env.items()},
        files=[ConfigFile(path=f.path, content=hide(f.content), mode=f.mode) for f in launch.files],
        console=launch.console
        and msgspec.structs.replace(launch.console, password=MASK if launch.console.password else ""),
        secrets=[],
    )


def launch_ports(rows: list[Any]) -> list[LaunchPort]:
    """Held ports as a launch names them; an address of a whole network is all addresses."""
    return [
        LaunchPort(
            name=row["name"],
            protocol=row["protocol"],
            address=row["address"] if row["mask"] else "0.0.0.0",
            port=row["port"],
        )
        for row in rows
    ]


async def placed_of(
    conn: Connection, row: Mapping[str, Any], caller: Caller, session_values: Mapping[str, Any]
) -> Placed:
    """What a stored deployment adds to its config, its secrets opened."""
    restart = row["restart"]
    return Placed(
        deployment_id=row["id"],
        name=row["name"],
        version=row["version"],
        ports=launch_ports(await deployment_changes.ports_of(conn, row["id"])),
        values=sealing.plain_values(row["parameters"]),
        session_values=session_values,
        secrets=await sealing.opened(conn, row["id"], row["parameters"], caller.office),
        overrides=msgspec.convert(row["overrides"], type=Overrides) if row["overrides"] else None,
        restart=msgspec.convert(restart, type=RestartPolicy) if restart else None,
        start_on_boot=row["start_on_boot"],
    )


@use_case("Deployments.GetLaunch")
async def get_launch(request: deployments_pb2.GetLaunchRequest, caller: Caller, conn: Connection) -> games_pb2.Launch:
    row = await deployment_changes.placed(conn, request.deployment_id)
    # A foreign host learns nothing, not even that it exists.
    if row is None or caller.host_id not in (None, row["host"]):
        raise not_found("deployment", request.deployment_id)
    values: Mapping[str, Any] = {}
    if request.session:
        values = await deployment_changes.session_parameters(conn, request.session, row["id"])
    spec = msgspec.convert(row["spec"], type=GameConfigSpec)
    placed = await placed_of(conn, row, caller, values)
    launch = rendered(spec, placed)
    if any(parameter.type == "secret" for parameter in spec.parameters):
        # Keyed: a plain digest over a short secret could be guessed by whoever sees the rest.
        keyed = await requests.digest(conn, launch.digest.encode())
        launch = msgspec.structs.replace(launch, digest=keyed.hex())
    if caller.host_id is None:
        return shapes.message_of(masked(launch, spec, map(str, placed.secrets.values())), games_pb2.Launch())
    hashes = {f.path: hashlib.sha256(f.content.encode()).hexdigest() for f in launch.files}
    await deployment_changes.record_launch(conn, launch.digest, row, row["parameters"], hashes)
    return shapes.message_of(launch, games_pb2.Launch())
