"""An HTTP request → the request message of a method. Everything that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf.message import Message

from manman.api import json
from manman.api.definition import Method
from manman.api.json.text import scalar_from_text
from manman.api.refusals import Fault, InvalidRequest, invalid

MOST_BYTES = 1024 * 1024
IN_HEADERS = frozenset({"etag", "update_mask"})


def decode(method: Method, variables: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes) -> Message:
    """The request of a method; raises `InvalidRequest` with every fault."""
    request = method.request()
    faults = _path(request, variables)
    raw = parsed(body) if method.body else None
    if method.body == "*":
        faults += json.read({} if raw is None else raw, request)
    elif method.body:
        faults += _part(method, request, raw)
    faults += _contradictions(variables, raw)
    # What stands in the path wins; a body that says otherwise has been told of.
    faults += [] if faults else _path(request, variables)
    allowed = frozenset(f.name for f in request.DESCRIPTOR.fields) - IN_HEADERS - variables.keys()
    faults += json.read_text(query, request, frozenset() if method.body else allowed)
    if faults:
        raise InvalidRequest(faults)
    return request


def parsed(body: bytes) -> Any:
    """The JSON of a body as Python values, None when it is empty; raises `InvalidRequest`."""
    if not body.strip():
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid("", f"the body is not JSON: {error}") from None


def _path(request: Message, variables: Mapping[str, str]) -> list[Fault]:
    faults = []
    for name, text in variables.items():
        try:
            setattr(request, name, scalar_from_text(request.DESCRIPTOR.fields_by_name[name], text))
        except json.CodecFault as fault:
            faults.append(Fault(pointer=f"/{name}", detail=f"{fault}, not {text!r}"))
    return faults


def _part(method: Method, request: Message, raw: Any) -> list[Fault]:
    part = getattr(request, method.body)
    part.SetInParent()
    faults = json.read({} if raw is None else raw, part)
    if method.verb == "patch" and isinstance(raw, Mapping):
        request.update_mask.paths.extend(json.masked_paths(raw, part.DESCRIPTOR))  # type: ignore[attr-defined]
    return faults


def _contradictions(variables: Mapping[str, str], raw: Any) -> list[Fault]:
    if not isinstance(raw, Mapping):
        return []
    return [
        Fault(pointer=f"/{name}", detail=f"is {raw[name]!r} in the body and {text!r} in the path")
        for name, text in variables.items()
        if raw.get(name) is not None and str(raw[name]) != text
    ]


def put_etag(request: Message, if_match: str | None) -> None:
    """`If-Match` as the request's etag, where it has one; `*` asks for nothing."""
    text = (if_match or "").strip().removeprefix("W/").strip('"')
    if text and text != "*" and "etag" in request.DESCRIPTOR.fields_by_name:
        setattr(request, "etag", text)  # noqa: B010 - the field's name is data here
