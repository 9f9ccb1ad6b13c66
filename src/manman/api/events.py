"""Events: List (replay in pages) and Watch (replay, then live)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from manman.api import filters, json
from manman.api.callers import Caller
from manman.api.matching import matches
from manman.api.office import Office
from manman.api.pages import List
from manman.api.refusals import invalid
from manman.api.tail import TooSlow, past
from manman.api.usecases import stream_case, use_case
from manman.store import events
from manman.store.events import Bounds
from manman.store.lists import Term
from manman.store.pool import Connection
from manman.v1 import events_pb2 as pb

_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})", re.ASCII)
NOUN = pb.Event.DESCRIPTOR
NEWEST = List(noun=NOUN, id="position", order="epoch", descending=True, query=events.sql["listed"])
ONWARD = replace(NEWEST, descending=False)


def cursor_of(text: str) -> tuple[int, int]:
    """(epoch, position) of a cursor; raises `invalid_argument`."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise invalid("/after", f"must be a cursor such as 1-4711, not {text!r:.50}")
    return int(found[1]), int(found[2])


def event_of(row: Any) -> pb.Event:
    """A row of `store.events` as its message."""
    made = json.fill(pb.Event(), {**row, "id": str(row["id"]), "body": None})
    made.cursor = f"{row['epoch']}-{row['position']}"
    made.body.update(row["body"])
    return made


@use_case("Events.ListEvents")
async def list_events(request: pb.ListEventsRequest, caller: Caller, conn: Connection) -> pb.ListEventsResponse:
    bounds = await events.bounds(conn)
    cursor = cursor_of(request.after) if request.after else None
    if cursor is not None and lost(bounds, *cursor):
        raise invalid("/after", "is too old, or of before a restore", hint="list without it")
    wanted = NEWEST if cursor is None else ONWARD
    found, token = await wanted.page(conn, request, caller.now, begin=cursor)
    return pb.ListEventsResponse(
        events=[event_of(row) for row in found.rows],
        next_page_token=token,
        watch_from=f"{bounds.epoch}-{bounds.last}",
    )


def lost(bounds: Bounds, epoch: int, position: int) -> bool:
    """Whether a reader at this cursor would miss something: another epoch, or events after it are gone already."""
    if epoch != bounds.epoch or position > bounds.last:
        return True
    first = bounds.first if bounds.first is not None else bounds.last + 1
    return position + 1 < first


def bye(reason: str) -> pb.WatchEventsResponse:
    """The last thing said."""
    return pb.WatchEventsResponse(bye=pb.Bye(reason=reason))


@stream_case("Events.WatchEvents", bye)
async def watch_events(
    request: pb.WatchEventsRequest, caller: Caller, office: Office
) -> AsyncIterator[pb.WatchEventsResponse]:
    terms = filters.parse(request.filter, NOUN, caller.now)
    after = cursor_of(request.after) if request.after else None
    return _watch(office, terms, after)


async def _watch(
    office: Office, terms: Sequence[Term], after: tuple[int, int] | None
) -> AsyncIterator[pb.WatchEventsResponse]:
    with office.tail.reading() as reader:
        async with office.pool.acquire() as conn:
            bounds = await events.bounds(conn)
        here = f"{bounds.epoch}-{bounds.last}"
        seen = bounds.last
        if after is None:
            yield pb.WatchEventsResponse(hello=pb.Hello(cursor=here))
        elif lost(bounds, *after):
            yield pb.WatchEventsResponse(
                reset=pb.Reset(cursor=here, reason="the cursor is too old or of another epoch")
            )
        else:
            yield pb.WatchEventsResponse(hello=pb.Hello(cursor=f"{after[0]}-{after[1]}"))
            seen = after[1]
            async for row in past(office.pool, after[0], after[1]):
                seen = row["position"]
                if matches(terms, row):
                    yield pb.WatchEventsResponse(event=event_of(row))
        async for said in _live(reader, terms, bounds.epoch, seen):
            yield said


async def _live(reader: Any, terms: Sequence[Term], epoch: int, seen: int) -> AsyncIterator[pb.WatchEventsResponse]:
    while True:
        try:
            row = await reader.get()
        except TooSlow:
            yield bye("too_slow")
            return
        if row["epoch"] != epoch:
            epoch = row["epoch"]
            cursor = f"{epoch}-{row['position'] - 1}"
            yield pb.WatchEventsResponse(reset=pb.Reset(cursor=cursor, reason="the database was restored"))
        elif row["position"] <= seen:
            continue
        seen = row["position"]
        if matches(terms, row):
            yield pb.WatchEventsResponse(event=event_of(row))
