"""The audit row of a change: who, what, which, and what was asked for, secrets masked."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

from manman.api import json
from manman.api.asking import Ask
from manman.api.callers import Caller
from manman.api.json.write import is_map
from manman.store import requests
from manman.store.pool import Connection
from manman.v1 import options_pb2

MASK = "********"
# Values of parameters may be secret; only the config knows which.
MASKED_MAPS = frozenset({"parameters"})


async def write(ask: Ask, caller: Caller, reply: Message, conn: Connection) -> None:
    """Appends the row of a change that was done."""
    noun_id = _first(ask.request, reply, ask.method.needs.of)
    changes = caller.notes or {"request": _asked(ask.request)}
    await requests.audit(
        conn,
        requests.Audited(
            caller=caller.said,
            credential=caller.credential,
            address=caller.address,
            method=ask.method.name,
            noun=ask.method.service.lower(),
            noun_id=noun_id,
            deployment=getattr(reply, "deployment_id", None) or getattr(ask.request, "deployment_id", None) or None,
            changes=changes,
            trace_id=ask.trace_id,
        ),
    )


def _first(request: Message, reply: Message, of: str) -> str | None:
    if of in request.DESCRIPTOR.fields_by_name:
        return str(getattr(request, of))
    for field in reply.DESCRIPTOR.fields:
        if field.name.endswith("_id"):
            return str(getattr(reply, field.name))
    return None


def _asked(request: Message) -> dict[str, Any]:
    plain = json.plain(without_secrets(request))
    return {key: value for key, value in plain.items() if value not in (None, "", [], {}, 0, False)}


def without_secrets(message: Message) -> Message:
    """A copy without what is marked secret, and with values of parameters masked."""
    copy = type(message)()
    copy.CopyFrom(message)
    _clear(copy)
    return copy


def _clear(message: Any) -> None:
    for field, value in message.ListFields():
        if field.GetOptions().Extensions[options_pb2.field].secret:
            message.ClearField(field.name)
        elif field.name in MASKED_MAPS and is_map(field):
            for one in value.values():
                one.string_value = MASK
        elif field.type == F.TYPE_MESSAGE and field.message_type.file.package == "manman.v1" and not is_map(field):
            for one in value if field.is_repeated else (value,):
                _clear(one)
