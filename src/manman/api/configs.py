"""Game configs: List, Create, Get, Update (a new revision), Delete, ListRevisions, Preview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from manman.api import games, json, masks, pages, shapes
from manman.api.callers import Caller
from manman.api.launching import masked, rendered
from manman.api.pages import List
from manman.api.refusals import Fault, InvalidRequest, not_found
from manman.api.usecases import use_case
from manman.domain import launches, parameters
from manman.store import game_changes, listed
from manman.store.pool import Connection
from manman.v1 import games_pb2 as pb
from manman.v1.types import GameConfigSpec, LaunchPort

CONFIGS = List(noun=pb.GameConfig.DESCRIPTOR, id="config_id", order="name", query=listed.sql["configs"])


def config_of(row: Mapping[str, Any]) -> pb.GameConfig:
    """A row of `listed.configs` as its message."""
    return json.fill(pb.GameConfig(), {**row, "etag": str(row["version"])})


def spec_of(stored: Any) -> GameConfigSpec:
    """A stored spec as the struct that the rules know."""
    return msgspec.convert(stored, type=GameConfigSpec)


async def load(conn: Connection, config: int) -> pb.GameConfig:
    """One config at its newest revision; raises `not_found`."""
    row = await listed.one(conn, "configs", "config_id", config)
    if row is None:
        raise not_found("config", config)
    return config_of(row)


def checked(spec: pb.GameConfigSpec) -> dict[str, Any]:
    """A spec as it is stored; raises `invalid_argument` with everything that is wrong with it."""
    plain = json.plain(spec)
    wrong = launches.spec_faults(spec_of(plain))
    if wrong:
        raise InvalidRequest(
            [Fault(pointer=f"/spec{fault.pointer.rstrip('/')}", detail=fault.detail) for fault in wrong]
        )
    return plain


@use_case("Games.ListGameConfigs")
async def list_game_configs(
    request: pb.ListGameConfigsRequest, caller: Caller, conn: Connection
) -> pb.ListGameConfigsResponse:
    watch_from = await shapes.watch_from(conn)
    found, token = await CONFIGS.page(conn, request, caller.now)
    configs = [config_of(row) for row in found.rows]
    return pb.ListGameConfigsResponse(configs=configs, next_page_token=token, total=found.total, watch_from=watch_from)


@use_case("Games.GetGameConfig")
async def get_game_config(request: pb.GetGameConfigRequest, caller: Caller, conn: Connection) -> pb.GameConfig:
    return await load(conn, request.config_id)


@use_case("Games.CreateGameConfig")
async def create_game_config(request: pb.CreateGameConfigRequest, caller: Caller, conn: Connection) -> pb.GameConfig:
    config = request.config
    await games.load(conn, config.game_id)
    spec = checked(config.spec)
    name = games.named(config.name)
    made = await game_changes.add_config(conn, config.game_id, name, config.description, spec, caller.said)
    if made is None:
        raise games.taken("config", name, config_id=await game_changes.config_named(conn, config.game_id, name))
    return await load(conn, made)


@use_case("Games.UpdateGameConfig")
async def update_game_config(request: pb.UpdateGameConfigRequest, caller: Caller, conn: Connection) -> pb.GameConfig:
    key = request.config_id
    locked = await game_changes.lock(conn, "config", key)
    if locked is None:
        raise not_found("config", key)
    masks.must_match(request.etag, locked["version"], f"config {key}")
    before = await load(conn, key)
    after = masks.patched(before, request.config, request.update_mask.paths)
    if after == before:
        return before
    revision = locked["revision"]
    if after.spec != before.spec:
        revision += 1
        await game_changes.add_revision(conn, key, revision, checked(after.spec), caller.said)
    if not await game_changes.set_config(conn, key, games.named(after.name), after.description, revision):
        raise games.taken("config", after.name)
    made: pb.GameConfig = games.noted(caller, before, await load(conn, key))
    return made


@use_case("Games.DeleteGameConfig")
async def delete_game_config(
    request: pb.DeleteGameConfigRequest, caller: Caller, conn: Connection
) -> pb.DeleteGameConfigResponse:
    locked = await game_changes.lock(conn, "config", request.config_id)
    if locked is None:
        raise not_found("config", request.config_id)
    masks.must_match(request.etag, locked["version"], f"config {request.config_id}")
    use = await game_changes.use_of(conn, "config", request.config_id)
    if use is not None:
        raise games.in_use("config", str(request.config_id), use)
    await game_changes.delete(conn, "config", request.config_id)
    return pb.DeleteGameConfigResponse()


@use_case("Games.ListConfigRevisions")
async def list_config_revisions(
    request: pb.ListConfigRevisionsRequest, caller: Caller, conn: Connection
) -> pb.ListConfigRevisionsResponse:
    await load(conn, request.config_id)
    rows, token = await pages.numbered(conn, request, "config_revisions", request.config_id, number="revision")
    shown = [json.fill(pb.ConfigRevision(), dict(row)) for row in rows]
    return pb.ListConfigRevisionsResponse(revisions=shown, next_page_token=token)


@use_case("Games.PreviewGameConfig")
async def preview_game_config(request: pb.PreviewGameConfigRequest, caller: Caller, conn: Connection) -> pb.Preview:
    row = await game_changes.revision(conn, request.config_id, request.revision)
    if row is None:
        raise not_found("revision", f"{request.config_id}@{request.revision or 'newest'}")
    spec = spec_of(row["spec"])
    values = {key: json.any_value(value) for key, value in request.parameters.items()}
    ports = [
        LaunchPort(
            name=port.name,
            protocol=port.protocol,
            address="0.0.0.0",
            port=request.ports.get(port.name) or port.default or 1,
        )
        for port in spec.ports
    ]
    placed = launches.Placed(deployment_id=0, name=row["config"], version=0, ports=ports, values=values)
    launch = masked(rendered(spec, placed), spec)
    shown = parameters.effective(spec.parameters, values)
    return pb.Preview(
        launch=shapes.message_of(launch, pb.Launch()),
        parameters=[
            shapes.message_of(msgspec.structs.replace(one, value=None) if one.secret else one, pb.EffectiveValue())
            for one in shown
        ],
    )
