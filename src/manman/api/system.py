"""System: GetInstallation."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from manman.api import json
from manman.api.callers import Caller
from manman.api.usecases import use_case
from manman.errors import Unavailable
from manman.store import listed
from manman.store.pool import Connection
from manman.v1 import system_pb2 as pb

FEATURES = (
    "hosts",
    "games",
    "catalogue",
    "deployments",
    "sessions",
    "console",
    "events",
    "dead_letters",
)


def version_here() -> str:
    """The version of the package, as installed."""
    try:
        return version("manmanv2")
    except PackageNotFoundError:
        return "0"


@use_case("System.GetInstallation")
async def get_installation(request: pb.GetInstallationRequest, caller: Caller, conn: Connection) -> pb.Installation:
    row = await listed.row(conn, "installation")
    if row is None:
        raise Unavailable("the database holds no installation", hint="manman migrate up")

    async def counts(name: str) -> dict[str, int]:
        # A tenant's counts are of what he may see; whoever may see nothing gets none.
        if not caller.may("deployments.view"):
            return {}
        return {one["status"]: one["count"] for one in await listed.rows(conn, name)}

    values = {
        "installation_id": str(row["id"]),
        "version": version_here(),
        "epoch": row["epoch"],
        "features": list(FEATURES),
        "auth_mode": caller.office.settings.auth_mode,
        "time": row["time"],
        "deaf_since": row["deaf_since"],
        "sessions": await counts("session_counts"),
        "hosts": await counts("host_counts"),
        "deployments": await counts("deployment_counts"),
        "open_dead_letters": row["open_dead_letters"],
        "players": row["players"],
        "watch_from": f"{row['epoch']}-{row['position']}",
    }
    return json.fill(pb.Installation(), values)
