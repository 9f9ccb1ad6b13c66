"""Server-sent events, read as they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One event of a stream. `data` is the text of all its data lines."""

    event: str
    data: str
    id: str | None


async def events(lines: AsyncIterable[str]) -> AsyncIterator[Said]:
    """Events from the lines of a reply, as the HTML standard reads them; comments (heartbeats) are left out."""
    name, data, last = "message", list[str](), None
    async for line in lines:
        if line == "":
            if data:
                yield Said(event=name, data="\n".join(data), id=last)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                last = value
            case _:
                pass
