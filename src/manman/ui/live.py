"""The one event stream of a browser: the API's events passed on, and the server's time, by which a page knows that it lives."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from manman.client import ApiError, Client, types
from manman.errors import ManManError
from manman.ui.frame import frame
from manman.ui.streams import Said, Streams

TICK = 5.0


async def live(request: Request) -> Response:
    """`GET /live`: resumed by `Last-Event-ID`, or from `after`, where the page was made."""
    around = await frame(request)
    streams: Streams = request.app.state.streams
    after = request.headers.get("last-event-id") or request.query_params.get("after") or around.installation.watch_from
    return streams.reply(with_ticks(around.client, after))


async def with_ticks(client: Client, after: str) -> AsyncIterator[Said]:
    """Events as they come and a tick each 5 s, as long as the API itself answers; ends with `bye`."""
    queue: asyncio.Queue[Said | None] = asyncio.Queue(maxsize=1000)
    reader = asyncio.ensure_future(_read(client, after, queue))
    try:
        while True:
            try:
                said = await asyncio.wait_for(queue.get(), TICK)
            except TimeoutError:
                yield await _tick(client)
                continue
            if said is None:
                return
            yield said
    finally:
        reader.cancel()


async def _read(client: Client, after: str, queue: "asyncio.Queue[Said | None]") -> None:
    try:
        async for message in client.watch_events(after=after or None):
            said = passed_on(message)
            if said is not None:
                await queue.put(said)
    except ApiError as error:
        await queue.put(Said(name="bye", data={"reason": error.refused_code}))
    except ManManError as error:
        await queue.put(Said(name="away", data={"reason": error.detail}))
    await queue.put(None)


async def _tick(client: Client) -> Said:
    try:
        seen = await client.get_installation()
    except ManManError as error:
        return Said(name="away", data={"reason": error.detail})
    return Said(name="tick", data={"time": seen.time, "deaf": seen.deaf_since is not None})


def passed_on(message: types.WatchEventsResponse) -> Said | None:
    """A message of the API's stream as the browser needs it: what changed, not how it looks; pages ask for that."""
    if message.event is not None:
        event = message.event
        scope = [f"{noun}:{number}" for noun, number in _ids(event) if number is not None]
        return Said(name="event", id=event.cursor, data={"type": event.type, "scope": scope, "at": event.at})
    if message.reset is not None:
        return Said(name="reset", id=message.reset.cursor, data={"reason": message.reset.reason})
    if message.bye is not None:
        return Said(name="bye", data={"reason": message.bye.reason})
    return Said(name="hello", id=message.hello.cursor, data={}) if message.hello is not None else None


def _ids(event: types.Event) -> list[tuple[str, int | None]]:
    return [("host", event.host_id), ("deployment", event.deployment_id), ("session", event.session_id)]
