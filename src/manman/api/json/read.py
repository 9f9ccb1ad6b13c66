"""JSON → messages, strictly; every fault is told, by JSON pointer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from manman.api.json.text import (
    CodecFault,
    Descriptor,
    FieldDescriptor,
    duration_of,
    scalar_from_text,
    scalar_of,
    text_of,
    time_of,
)
from manman.api.json.write import is_map
from manman.api.refusals import Fault
from manman.v1 import options_pb2

DEEPEST = 32
M = TypeVar("M", bound=Message)
# Reads `value` into the field of `target`, adding what is wrong to the list.
Reader = Callable[[Message, Any, str, list[Fault]], None]


def read(value: object, into: Message, pointer: str = "") -> list[Fault]:
    """Reads a JSON value (as Python values) into a message; returns everything that is wrong with it.

    null means unset; output-only fields are ignored whatever they hold. `into` is usable only when nothing is returned.
    """
    faults: list[Fault] = []
    _read_message(into, value, pointer, faults)
    return faults


def fill(into: M, values: Mapping[str, Any]) -> M:
    """Puts our own values (a row's columns, times as `datetime`) into a message, output-only fields too, and gives it back.

    None is left unset; keys that the message does not have are left out. Raises `ValueError` for a value that does not fit.
    """
    readers = _readers(into.DESCRIPTOR, True)
    faults: list[Fault] = []
    for name, one in values.items():
        if one is not None and name in readers:
            readers[name](into, one, f"/{name}", faults)
    if faults:
        raise ValueError(f"{type(into).__name__}{faults[0].pointer} {faults[0].detail}")
    return into


def read_text(pairs: Iterable[tuple[str, str]], into: Message, allowed: frozenset[str]) -> list[Fault]:
    """Reads query parameters into the scalar fields of a message; only those in `allowed`, none twice but lists."""
    faults: list[Fault] = []
    seen: set[str] = set()
    fields = into.DESCRIPTOR.fields_by_name
    for name, text in pairs:
        field = fields.get(name)
        if field is None or name not in allowed or field.type == F.TYPE_MESSAGE:
            faults.append(Fault(pointer=f"/{name}", detail="is no parameter of this method"))
            continue
        if name in seen and not field.is_repeated:
            faults.append(Fault(pointer=f"/{name}", detail="is given twice"))
            continue
        seen.add(name)
        try:
            value = scalar_from_text(field, text)
        except CodecFault as fault:
            faults.append(Fault(pointer=f"/{name}", detail=str(fault)))
            continue
        if field.is_repeated:
            getattr(into, name).append(value)
        else:
            setattr(into, name, value)
    return faults


def masked_paths(value: Mapping[str, Any], descriptor: Descriptor, prefix: str = "") -> list[str]:
    """The update mask of a merge patch (RFC 7396): `labels.team` for a map's key, `spec.stop` for a nested field.

    Output-only fields are left out, keys that the message does not know too (reading has told of them).
    """
    paths: list[str] = []
    for name, one in value.items():
        field = descriptor.fields_by_name.get(name)
        if field is None or is_output_only(field):
            continue
        path = prefix + name
        if isinstance(one, Mapping) and is_map(field):
            paths += [f"{path}.{key}" for key in one]
        elif isinstance(one, Mapping) and _is_ours(field):
            paths += masked_paths(one, field.message_type, path + ".") or [path]
        else:
            paths.append(path)
    return paths


def is_output_only(field: FieldDescriptor) -> bool:
    return bool(field.GetOptions().Extensions[options_pb2.field].output_only)


def _is_ours(field: FieldDescriptor) -> bool:
    return bool(
        field.type == F.TYPE_MESSAGE and not field.is_repeated and field.message_type.file.package == "manman.v1"
    )


def _read_trusted(into: Message, value: object, pointer: str, faults: list[Fault]) -> None:
    _read_message(into, value, pointer, faults, trusted=True)


def _read_message(into: Message, value: object, pointer: str, faults: list[Fault], *, trusted: bool = False) -> None:
    if not isinstance(value, Mapping):
        faults.append(Fault(pointer=pointer, detail="must be an object"))
        return
    readers = _readers(into.DESCRIPTOR, trusted)
    for name, one in value.items():
        at = f"{pointer}/{_escaped(name)}"
        reader = readers.get(name)
        if reader is None:
            faults.append(Fault(pointer=at, detail="is no field here"))
        elif one is not None:
            reader(into, one, at, faults)


def _escaped(name: object) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


@cache
def _readers(descriptor: Descriptor, trusted: bool) -> Mapping[str, Reader]:
    return {field.name: _reader(field, trusted) for field in descriptor.fields}


def _reader(field: FieldDescriptor, trusted: bool) -> Reader:
    if is_output_only(field) and not trusted:
        return lambda into, value, pointer, faults: None
    if is_map(field):
        return _map_reader(field, trusted)
    if field.is_repeated:
        return _list_reader(field, trusted)
    if field.type == F.TYPE_MESSAGE:
        return _message_reader(field, trusted)
    return _scalar_reader(field)


def _scalar_reader(field: FieldDescriptor) -> Reader:
    name, of = field.name, scalar_of(field)

    def reader(into: Message, value: Any, pointer: str, faults: list[Fault]) -> None:
        try:
            setattr(into, name, of(value))
        except CodecFault as fault:
            faults.append(Fault(pointer=pointer, detail=str(fault)))

    return reader


def _message_reader(field: FieldDescriptor, trusted: bool) -> Reader:
    name, fill = field.name, _filler(field.message_type, trusted)

    def reader(into: Message, value: Any, pointer: str, faults: list[Fault]) -> None:
        part = getattr(into, name)
        part.SetInParent()
        fill(part, value, pointer, faults)

    return reader


def _list_reader(field: FieldDescriptor, trusted: bool) -> Reader:
    name = field.name
    fill = _filler(field.message_type, trusted) if field.type == F.TYPE_MESSAGE else None
    of = None if fill else scalar_of(field)

    def reader(into: Message, value: Any, pointer: str, faults: list[Fault]) -> None:
        if not isinstance(value, list):
            faults.append(Fault(pointer=pointer, detail="must be a list"))
            return
        items = getattr(into, name)
        for index, one in enumerate(value):
            at = f"{pointer}/{index}"
            try:
                if fill is not None:
                    fill(items.add(), one, at, faults)
                elif of is not None:
                    items.append(of(one))
            except CodecFault as fault:
                faults.append(Fault(pointer=at, detail=str(fault)))

    return reader


def _map_reader(field: FieldDescriptor, trusted: bool) -> Reader:
    name, kind = field.name, field.message_type.fields_by_name["value"]
    fill = _filler(kind.message_type, trusted) if kind.type == F.TYPE_MESSAGE else None
    of = None if fill else scalar_of(kind)

    def reader(into: Message, value: Any, pointer: str, faults: list[Fault]) -> None:
        if not isinstance(value, Mapping):
            faults.append(Fault(pointer=pointer, detail="must be an object"))
            return
        entries = getattr(into, name)
        for key, one in value.items():
            at = f"{pointer}/{_escaped(key)}"
            try:
                text_of(key)
                if one is None:
                    continue
                if fill is not None:
                    fill(entries[key], one, at, faults)
                elif of is not None:
                    entries[key] = of(one)
            except CodecFault as fault:
                faults.append(Fault(pointer=at, detail=str(fault)))

    return reader


def _filler(descriptor: Descriptor, trusted: bool) -> Reader:
    match descriptor.full_name:
        case "google.protobuf.Timestamp":
            return _told(lambda into, value: into.FromDatetime(time_of(value)))
        case "google.protobuf.Duration":
            return _told(lambda into, value: into.FromTimedelta(duration_of(value)))
        case "google.protobuf.FieldMask":
            return _told(lambda into, value: into.paths.extend(p for p in text_of(value).split(",") if p))
        case "google.protobuf.Value":
            return _told(lambda into, value: fill_value(into, value))
        case "google.protobuf.Struct":
            return _told(lambda into, value: _fill_struct(into, value))
        case _:
            return _read_trusted if trusted else _read_message


def _told(fill: Callable[[Any, Any], None]) -> Reader:
    def reader(into: Message, value: Any, pointer: str, faults: list[Fault]) -> None:
        try:
            fill(into, value)
        except CodecFault as fault:
            faults.append(Fault(pointer=pointer, detail=str(fault)))

    return reader


def _fill_struct(into: Any, value: object, depth: int = 0) -> None:
    if not isinstance(value, Mapping):
        raise CodecFault("must be an object")
    for key, one in value.items():
        fill_value(into.fields[text_of(key)], one, depth + 1)


def fill_value(into: Any, value: object, depth: int = 0) -> None:
    """Puts any JSON value into a `google.protobuf.Value`; raises `CodecFault` for NUL or too deep a nest."""
    if depth > DEEPEST:
        raise CodecFault(f"is nested deeper than {DEEPEST}")
    match value:
        case None:
            into.null_value = 0
        case bool():
            into.bool_value = value
        case int() | float():
            into.number_value = value
        case str():
            into.string_value = text_of(value)
        case list():
            into.list_value.SetInParent()
            for one in value:
                fill_value(into.list_value.values.add(), one, depth + 1)
        case _:
            into.struct_value.SetInParent()
            _fill_struct(into.struct_value, value, depth)
