"""Identity: WhoAmI, Login by one-time link, Logout; and what a process makes for its own user at start."""

from __future__ import annotations

from datetime import timedelta

from manman.api import json
from manman.api.callers import Caller, Kind, hashed, kind_of, make, unauthenticated
from manman.api.usecases import use_case
from manman.domain.ids import Chance
from manman.store import callers
from manman.store.pool import Connection
from manman.v1 import identity_pb2 as pb

LINK_LASTS = timedelta(hours=1)
LOGIN_LASTS = timedelta(days=30)
LOGIN_IDLE = timedelta(days=7)
LOCAL = "local"
ADMIN = "admin"


@use_case("Identity.WhoAmI")
async def who_am_i(request: pb.WhoAmIRequest, caller: Caller, conn: Connection) -> pb.WhoAmIResponse:
    values = {
        "kind": caller.kind,
        "name": caller.name,
        "user_id": caller.user_id,
        "host_id": caller.host_id,
        "role": caller.role,
        "permissions": sorted(caller.permissions),
        "credential": caller.credential,
        "expires_at": caller.expires_at,
    }
    return json.fill(pb.WhoAmIResponse(), values)


@use_case("Identity.Login")
async def login(request: pb.LoginRequest, caller: Caller, conn: Connection) -> pb.LoginResponse:
    user = None
    if kind_of(request.link) is Kind.ADMIN_LINK:
        found = await callers.use_link(conn, hashed(request.link))
        user = await callers.user(conn, found) if found is not None else None
    if user is None:
        raise unauthenticated("the link was used, is over, or never was one")
    token = make(Kind.LOGIN, caller.office.chance)
    row = await callers.add_login(
        conn, user["id"], "login", hashed(token), lasts=LOGIN_LASTS, idle=LOGIN_IDLE, address=caller.address or None
    )
    values = {"token": token, "expires_at": row["expires_at"], "name": user["name"], "role": user["role"]}
    return json.fill(pb.LoginResponse(), values)


@use_case("Identity.Logout")
async def logout(request: pb.LogoutRequest, caller: Caller, conn: Connection) -> pb.LogoutResponse:
    # A key that logs out stays valid: it belongs to a program, which cannot come in again by itself.
    if caller.credential == "login":
        await callers.end_login(conn, int(caller.key.partition(":")[2]))
    return pb.LogoutResponse()


async def new_admin_link(conn: Connection, chance: Chance) -> str:
    """A one-time link's secret for the person `admin`, who is made if there is none; good for an hour."""
    user = await callers.ensure_user(conn, "person", ADMIN, ADMIN)
    link = make(Kind.ADMIN_LINK, chance)
    await callers.add_login(conn, user, "link", hashed(link), lasts=LINK_LASTS)
    return link


async def new_local_key(conn: Connection, chance: Chance) -> str:
    """A fresh key of the service account `local`, for the commands of the user who runs `manman up`; earlier ones end."""
    user = await callers.ensure_user(conn, "service", LOCAL, ADMIN)
    key = make(Kind.API_KEY, chance)
    await callers.replace_key(conn, user, LOCAL, hashed(key), lasts=None)
    return key
