"""Messages → JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from manman.api.json.text import MOST_SAFE, Descriptor, FieldDescriptor, duration_text, enum_words, time_text

Step = Callable[[Any, dict[str, Any]], None]
One = Callable[[Any], Any]


def write(message: Message) -> bytes:
    """The JSON of a message."""
    return msgspec.json.encode(plain(message))


def plain(message: Message) -> dict[str, Any]:
    """The JSON of a message as Python values."""
    made: dict[str, Any] = {}
    for step in _steps(message.DESCRIPTOR):
        step(message, made)
    return made


@cache
def _steps(descriptor: Descriptor) -> tuple[Step, ...]:
    return tuple(_step(field) for field in descriptor.fields)


def is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _step(field: FieldDescriptor) -> Step:
    name, oneof = field.name, field.containing_oneof
    if is_map(field):
        return _map_step(name, _one(field.message_type.fields_by_name["value"]))
    one = _one(field)
    if field.is_repeated:
        return _list_step(name, one)
    # A field marked `optional` is alone in a oneof of the compiler's, whose name begins with an underscore.
    if oneof is not None and not oneof.name.startswith("_"):
        return _member_step(name, one)
    if field.has_presence:
        return _optional_step(name, one)
    return _scalar_step(name, one)


def _map_step(name: str, one: One) -> Step:
    def step(message: Any, made: dict[str, Any]) -> None:
        made[name] = {str(key): one(value) for key, value in sorted(getattr(message, name).items())}

    return step


def _list_step(name: str, one: One) -> Step:
    def step(message: Any, made: dict[str, Any]) -> None:
        made[name] = [one(value) for value in getattr(message, name)]

    return step


def _member_step(name: str, one: One) -> Step:
    def step(message: Any, made: dict[str, Any]) -> None:
        if message.HasField(name):
            made[name] = one(getattr(message, name))

    return step


def _optional_step(name: str, one: One) -> Step:
    def step(message: Any, made: dict[str, Any]) -> None:
        made[name] = one(getattr(message, name)) if message.HasField(name) else None

    return step


def _scalar_step(name: str, one: One) -> Step:
    def step(message: Any, made: dict[str, Any]) -> None:
        made[name] = one(getattr(message, name))

    return step


# How messages are written that are values of their own.
WELL_KNOWN: dict[str, One] = {
    "google.protobuf.Timestamp": lambda value: time_text(value.ToDatetime()),
    "google.protobuf.Duration": lambda value: duration_text(value.ToTimedelta()),
    "google.protobuf.Value": lambda value: any_value(value),
    "google.protobuf.Struct": lambda value: {key: any_value(one) for key, one in value.fields.items()},
    "google.protobuf.FieldMask": lambda value: ",".join(value.paths),
}


def _one(field: FieldDescriptor) -> One:
    if field.type == F.TYPE_ENUM:
        return enum_words(field.enum_type).get
    if field.type == F.TYPE_BYTES:
        return lambda value: base64.b64encode(value).decode()
    if field.type != F.TYPE_MESSAGE:
        return lambda value: value
    return WELL_KNOWN.get(field.message_type.full_name, plain)


def any_value(value: Any) -> Any:
    """What a `google.protobuf.Value` holds; whole numbers are written as such."""
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < MOST_SAFE else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return {key: any_value(one) for key, one in value.struct_value.fields.items()}
        case "list_value":
            return [any_value(one) for one in value.list_value.values]
        case _:
            return None
