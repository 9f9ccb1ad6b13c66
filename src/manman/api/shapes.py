"""Rows → messages: what more than one noun needs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import Message

from manman.api import json
from manman.api.callers import Caller
from manman.domain import endpoints
from manman.store import listed
from manman.store.pool import Connection
from manman.v1 import common_pb2

S = TypeVar("S")
M = TypeVar("M", bound=Message)


def endpoints_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The endpoints of a row that has `ports`, `addresses` and `join_url`."""
    shown = endpoints.for_players(port["name"] for port in row["ports"] or [])
    ports = [port for port in row["ports"] or [] if port["name"] in shown]
    main = endpoints.main_port([port["name"] for port in ports])
    found = []
    for port in ports:
        bound = port["address"] if port["mask"] else ""
        one = endpoints.endpoint(
            port["name"],
            port["protocol"],
            bound,
            port["port"],
            row["addresses"],
            row["join_url"],
            main=port["name"] == main,
        )
        found.append(msgspec.to_builtins(one))
    return found


def transitions(rows: list[Any]) -> list[common_pb2.Transition]:
    """Rows of a history as their messages."""
    return [
        json.fill(common_pb2.Transition(), {**row, "from": row["from_status"], "to": row["to_status"]}) for row in rows
    ]


async def watch_from(conn: Connection) -> str:
    """The cursor after which a Watch misses nothing of what comes after what is being read."""
    row = await listed.row(conn, "watch_from")
    return f"{row['epoch']}-{row['position']}" if row is not None else ""


def struct_of(message: Message, kind: type[S]) -> S:
    """A message as the plain struct of `manman.v1.types`, which the rules work with."""
    return msgspec.convert(json.plain(message), type=kind)


def message_of(struct: Any, into: M) -> M:
    """A plain struct as its message."""
    return json.fill(into, msgspec.to_builtins(struct))


def silence(caller: Caller) -> timedelta:
    """The span after which a host counts as silent."""
    return timedelta(seconds=caller.office.settings.stale_host_threshold_seconds)
