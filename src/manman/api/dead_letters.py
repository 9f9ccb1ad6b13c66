"""Dead letters: List, Get, Replay, Drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from manman.api import json
from manman.api.callers import Caller
from manman.api.pages import List
from manman.api.refusals import not_found
from manman.api.usecases import use_case
from manman.domain.ids import HostId, uuid7
from manman.errors import RefusedError
from manman.events import envelope, topics
from manman.events.outbox import OutboxRow
from manman.store import dead_letter_changes, listed, power
from manman.store.pool import Connection
from manman.v1 import dead_letters_pb2 as pb

MOST_HEADER_BYTES = 64 * 1024  # half of a frame; nothing that is sent here has a thousandth

LETTERS = List(
    noun=pb.DeadLetter.DESCRIPTOR,
    id="dead_letter_id",
    order="dead_letter_id",
    descending=True,
    query=listed.sql["dead_letters"],
)


def letter_of(row: Mapping[str, Any]) -> pb.DeadLetter:
    """A row of `listed.dead_letters` as its message."""
    values = {
        **row,
        "body": bytes(row["body"]).decode("utf-8", "replace").replace("\0", "\ufffd"),
        "headers": {name: str(value) for name, value in row["headers"].items()},
        "key": row["key"].replace("\0", ""),
    }
    return json.fill(pb.DeadLetter(), values)


async def load(conn: Connection, letter: int) -> pb.DeadLetter:
    """One dead letter; raises `not_found`."""
    row = await listed.one(conn, "dead_letters", "dead_letter_id", letter)
    if row is None:
        raise not_found("dead letter", letter)
    return letter_of(row)


@use_case("DeadLetters.ListDeadLetters")
async def list_dead_letters(
    request: pb.ListDeadLettersRequest, caller: Caller, conn: Connection
) -> pb.ListDeadLettersResponse:
    found, token = await LETTERS.page(conn, request, caller.now)
    letters = [letter_of(row) for row in found.rows]
    return pb.ListDeadLettersResponse(dead_letters=letters, next_page_token=token, total=found.total)


@use_case("DeadLetters.GetDeadLetter")
async def get_dead_letter(request: pb.GetDeadLetterRequest, caller: Caller, conn: Connection) -> pb.DeadLetter:
    return await load(conn, request.dead_letter_id)


@use_case("DeadLetters.ReplayDeadLetter")
async def replay_dead_letter(request: pb.ReplayDeadLetterRequest, caller: Caller, conn: Connection) -> pb.DeadLetter:
    row = await dead_letter_changes.lock(conn, request.dead_letter_id)
    if row is None:
        raise not_found("dead letter", request.dead_letter_id)
    if not row["key"].startswith("status."):
        raise RefusedError("invalid_argument", f"only status.* can be replayed, not {row['key']}", hint="drop it")
    if row["replayed_at"] is not None:
        return await load(conn, request.dead_letter_id)
    again = uuid7(caller.now, caller.office.chance)
    await dead_letter_changes.note_replay(conn, row["id"], again)
    await power.tell(conn, [_replay(row, str(again))])
    return await load(conn, request.dead_letter_id)


def _replay(row: Any, event_id: str) -> OutboxRow:
    if len(row["key"].encode()) > topics.MOST_KEY_BYTES or len(msgspec.json.encode(row["headers"])) > MOST_HEADER_BYTES:
        raise RefusedError("invalid_argument", "its key or its headers are too long to be sent again", hint="drop it")
    try:
        body = msgspec.json.decode(bytes(row["body"]))
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("invalid_argument", "its body is no JSON object; it would be refused again", hint="drop it")
    return OutboxRow(
        event_id=event_id,
        type="manman.dead_letter.replayed",
        key=row["key"],
        body=body,
        exchange=topics.INTERNAL,
        headers={**row["headers"], envelope.DEAD_LETTER: str(row["id"])},
        host_id=HostId(row["host"]) if row["host"] is not None else None,
    )


@use_case("DeadLetters.DropDeadLetter")
async def drop_dead_letter(
    request: pb.DropDeadLetterRequest, caller: Caller, conn: Connection
) -> pb.DropDeadLetterResponse:
    if not await dead_letter_changes.drop(conn, request.dead_letter_id):
        raise not_found("dead letter", request.dead_letter_id)
    return pb.DropDeadLetterResponse()
