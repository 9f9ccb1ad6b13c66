"""A credential → who calls. Called first in every call, and again every few seconds while a stream is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_never

from google.protobuf.descriptor import FieldDescriptor as F

from manman.api.asking import Ask
from manman.api.callers import Caller, Kind, hashed, kind_of, unauthenticated
from manman.api.definition import PERMISSIONS
from manman.api.json.text import FieldDescriptor
from manman.api.office import Office
from manman.domain.ids import HostId, UserId
from manman.errors import RefusedError
from manman.store import callers, listed
from manman.store.pool import Connection
from manman.v1 import options_pb2


async def authenticate(office: Office, ask: Ask, conn: Connection) -> Caller:
    """The caller of a request; raises `unauthenticated`.

    A method that is `public` gets a caller without rights when no credential is sent. With AUTH_MODE=none everybody is
    `local`, but a host's key is still a host's.
    """
    kind = kind_of(ask.credential) if ask.credential else None
    if kind is Kind.HOST_KEY and ask.credential is not None:
        return await _host(office, ask, conn, ask.credential)
    if office.settings.auth_mode == "none":
        return _local(office, ask, await listed.now(conn))
    if ask.method.needs.permission == "public":
        return Caller(kind="nobody", name=ask.address or "?", now=await listed.now(conn), office=office, **_from(ask))
    if kind is None or ask.credential is None:
        raise unauthenticated()
    return await _user(office, ask, conn, kind, ask.credential)


def _from(ask: Ask) -> dict[str, Any]:
    return {"address": ask.address, "trace_id": ask.trace_id}


def _local(office: Office, ask: Ask, now: Any) -> Caller:
    return Caller(
        kind="local",
        name="local",
        now=now,
        office=office,
        role="admin",
        permissions=PERMISSIONS,
        credential="none",
        key="local",
        **_from(ask),
    )


async def _host(office: Office, ask: Ask, conn: Connection, credential: str) -> Caller:
    row = await callers.find(conn, "host_key", hashed(credential))
    if row is None:
        raise unauthenticated()
    return Caller(
        kind="host",
        name=row["name"],
        now=row["now"],
        office=office,
        host_id=HostId(row["host_id"]),
        credential="host_key",
        key=f"host_key:{row['id']}",
        **_from(ask),
    )


async def _user(office: Office, ask: Ask, conn: Connection, kind: Kind, credential: str) -> Caller:
    match kind:
        case Kind.LOGIN:
            word: callers.Credential = "login"
        case Kind.API_KEY:
            word = "api_key"
        case Kind.HOST_KEY | Kind.JOIN_TOKEN | Kind.ADMIN_LINK:
            raise unauthenticated()
        case _:
            assert_never(kind)
    row = await callers.find(conn, word, hashed(credential))
    if row is None:
        raise unauthenticated()
    held = frozenset(row["permissions"] or ())
    return Caller(
        kind="service" if row["kind"] == "service" else "user",
        name=row["name"],
        now=row["now"],
        office=office,
        user_id=UserId(row["user_id"]),
        role=row["role"] or "",
        permissions=held if row["only"] is None else held & frozenset(row["only"]),
        credential=word,
        key=f"{word}:{row['id']}",
        expires_at=row["expires_at"],
        **_from(ask),
    )


def permit(ask: Ask, caller: Caller) -> None:
    """Raises `permission_denied` unless the caller may call the method, and set every field that it sets.

    A host passes where the method is open to hosts; that it speaks about itself only is for the use case, which knows whose
    the resource is: a foreign one is `not_found`.
    """
    _permit_method(ask, caller)
    if caller.kind != "host":
        for permission, name in asked_fields(ask.request):
            caller.must(permission, f"setting {name}")


def asked_fields(request: Any) -> Iterator[tuple[str, str]]:
    """(permission, field) of every field that is set, or named by the update mask, and needs one of its own."""
    for field, value in request.ListFields():
        yield from _need(field)
        if field.type == F.TYPE_MESSAGE and not field.is_repeated and field.message_type.file.package == "manman.v1":
            yield from asked_fields(value)
            for path in request.update_mask.paths if hasattr(request, "update_mask") else ():
                part = field.message_type.fields_by_name.get(path.partition(".")[0])
                yield from _need(part) if part is not None else ()


def _need(field: FieldDescriptor) -> Iterator[tuple[str, str]]:
    needs = field.GetOptions().Extensions[options_pb2.field].needs
    if needs:
        yield needs, field.name


def _permit_method(ask: Ask, caller: Caller) -> None:
    needs = ask.method.needs
    if caller.kind == "host":
        if not (needs.agent or needs.permission in ("agent", "public")):
            raise RefusedError("permission_denied", f"a host's key may not call {ask.method.name}")
        return
    match needs.permission:
        case "public":
            return
        case "self":
            return
        case "agent":
            raise RefusedError("permission_denied", f"{ask.method.name} is for hosts")
        case permission:
            caller.must(permission, ask.method.name)
