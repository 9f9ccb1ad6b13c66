"""Merge patches: what an update mask changes in a message, and what it may not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from manman.api.json.read import is_output_only
from manman.api.json.write import is_map
from manman.api.refusals import Fault, InvalidRequest
from manman.errors import RefusedError
from manman.v1 import options_pb2

M = TypeVar("M", bound=Message)


def patched(present: M, patch: M, paths: Iterable[str]) -> M:
    """`present` with the fields of the mask taken from `patch`; an empty mask means the fields that `patch` sets.

    `labels.team` is one key of a map (absent in the patch: removed), `spec.stop` a nested field. Output-only fields are left
    alone, immutable ones refused when they differ, unknown paths refused: all faults at once.
    """
    made = type(present)()
    made.CopyFrom(present)
    faults: list[Fault] = []
    for path in list(paths) or [field.name for field, _ in patch.ListFields()]:
        _put(made, patch, path, path, faults)
    if faults:
        raise InvalidRequest(faults)
    return made


def _put(into: Any, patch: Any, path: str, whole: str, faults: list[Fault]) -> None:
    name, _, rest = path.partition(".")
    field = into.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        faults.append(Fault(pointer="/update_mask", detail=f"{whole!r} is no field"))
    elif is_output_only(field):
        return
    elif is_map(field) and rest:
        _put_key(getattr(into, name), getattr(patch, name), rest)
    elif rest and field.type == F.TYPE_MESSAGE and not field.is_repeated:
        _put(getattr(into, name), getattr(patch, name), rest, whole, faults)
    elif field.GetOptions().Extensions[options_pb2.field].immutable:
        if getattr(into, name) != getattr(patch, name):
            faults.append(Fault(pointer=f"/{name}", detail="cannot be changed"))
    else:
        _put_field(into, patch, field)


def _put_key(into: Any, patch: Any, key: str) -> None:
    if key not in patch:
        into.pop(key, None)
    elif hasattr(patch[key], "CopyFrom"):
        into[key].CopyFrom(patch[key])
    else:
        into[key] = patch[key]


def _put_field(into: Any, patch: Any, field: Any) -> None:
    name = field.name
    into.ClearField(name)
    if field.is_repeated:
        getattr(into, name).MergeFrom(getattr(patch, name))
    elif field.type == F.TYPE_MESSAGE:
        if patch.HasField(name):
            getattr(into, name).CopyFrom(getattr(patch, name))
    elif not field.has_presence or patch.HasField(name):
        setattr(into, name, getattr(patch, name))


def must_match(etag: str, version: int, what: str) -> None:
    """Raises `changed_meanwhile` when an etag was sent that is not the row's version."""
    if etag and etag != str(version):
        raise RefusedError(
            "changed_meanwhile",
            f"{what} is at etag {version}, not {etag}",
            hint="read it again and repeat the change",
            etag=str(version),
        )
