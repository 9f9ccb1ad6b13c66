"""The definition as data: every method with its messages, its route and what its caller needs.

What the proto files leave out is found here, at start: a method without a permission or a route, or with an `of` that is no
field, raises `Undefined`, and nothing is served.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from manman.errors import Permanent
from manman.v1 import (
    dead_letters_pb2,
    deployments_pb2,
    events_pb2,
    games_pb2,
    hosts_pb2,
    identity_pb2,
    logs_pb2,
    options_pb2,
    sessions_pb2,
    system_pb2,
)

MODULES = (
    hosts_pb2,
    games_pb2,
    deployments_pb2,
    sessions_pb2,
    logs_pb2,
    events_pb2,
    dead_letters_pb2,
    identity_pb2,
    system_pb2,
)
# Words that stand where a permission does.
OPEN = frozenset({"public", "self", "agent"})
PERMISSIONS = frozenset(
    {
        "deployments.view",
        "logs.view",
        "sessions.power",
        "sessions.console",
        "deployments.edit",
        "deployments.override",
        "deployments.create",
        "deployments.delete",
        "games.view",
        "games.edit",
        "hosts.view",
        "hosts.edit",
        "hosts.admin",
        "system.operate",
        "actions.run",
        "deployments.share",
        "ports.edit",
        "backups.create",
        "backups.restore",
        "backups.download",
        "schedules.edit",
        "secrets.reveal",
        "sinks.edit",
        "audit.view",
        "identity.edit",
    }
)


class Undefined(Permanent):
    """The definition is incomplete: a bug of ours, told at start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a caller must hold: `permission`, `of` which field of the request, and whether the host itself may."""

    permission: str
    of: str
    agent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method. `name` is "Sessions.StopSession"; `path` has its variables in braces; `body` is "*", a field or ""."""

    name: str
    service: str
    rpc: str
    request: type[Message]
    reply: type[Message]
    verb: str
    path: str
    body: str
    needs: Needs
    success: tuple[int, ...]
    streams: bool
    comment: str

    @property
    def changes(self) -> bool:
        """Whether it changes something: it then takes an idempotency key and writes an audit row."""
        return self.verb != "get"

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


@cache
def methods() -> Mapping[str, Method]:
    """Every method by its name. Raises `Undefined` for the first that is incomplete."""
    said = comments()
    found = [
        _method(service, method, said)
        for module in MODULES
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    return {method.name: method for method in found}


def _method(service: ServiceDescriptor, method: MethodDescriptor, said: Mapping[str, str]) -> Method:
    name = f"{service.name}.{method.name}"
    options = method.GetOptions()
    needs = options.Extensions[options_pb2.needs]
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    if verb is None:
        raise Undefined(f"{name} has no route")
    if needs.permission not in PERMISSIONS | OPEN:
        raise Undefined(f"{name} needs {needs.permission!r}, which is no permission")
    fields = method.input_type.fields_by_name
    if needs.of not in ("", "*") and needs.of not in fields:
        raise Undefined(f"{name} is of {needs.of!r}, which is no field of {method.input_type.name}")
    made = Method(
        name=name,
        service=service.name,
        rpc=method.name,
        request=message_factory.GetMessageClass(method.input_type),
        reply=message_factory.GetMessageClass(method.output_type),
        verb=verb,
        path=getattr(rule, verb),
        body=rule.body,
        needs=Needs(permission=needs.permission, of=needs.of, agent=needs.agent),
        success=tuple(options.Extensions[options_pb2.success]) or (200,),
        streams=method.server_streaming,
        comment=said.get(name, ""),
    )
    absent = [variable for variable in made.variables if variable not in fields]
    if absent or (made.body not in ("", "*") and made.body not in fields):
        raise Undefined(f"the route of {name} names {absent or made.body}, which is no field")
    return made


@cache
def comments() -> Mapping[str, str]:
    """The comment of each message, field and method: "Session", "Session.status", "Sessions.StopSession"."""
    data = (files("manman.v1") / "descriptors.binpb").read_bytes()
    said: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        if file.package != "manman.v1":
            continue
        for place in file.source_code_info.location:
            name = _place(file, list(place.path))
            if name and place.leading_comments:
                said[name] = " ".join(place.leading_comments.split())
    return said


def _place(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str | None:
    match path:
        case [4, message]:
            return file.message_type[message].name
        case [4, message, 2, field]:
            return f"{file.message_type[message].name}.{file.message_type[message].field[field].name}"
        case [5, enum]:
            return file.enum_type[enum].name
        case [6, service]:
            return file.service[service].name
        case [6, service, 2, method]:
            return f"{file.service[service].name}.{file.service[service].method[method].name}"
        case _:
            return None
