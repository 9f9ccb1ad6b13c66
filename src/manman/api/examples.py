"""Examples of messages, made of field names: every response of the description has one that its schema admits."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F

from manman.api import json
from manman.api.json.read import is_output_only
from manman.api.json.text import Descriptor, FieldDescriptor
from manman.api.json.write import is_map
from manman.api.refusals import CODES

DEEPEST = 6
TEXTS = {
    "name": "survival",
    "deployment": "survival",
    "host": "box-1",
    "game": "teeworlds",
    "config": "standard",
    "title": "Teeworlds",
    "entry": "demo",
    "protocol": "udp",
    "address": "192.0.2.10",
    "join_url": "",
    "cause": "user anna",
    "from": "starting",
    "to": "running",
    "type": "manman.session.running",
    "cursor": "1-4711",
    "after": "1-4711",
    "watch_from": "1-4711",
    "filter": "",
    "order_by": "",
    "page_token": "",
    "next_page_token": "",
    "runtime": "process",
    "etag": "3",
    "line": "say hello",
    "text": "player joined",
    "stream": "out",
    "auth_mode": "login",
    "kind": "line",
    "bye": "",
    "reason": "",
}
NUMBERS = {"port": 8303, "first": 20000, "last": 29999, "page_size": 50, "total": 1, "exit_code": 0, "signal": 9}


def example(descriptor: Descriptor, *, asked: bool = False, depth: int = 0) -> dict[str, Any]:
    """An example of a message; `asked`: as a caller would send it, without output-only fields."""
    made: dict[str, Any] = {}
    for field in descriptor.fields:
        if asked and (is_output_only(field) or field.name in ("etag", "update_mask")):
            continue
        if field.containing_oneof is not None and not field.containing_oneof.name.startswith("_") and made:
            continue
        made[field.name] = _field(field, asked, depth)
    return made


def _field(field: FieldDescriptor, asked: bool, depth: int) -> Any:
    if is_map(field):
        return {"team": "blue"} if field.name == "labels" else {}
    if field.type == F.TYPE_MESSAGE and field.message_type.file.package == "manman.v1":
        if depth >= DEEPEST:
            return [] if field.is_repeated else None
        one = example(field.message_type, asked=asked, depth=depth + 1)
        return [one] if field.is_repeated else one
    one = _value(field)
    return [one] if field.is_repeated else one


def _value(field: FieldDescriptor) -> Any:
    match field.type:
        case F.TYPE_INT64 | F.TYPE_INT32:
            return NUMBERS.get(field.name, 1)
        case F.TYPE_DOUBLE | F.TYPE_FLOAT:
            return 0.4
        case F.TYPE_BOOL:
            return False
        case F.TYPE_ENUM:
            return next(iter(json.enum_words(field.enum_type).values()))
        case F.TYPE_MESSAGE:
            return _known(field.message_type.full_name)
        case _:
            return TEXTS.get(field.name, "")


def _known(name: str) -> Any:
    match name:
        case "google.protobuf.Timestamp":
            return "2026-11-03T03:07:20.000000Z"
        case "google.protobuf.Duration":
            return "90s"
        case "google.protobuf.Struct":
            return {}
        case _:
            return None


def problem_example(status: int) -> dict[str, Any]:
    """A problem with this HTTP status."""
    code, row = next((code, row) for code, row in CODES.items() if row.http == status)
    return {
        "type": f"/problems/{code}",
        "title": row.title,
        "status": status,
        "code": code,
        "detail": row.title,
        "errors": [],
        "facts": {},
        "hint": None,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
