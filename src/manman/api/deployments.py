"""Deployments: List, Get, Update, Stop, Reinstall, Delete, ListHistory. Deploying has a page of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from manman.api import fitting, games, holding, json, masks, pages, power, sealing, shapes
from manman.api.callers import Caller
from manman.api.pages import List
from manman.api.power import Wanted
from manman.api.refusals import not_found
from manman.api.usecases import Done, use_case
from manman.domain import deployments as rules
from manman.domain.deployments import Install
from manman.errors import RefusedError
from manman.store import deployment_changes, game_changes, listed
from manman.store import power as wishes
from manman.store.deployment_changes import Asked, Kept
from manman.store.pool import Connection
from manman.v1 import deployments_pb2 as pb
from manman.v1.types import GameConfigSpec, Overrides, RestartPolicy

DEPLOYMENTS = List(noun=pb.Deployment.DESCRIPTOR, id="deployment_id", order="name", query=listed.sql["deployments"])


def deployment_of(row: Mapping[str, Any]) -> pb.Deployment:
    """A row of `listed.deployments` as its message."""
    values = {
        **row,
        "endpoints": shapes.endpoints_of(row),
        "parameters": sealing.shown(row["parameters"]),
        "overrides": row["overrides"] or None,
        "etag": str(row["version"]),
    }
    made = json.fill(pb.Deployment(), values)
    if row["session_id"] is not None:
        prefix = "session_"
        short = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
        json.fill(made.session, short | {"session_id": row["session_id"]})
    return made


async def load(conn: Connection, deployment: int, caller: Caller) -> pb.Deployment:
    """One deployment; raises `not_found`."""
    row = await listed.one(conn, "deployments", "deployment_id", deployment, shapes.silence(caller))
    if row is None:
        raise not_found("deployment", deployment)
    return deployment_of(row)


@use_case("Deployments.GetDeployment")
async def get_deployment(request: pb.GetDeploymentRequest, caller: Caller, conn: Connection) -> pb.Deployment:
    return await load(conn, request.deployment_id, caller)


@use_case("Deployments.ListDeployments")
async def list_deployments(
    request: pb.ListDeploymentsRequest, caller: Caller, conn: Connection
) -> pb.ListDeploymentsResponse:
    watch_from = await shapes.watch_from(conn)
    found, token = await DEPLOYMENTS.page(conn, request, caller.now, shapes.silence(caller))
    return pb.ListDeploymentsResponse(
        deployments=[deployment_of(row) for row in found.rows],
        next_page_token=token,
        total=found.total,
        watch_from=watch_from,
    )


@use_case("Deployments.ListDeploymentHistory")
async def list_deployment_history(
    request: pb.ListDeploymentHistoryRequest, caller: Caller, conn: Connection
) -> pb.ListDeploymentHistoryResponse:
    await load(conn, request.deployment_id, caller)
    rows, token = await pages.numbered(conn, request, "deployment_history", request.deployment_id)
    return pb.ListDeploymentHistoryResponse(transitions=shapes.transitions(rows), next_page_token=token)


@use_case("Deployments.UpdateDeployment")
async def update_deployment(request: pb.UpdateDeploymentRequest, caller: Caller, conn: Connection) -> pb.Deployment:
    key = request.deployment_id
    wanted = await power.locked(conn, key)
    masks.must_match(request.etag, wanted.deployment.version, f"deployment {wanted.deployment.name}")
    before = await load(conn, key, caller)
    after = masks.patched(before, request.deployment, request.update_mask.paths)
    if after == before:
        return before
    if after.host_id != before.host_id:
        raise RefusedError("invalid_argument", "a deployment stays on its host", hint="deploy to the other host")
    revision = await game_changes.revision(conn, before.config_id, after.config_revision)
    if revision is None:
        raise not_found("revision", f"{before.config}@{after.config_revision}")
    spec = msgspec.convert(revision["spec"], type=GameConfigSpec)
    values = {name: json.any_value(value) for name, value in after.parameters.items()}
    fitting.must_fit(spec, values)
    old = {name: json.any_value(value) for name, value in before.parameters.items()}
    changed = {n: None for n in values.keys() | old.keys() if values.get(n) != old.get(n)}
    fitting.must_be_editable(spec, changed, caller)
    if revision["revision"] != before.config_revision:
        await _other_ports(wanted, spec, conn)
    kept = Kept(
        name=games.named(after.name),
        labels=dict(after.labels),
        parameters=await sealing.stored(conn, key, spec, values, caller),
        overrides=msgspec.to_builtins(shapes.struct_of(after.overrides, Overrides))
        if after.HasField("overrides")
        else {},
        config_revision=revision["revision"],
        restart=msgspec.to_builtins(shapes.struct_of(after.restart, RestartPolicy))
        if after.HasField("restart")
        else None,
        start_on_boot=after.start_on_boot if after.HasField("start_on_boot") else None,
    )
    version = await deployment_changes.change(conn, key, kept)
    if version is None:
        raise games.taken("deployment", after.name)
    await tell(wanted, caller, conn, "wish", version)
    made: pb.Deployment = games.noted(caller, before, await load(conn, key, caller))
    return made


async def _other_ports(wanted: Wanted, spec: GameConfigSpec, conn: Connection) -> None:
    """Another revision may have other ports: those that are gone are given back, new ones are held."""
    if wanted.live is not None:
        raise power.live(wanted.deployment.name, wanted.live.id)
    held = {row["name"]: row for row in await deployment_changes.ports_of(conn, wanted.id)}
    stays = {p.name for p in spec.ports if p.name in held and held[p.name]["protocol"] == p.protocol}
    await deployment_changes.release(conn, wanted.id, [name for name in held if name not in stays])
    host = await deployment_changes.lock_host(conn, wanted.host_id)
    missing = await holding.chosen(conn, host, [p for p in spec.ports if p.name not in stays], {})
    await deployment_changes.hold(conn, wanted.id, wanted.host_id, missing)


async def tell(wanted: Wanted, caller: Caller, conn: Connection, verb: Any, version: int, **more: Any) -> None:
    """Tells the host of a deployment's version, with the wish as it is. `more` are further fields of the command."""
    await wishes.tell(conn, [power.told(wanted.deployment, caller, verb, deployment_version=version, **more)])


def asked(caller: Caller) -> Asked:
    """What is noted and told of a change that the caller makes to a deployment."""
    return Asked(cause=caller.said, trace_id=caller.trace_id, now=caller.now, chance=caller.office.chance)


@use_case("Deployments.StopDeployment")
async def stop_deployment(request: pb.StopDeploymentRequest, caller: Caller, conn: Connection) -> Done:
    wanted = await power.locked(conn, request.deployment_id)
    said = await power.stop(wanted, caller, conn, verb="stop")
    going = wanted.live is not None and said
    return Done(await load(conn, request.deployment_id, caller), 202 if going else 200)


@use_case("Deployments.ReinstallDeployment")
async def reinstall_deployment(
    request: pb.ReinstallDeploymentRequest, caller: Caller, conn: Connection
) -> pb.Deployment:
    wanted = await power.locked(conn, request.deployment_id)
    must_rest(wanted)
    if wanted.deployment.status is Install.REMOVING:
        raise busy(wanted, "it is being removed")
    version = await deployment_changes.set_status(conn, wanted.deployment, Install.INSTALLING, asked(caller))
    await tell(wanted, caller, conn, "install", version, reason="reinstall")
    return await load(conn, request.deployment_id, caller)


def busy(wanted: Wanted, why: str, hint: str | None = None) -> RefusedError:
    """`busy`, naming the deployment and why."""
    return RefusedError(
        "busy", f"deployment {wanted.deployment.name} is busy: {why}", hint=hint, deployment_id=wanted.id
    )


def must_rest(wanted: Wanted) -> None:
    """Raises `busy` while a session is live."""
    if wanted.live is not None:
        raise busy(wanted, f"session {wanted.live.id} is live", "stop it first")


def must_be_parked(wanted: Wanted) -> None:
    """Raises `busy` unless the deployment is stopped, its host has seen that, and nothing is live: a restart that is due at
    the host is not in any row."""
    must_rest(wanted)
    row = wanted.deployment
    if wanted.host["unheard"]:
        raise busy(wanted, "its host has not reported since the database was restored", "try again in a few seconds")
    if not rules.settled(row):
        raise busy(wanted, "its wish is running", "stop the deployment first")
    if not rules.parked(row, live=False):
        raise busy(wanted, "its host has not seen the stop yet", "wait for the host; if it is lost, use force")


@use_case("Deployments.DeleteDeployment")
async def delete_deployment(request: pb.DeleteDeploymentRequest, caller: Caller, conn: Connection) -> pb.Deployment:
    wanted = await power.locked(conn, request.deployment_id)
    masks.must_match(request.etag, wanted.deployment.version, f"deployment {wanted.deployment.name}")
    if request.force:
        must_rest(wanted)
        shown = await load(conn, request.deployment_id, caller)
        await deployment_changes.remove_by_force(conn, wanted.deployment, wanted.next_version, asked(caller))
        return shown
    must_be_parked(wanted)
    if wanted.deployment.status is not Install.REMOVING:
        version = await deployment_changes.set_status(conn, wanted.deployment, Install.REMOVING, asked(caller))
        await tell(wanted, caller, conn, "remove", version)
    return await load(conn, request.deployment_id, caller)
