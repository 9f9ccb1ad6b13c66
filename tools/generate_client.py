"""Writes the plain structs and the call of each method, from the descriptor set: what the REST client is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

F = FieldDescriptorProto
PACKAGE = ".manman.v1."
INTEGERS = {F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT32, F.TYPE_UINT64}
WELL_KNOWN = {
    ".google.protobuf.Timestamp": "datetime | None",
    ".google.protobuf.Duration": "Duration | None",
    ".google.protobuf.Struct": "dict[str, Any]",
    ".google.protobuf.Value": "Any",
}
DEFAULTS = {"int": "0", "float": "0.0", "bool": "False", "str": '""', "bytes": 'b""', "Any": "None"}
# Told by headers or derived by the door.
IN_HEADERS = ("etag", "update_mask")
TYPES_HEAD = '''"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand.

The nouns as JSON says them. Times are aware `datetime`, a `Duration` is text like "90s", enums are their lower-case words.
"""

from datetime import datetime
from typing import Any, TypeAlias

import msgspec

Duration: TypeAlias = str


class Noun(msgspec.Struct, frozen=True, kw_only=True):
    """What every noun is: frozen; unknown keys are borne."""
'''
CALLS_HEAD = '''"""Generated from `proto/manman/v1` by `tools/generate.py`; never edited by hand.

One call for each method of the definition; `manman.client.Client` says how a call is made.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

import msgspec

from manman.v1 import types

T = TypeVar("T")
Given: TypeAlias = msgspec.Struct | Mapping[str, Any]


class Calls:
    """The methods of the API. An argument left None is not sent; a `PATCH` takes a mapping in which None clears.

    Every call raises `ApiError` with the API's code, or `Unavailable` when nobody answers.
    """

    async def _call(
        self,
        verb: str,
        path: str,
        reply: type[T],
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        etag: str | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        raise NotImplementedError

    def _stream(
        self, path: str, message: type[T], *, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[T]:
        raise NotImplementedError
'''


@dataclass(frozen=True)
class Source:
    """The files of our package and the comment of each thing in them."""

    files: list[FileDescriptorProto]
    comments: dict[str, str]
    messages: dict[str, DescriptorProto]


def read(descriptors: Path) -> Source:
    """The descriptor set as written by protoc with source info."""
    everything = FileDescriptorSet.FromString(descriptors.read_bytes())
    files = [f for f in everything.file if f.package == "manman.v1" and f.name != "manman/v1/options.proto"]
    comments: dict[str, str] = {}
    messages: dict[str, DescriptorProto] = {}
    for file in files:
        for place in file.source_code_info.location:
            if place.leading_comments:
                comments[_name(file, list(place.path))] = " ".join(place.leading_comments.split())
        messages |= {PACKAGE + m.name: m for m in file.message_type}
    return Source(files, comments, messages)


def _name(file: FileDescriptorProto, path: list[int]) -> str:
    match path:
        case [4, message]:
            return file.message_type[message].name
        case [4, message, 2, field]:
            return f"{file.message_type[message].name}.{file.message_type[message].field[field].name}"
        case [6, service, 2, method]:
            return f"{file.service[service].name}.{file.service[service].method[method].name}"
        case _:
            return "/".join(map(str, [file.name, *path]))


def _map_entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f"{message.name}.{nested.name}"):
            return nested
    return None


def plain(field: FieldDescriptorProto) -> str:
    """The Python type of one value of a field."""
    if field.type in INTEGERS:
        return "int"
    simple = {F.TYPE_DOUBLE: "float", F.TYPE_FLOAT: "float", F.TYPE_BOOL: "bool", F.TYPE_STRING: "str"}
    if field.type in simple:
        return simple[field.type]
    if field.type == F.TYPE_ENUM:
        return "str | None"
    return WELL_KNOWN.get(field.type_name) or f"{field.type_name.removeprefix(PACKAGE)} | None"


def annotation(message: DescriptorProto, field: FieldDescriptorProto) -> tuple[str, str]:
    """(type, default) of a struct's field."""
    entry = _map_entry(message, field)
    if entry is not None:
        return f"dict[str, {plain(entry.field[1]).removesuffix(' | None')}]", "{}"
    kind = plain(field)
    if field.label == F.LABEL_REPEATED:
        return f"list[{kind.removesuffix(' | None')}]", "[]"
    if field.proto3_optional:
        return f"{kind.removesuffix(' | None')} | None", "None"
    return kind, DEFAULTS.get(kind, "{}" if kind.startswith("dict") else "None")


def write_types(source: Source) -> str:
    """The module of structs; requests are arguments of calls, so they have none."""
    wanted = [m for file in source.files for m in file.message_type if not _is_only_asked(m, source)]
    by_name = {m.name: m for m in wanted}
    done: list[str] = []

    def visit(message: DescriptorProto) -> None:
        if message.name in done:
            return
        for field in message.field:
            used = by_name.get(field.type_name.removeprefix(PACKAGE))
            if used is not None and used is not message:
                visit(used)
        for nested in message.nested_type:
            used = by_name.get(nested.field[1].type_name.removeprefix(PACKAGE))
            if used is not None:
                visit(used)
        done.append(message.name)

    for message in wanted:
        visit(message)
    parts = [TYPES_HEAD]
    parts += [_struct(by_name[name], source) for name in done]
    return "\n\n".join(parts)


def _is_only_asked(message: DescriptorProto, source: Source) -> bool:
    if not message.name.endswith("Request"):
        return False
    used = {f.type_name for m in source.messages.values() for f in m.field}
    return PACKAGE + message.name not in used


def _struct(message: DescriptorProto, source: Source) -> str:
    said = (
        source.comments.get(message.name)
        or ("The reply of " * message.name.endswith("Response")) + f"{message.name.removesuffix('Response')}."
    )
    lines = [f"class {message.name}(Noun, frozen=True, kw_only=True):", f'    """{said}"""', ""]
    for field in message.field:
        comment = source.comments.get(f"{message.name}.{field.name}")
        if comment:
            lines.append(f"    # {comment}")
        kind, default = annotation(message, field)
        if field.name in ("from",):
            lines.append(f'    {field.name}_: {kind} = msgspec.field(name="{field.name}", default={default})')
        else:
            lines.append(f"    {field.name}: {kind} = {default}")
    return "\n".join(lines).rstrip() + "\n"


def write_calls(source: Source) -> str:
    """The module of calls."""
    methods = [
        _method(service.name, method, source)
        for file in source.files
        for service in file.service
        for method in service.method
    ]
    return CALLS_HEAD + "\n" + "\n".join(methods)


def snake(name: str) -> str:
    """`ListDeadLetters` → `list_dead_letters`; `WhoAmI` → `who_am_i`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=I)(?=[A-Z][a-z])", "_", name).lower()


def _method(service: str, method: MethodDescriptorProto, source: Source) -> str:
    rule = method.options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    path = getattr(rule, verb)
    request = source.messages[method.input_type]
    in_path = re.findall(r"{(\w+)}", path)
    fields = {f.name: f for f in request.field if f.name not in IN_HEADERS}
    rest = [name for name in fields if name not in in_path]
    has_etag = any(f.name == "etag" for f in request.field)
    reply = method.output_type.removeprefix(PACKAGE)
    url = re.sub(r"{(\w+)}", lambda m: "{" + _in_url(fields[m[1]]) + "}", path)
    sent = f'f"{url}"' if in_path else f'"{path}"'
    arguments = [f"{_argument(n)}: {_argument_type(request, fields[n])}" for n in in_path]
    optional = [f"{_argument(n)}: {_argument_type(request, fields[n])} | None = None" for n in rest]
    changes = verb != "get"
    optional += ["etag: str | None = None"] if has_etag else []
    optional += ["idempotency_key: str | None = None"] if changes else []
    head = ", ".join(["self", *arguments, *(["*"] if optional else []), *optional])
    said = source.comments[f"{service}.{method.name}"]
    given = "{" + ", ".join(f'"{n}": {_argument(n)}' for n in rest) + "}"
    if method.server_streaming:
        query = f", query={given}" if rest else ""
        return (
            f"    def {snake(method.name)}({head}) -> AsyncIterator[types.{reply}]:\n"
            f'        """{said}"""\n'
            f"        return self._stream({sent}, types.{reply}{query})\n"
        )
    extra = _content(rule.body, rest, given) + (", etag=etag" if has_etag else "")
    extra += ", idempotency_key=idempotency_key" if changes else ""
    return (
        f"    async def {snake(method.name)}({head}) -> types.{reply}:\n"
        f'        """{said}"""\n'
        f'        return await self._call("{verb.upper()}", {sent}, types.{reply}{extra})\n'
    )


def _content(body: str, rest: list[str], given: str) -> str:
    """The argument that carries what stands in no path: the body, or the query."""
    if body and body != "*":
        assert rest == [body], f"{rest} have no place beside the body {body}"
        return f", body={_argument(body)}"
    if body:
        return f", body={given}"
    return f", query={given}" if rest else ""


def _in_url(field: FieldDescriptorProto) -> str:
    name = _argument(field.name)
    return f"quote({name}, safe='')" if field.type == F.TYPE_STRING else name


def _argument(name: str) -> str:
    return f"{name}_" if name in ("from",) else name


def _argument_type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    entry = _map_entry(message, field)
    if entry is not None:
        return f"Mapping[str, {_given(plain(entry.field[1]))}]"
    kind = _given(plain(field))
    return f"list[{kind}]" if field.label == F.LABEL_REPEATED else kind


def _given(kind: str) -> str:
    bare = kind.removesuffix(" | None")
    if bare in ("int", "float", "bool", "str", "Any") or bare.startswith("dict"):
        return bare
    return "str" if bare in ("Duration", "datetime") else "Given"
