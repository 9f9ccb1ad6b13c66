"""OpenAPI 3.1 of the REST door, from the definition: paths, schemas with comments, an example for every response."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F

import manman
from manman.api import json
from manman.api.definition import OPEN, Method, comments, methods
from manman.api.examples import example, problem_example
from manman.api.json.read import is_output_only
from manman.api.json.text import Descriptor, FieldDescriptor
from manman.api.json.write import is_map
from manman.api.refusals import CODES

Schema = dict[str, Any]
IN_HEADERS = ("etag", "update_mask")
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": ["string", "null"], "format": "date-time"},
    "google.protobuf.Duration": {"type": ["string", "null"], "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.FieldMask": {"type": "string"},
}
USUAL_CODES = ("invalid_argument", "unauthenticated", "permission_denied", "not_found", "rate_limited", "unavailable")


@cache
def described() -> dict[str, Any]:
    """The whole document as Python values."""
    paths: dict[str, dict[str, Any]] = {}
    for method in methods().values():
        paths.setdefault(method.path, {})[method.verb] = _operation(method)
    nouns = {d.name: d for d in _reached()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ManMan",
            "version": getattr(manman, "__version__", "0.1.0"),
            "description": "Runs game servers on machines you own. Errors are RFC 9457 problems with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": s, "description": comments().get(s, "")} for s in sorted(_services())],
        "paths": paths,
        "components": {
            "schemas": {name: _schema(noun) for name, noun in sorted(nouns.items())} | {"Problem": _problem()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _services() -> set[str]:
    return {method.service for method in methods().values()}


def _reached() -> list[Descriptor]:
    found: dict[str, Descriptor] = {}

    def visit(descriptor: Any) -> None:
        if descriptor.file.package != "manman.v1" or descriptor.full_name in found:
            return
        if not descriptor.GetOptions().map_entry:
            found[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.type == F.TYPE_MESSAGE:
                visit(field.message_type)

    for method in methods().values():
        visit(method.request.DESCRIPTOR)
        visit(method.reply.DESCRIPTOR)
    return list(found.values())


def _operation(method: Method) -> Schema:
    made: Schema = {
        "operationId": method.rpc,
        "tags": [method.service],
        "summary": method.comment,
        "description": f"Needs `{method.needs.permission}`."
        + (" A host's own key may call it about itself." if method.needs.agent else ""),
        "parameters": _parameters(method),
        "responses": _responses(method),
        "security": [] if method.needs.permission == "public" else [{"bearer": []}],
    }
    if method.body:
        part: Any = method.request.DESCRIPTOR
        if method.body != "*":
            part = part.fields_by_name[method.body].message_type
        content = {"schema": _ref(part), "example": example(part, asked=True)}
        made["requestBody"] = {"content": {"application/json": content}}
    return made


def _parameters(method: Method) -> list[Schema]:
    fields = method.request.DESCRIPTOR.fields_by_name
    found = [_parameter(fields[name], method, "path") for name in method.variables]
    if not method.body:
        rest = [f for f in fields.values() if f.name not in (*method.variables, *IN_HEADERS)]
        found += [_parameter(field, method, "query") for field in rest if field.type != F.TYPE_MESSAGE]
    if "etag" in fields:
        found.append(_header("If-Match", "The etag that was read; another one meanwhile is `changed_meanwhile`."))
    if method.changes and method.needs.permission not in OPEN - {"self"}:
        found.append(_header("Idempotency-Key", "The same key again gives the same answer, for 24 hours."))
    if method.streams:
        found.append(_header("Last-Event-ID", "Where a resumed stream goes on."))
    return found


def _parameter(field: FieldDescriptor, method: Method, where: str) -> Schema:
    said = comments().get(f"{method.request.DESCRIPTOR.name}.{field.name}", "")
    return {
        "name": field.name,
        "in": where,
        "required": where == "path",
        "description": said,
        "schema": _value(field),
    }


def _header(name: str, said: str) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": said, "schema": {"type": "string"}}


def _responses(method: Method) -> Schema:
    media = "text/event-stream" if method.streams else "application/json"
    content = {media: {"schema": _ref(method.reply.DESCRIPTOR), "example": example(method.reply.DESCRIPTOR)}}
    made: Schema = {str(status): {"description": _status(status), "content": content} for status in method.success}
    for status in sorted({CODES[code].http for code in USUAL_CODES} | ({409, 412, 422} if method.changes else set())):
        made[str(status)] = {
            "description": ", ".join(sorted(c for c, row in CODES.items() if row.http == status)),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": problem_example(status),
                }
            },
        }
    return made


def _status(status: int) -> str:
    return {200: "Done, or nothing to do.", 201: "Made.", 202: "The wish is recorded; the status follows."}[status]


def _ref(descriptor: Descriptor) -> Schema:
    return {"$ref": f"#/components/schemas/{descriptor.name}"}


def _schema(descriptor: Descriptor) -> Schema:
    properties = {}
    for field in descriptor.fields:
        one = _property(field)
        said = comments().get(f"{descriptor.name}.{field.name}")
        properties[field.name] = (one | {"description": said}) if said and "$ref" not in one else one
        if is_output_only(field):
            properties[field.name] = properties[field.name] | {"readOnly": True}
    return {"type": "object", "description": comments().get(descriptor.name, ""), "properties": properties}


def _property(field: FieldDescriptor) -> Schema:
    if is_map(field):
        return {"type": "object", "additionalProperties": _value(field.message_type.fields_by_name["value"])}
    one = _value(field)
    if field.is_repeated:
        return {"type": "array", "items": one}
    if field.has_presence and "type" in one and isinstance(one["type"], str):
        return one | {"type": [one["type"], "null"]}
    if field.has_presence and "$ref" in one:
        return {"anyOf": [one, {"type": "null"}]}
    return one


def _value(field: FieldDescriptor) -> Schema:
    match field.type:
        case F.TYPE_INT64 | F.TYPE_INT32:
            return {"type": "integer", "format": "int64" if field.type == F.TYPE_INT64 else "int32"}
        case F.TYPE_DOUBLE | F.TYPE_FLOAT:
            return {"type": "number"}
        case F.TYPE_BOOL:
            return {"type": "boolean"}
        case F.TYPE_ENUM:
            return {"type": ["string", "null"], "enum": [*json.enum_words(field.enum_type).values(), None]}
        case F.TYPE_MESSAGE:
            known = WELL_KNOWN.get(field.message_type.full_name)
            return _ref(field.message_type) if known is None else dict(known)
        case _:
            return {"type": "string"}


def _problem() -> Schema:
    return {
        "type": "object",
        "description": "What was not done, and why (RFC 9457).",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": sorted(CODES)},
            "detail": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object"}},
            "facts": {"type": "object", "additionalProperties": True},
            "hint": {"type": ["string", "null"]},
            "trace_id": {"type": ["string", "null"]},
        },
        "required": ["type", "title", "status", "code", "detail"],
    }
