"""The same events from the API: for whoever has no broker in reach. The cursor is the reader's to keep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from manman.client import Client, types
from manman.events.bus import NO_HEADERS, Delivery
from manman.subscriber.typed import Event, event_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One event and where to go on after it. Without an event the stream was reset: list what you show anew."""

    cursor: str
    event: Event | None


async def watch(client: Client, after: str | None = None, filter: str | None = None) -> AsyncIterator[Watched]:
    """Every event after the cursor, replayed, then live, each once, for as long as the caller reads.

    Everything that may be seen comes, the steps between (`SessionEvent` with status `pending`, `starting`, `stopping`) too.
    Keep `cursor` when the event is dealt with. Raises `client.ApiError`; a lost connection is resumed by itself.
    """
    async for said in client.watch_events(after=after, filter=filter):
        if said.reset is not None:
            yield Watched(cursor=said.reset.cursor, event=None)
        elif said.event is not None:
            yield Watched(cursor=said.event.cursor, event=_typed(said.event))


def _typed(event: types.Event) -> Event:
    return event_of(
        Delivery(
            tag=0,
            exchange="",
            key=event.type,
            body=msgspec.json.encode(event.body),
            headers=NO_HEADERS,
            message_id=event.id,
        )
    )
