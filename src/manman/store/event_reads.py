"""Events as they are read: past ones, in pages; new ones, by a tail that is woken by NOTIFY and looks every second anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from manman.store import lists
from manman.store.lists import Page, Rows, Term
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)
CHANNELS = ("manman_events",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The epoch, the last position that was given, and the first that is still kept (None: none is)."""

    epoch: int
    last: int
    first: int | None


async def bounds(conn: Connection) -> Bounds:
    """Where replay may begin and ends."""
    row = await conn.fetchrow(sql["bounds"])
    return Bounds(epoch=row["epoch"], last=row["last"], first=row["first"])


async def after(conn: Connection, epoch: int, position: int, most: int) -> list[Any]:
    """Events of an epoch after a position, oldest first."""
    return list(await conn.fetch(sql["after"], epoch, position, most))


async def page(conn: Connection, terms: Sequence[Term], *, descending: bool, beyond: int | None, size: int) -> Rows:
    """A page of past events by position; `beyond` is the last position seen."""
    seen = None if beyond is None else (beyond, beyond)
    asked = Page(terms=terms, order="position", id="position", descending=descending, after=seen, size=size)
    return await lists.page(conn, sql["listed"], asked)


async def listen(conn: Connection, wake: Callable[[], None]) -> None:
    """Calls `wake` whenever events were added; the connection must not be inside a transaction."""
    for channel in CHANNELS:
        await conn.add_listener(channel, lambda *_: wake())
