"""DeployGameConfig and Validate: the same steps; one of them keeps what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from manman.api import deployments, fitting, games, holding, json, launching, sealing, shapes
from manman.api.callers import Caller
from manman.api.refusals import InvalidRequest, not_found
from manman.api.usecases import use_case
from manman.domain import launches
from manman.domain.ids import DeploymentId, HostId
from manman.domain.ports import Held
from manman.errors import RefusedError
from manman.events.outbox import command
from manman.store import deployment_changes, game_changes, power
from manman.store.deployment_changes import Kept
from manman.store.pool import Connection
from manman.v1 import common_pb2, games_pb2
from manman.v1 import deployments_pb2 as pb
from manman.v1.types import GameConfigSpec, Launch, Overrides, RestartPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a deployment will be: checked, nothing written yet."""

    host: Any
    revision: Any
    spec: GameConfigSpec
    values: Mapping[str, Any]
    overrides: Mapping[str, Any]
    restart: Mapping[str, Any] | None
    ports: Sequence[Held]
    launch: Launch


async def plan(request: pb.DeployGameConfigRequest, caller: Caller, conn: Connection) -> Plan:
    """Checks a request; the host is locked, so the ports stay free. Raises what is wrong."""
    games.named(request.name)
    if await deployment_changes.named(conn, request.name) is not None:
        raise games.taken("deployment", request.name, deployment_id=await deployment_changes.named(conn, request.name))
    host = await deployment_changes.lock_host(conn, request.host_id)
    if host is None:
        raise not_found("host", request.host_id)
    revision = await game_changes.revision(conn, request.config_id, request.config_revision)
    if revision is None:
        raise not_found("config", f"{request.config_id}@{request.config_revision or 'newest'}")
    spec = msgspec.convert(revision["spec"], type=GameConfigSpec)
    values = {name: json.any_value(value) for name, value in request.parameters.items()}
    fitting.must_be_editable(spec, values, caller)
    values = fitting.with_console_password(spec, values, caller.office.chance)
    fitting.must_fit(spec, values)
    ports = await holding.chosen(conn, host, spec.ports, holding.wished(spec.ports, request.ports))
    restart = shapes.struct_of(request.restart, RestartPolicy) if request.HasField("restart") else None
    overrides = shapes.struct_of(request.overrides, Overrides) if request.HasField("overrides") else None
    placed = launches.Placed(
        deployment_id=0,
        name=request.name,
        version=1,
        ports=launching.launch_ports([port_row(port) for port in ports]),
        values={n: v for n, v in values.items() if not _is_secret(spec, n)},
        secrets={n: str(v) for n, v in values.items() if _is_secret(spec, n)},
        overrides=overrides,
        restart=restart,
    )
    return Plan(
        host=host,
        revision=revision,
        spec=spec,
        values=values,
        overrides=msgspec.to_builtins(overrides) if overrides else {},
        restart=msgspec.to_builtins(restart) if restart else None,
        ports=ports,
        launch=launching.rendered(spec, placed),
    )


def port_row(port: Held) -> dict[str, Any]:
    """A held port as the database's rows have it."""
    address, _, mask = port.address.partition("/")
    return {
        "name": port.name,
        "protocol": port.protocol,
        "port": port.port,
        "address": address,
        "mask": int(mask) if mask else 32,
    }


def _is_secret(spec: GameConfigSpec, name: str) -> bool:
    return any(p.name == name and p.type == "secret" for p in spec.parameters)


@use_case("Deployments.DeployGameConfig")
async def deploy_game_config(request: pb.DeployGameConfigRequest, caller: Caller, conn: Connection) -> pb.Deployment:
    made = await plan(request, caller, conn)
    kept = Kept(
        name=request.name,
        labels=dict(request.labels),
        parameters={},
        overrides=made.overrides,
        config_revision=made.revision["revision"],
        restart=made.restart,
        start_on_boot=request.start_on_boot if request.HasField("start_on_boot") else None,
    )
    key = await deployment_changes.add(conn, request.host_id, request.config_id, kept, deployments.asked(caller))
    if key is None:
        raise games.taken("deployment", request.name)
    await deployment_changes.set_parameters(conn, key, await sealing.stored(conn, key, made.spec, made.values, caller))
    await deployment_changes.hold(conn, key, request.host_id, made.ports)
    install = command(
        HostId(request.host_id),
        "install",
        now=caller.now,
        chance=caller.office.chance,
        deployment_id=DeploymentId(key),
        deployment_version=1,
        desired="stopped",
        desired_version=0,
        fresh_version=0,
    )
    await power.tell(conn, [install])
    return await deployments.load(conn, key, caller)


@use_case("Deployments.ValidateDeployment")
async def validate_deployment(
    request: pb.ValidateDeploymentRequest, caller: Caller, conn: Connection
) -> pb.ValidateDeploymentResponse:
    try:
        made = await plan(request.deployment, caller, conn)
    except InvalidRequest as error:
        faults = [pb.Fault(pointer=f.pointer, code=f.code, detail=f.detail) for f in error.faults]
        return pb.ValidateDeploymentResponse(valid=False, faults=faults)
    except RefusedError as error:
        if error.refused_code == "permission_denied":
            raise
        return pb.ValidateDeploymentResponse(
            valid=False, faults=[pb.Fault(pointer="", code=error.refused_code, detail=error.detail)]
        )
    row = {
        "ports": [port_row(port) for port in made.ports],
        "addresses": made.host["addresses"],
        "join_url": made.spec.join_url,
    }
    return pb.ValidateDeploymentResponse(
        valid=True,
        endpoints=[json.fill(common_pb2.Endpoint(), one) for one in shapes.endpoints_of(row)],
        launch=shapes.message_of(launching.masked(made.launch, made.spec), games_pb2.Launch()),
    )
