"""The console of a session: its lines as harmless pieces, live and from before; one line of input; the whole as text."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from manman.client import ApiError, Client, types
from manman.errors import ManManError
from manman.ui import ansi, forms, times
from manman.ui.frame import frame
from manman.ui.streams import Said, Streams

BACKLOG = 1000
CHUNK = 500
# Seconds: without a line at first, the page says that there is none yet; without a further one, the past has been told.
FIRST_LINE = 1.0
PAUSE = 0.15
LONGEST_PAST = 1.5

Coming = asyncio.Queue[list[types.LogLine] | Said | None]


async def console(request: Request) -> Response:
    """`GET /sessions/{id}/console`: lines after `Last-Event-ID` or `after`; without either, the last 1,000 and what comes."""
    around = await frame(request)
    streams: Streams = request.app.state.streams
    said = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    after = int(said) if said.isdecimal() else None
    return streams.reply(spoken(around.client, request.path_params["id"], after))


async def spoken(client: Client, session_id: int, after: int | None) -> AsyncIterator[Said]:
    """`lines` as they come, then `over` with why the stream ended, or `refused` with what the API said."""
    coming: Coming = asyncio.Queue(maxsize=100)
    reader = asyncio.ensure_future(_read(client, session_id, after or 0, coming))
    try:
        more: list[types.LogLine] | Said | None = []
        if after is None:
            past, more = await _past(coming)
            yield Said(name="begin", data={"last": past[-1].n if past else 0, "first": past[0].n if past else 1})
            for at in range(0, len(past), CHUNK):
                yield _lines(past[at : at + CHUNK])
        while more is not None:
            if more:
                yield more if isinstance(more, Said) else _lines(more)
            more = await coming.get()
    finally:
        reader.cancel()


async def _read(client: Client, session_id: int, after: int, coming: Coming) -> None:
    try:
        async for batch in client.stream_logs(session_id, from_=after + 1):
            if batch.lines:
                await coming.put(batch.lines)
            if batch.bye:
                await coming.put(Said(name="over", data={"reason": batch.bye}))
    except ApiError as error:
        await coming.put(Said(name="refused", data={"code": error.refused_code, "detail": error.detail}))
    except ManManError as error:
        await coming.put(Said(name="away", data={"detail": error.detail}))
    await coming.put(None)


async def _past(coming: Coming) -> tuple[list[types.LogLine], list[types.LogLine] | Said | None]:
    """The last 1,000 lines before the first pause, and what came after them: a long session does not travel whole to a browser."""
    kept: deque[types.LogLine] = deque(maxlen=BACKLOG)
    clock = asyncio.get_running_loop().time
    # A game that never pauses must not keep its viewers waiting.
    end = clock() + LONGEST_PAST
    while clock() < end:
        try:
            said = await asyncio.wait_for(coming.get(), PAUSE if kept else FIRST_LINE)
        except TimeoutError:
            return list(kept), []
        if not isinstance(said, list):
            return list(kept), said
        kept.extend(said)
    return list(kept), []


def _lines(lines: list[types.LogLine]) -> Said:
    return Said(name="lines", id=str(lines[-1].n), data=[row(line) for line in lines])


def row(line: types.LogLine) -> list[Any]:
    """[number, clock, stream, pieces] of a line, small enough for 5,000 of them a second."""
    return [line.n, times.clock(line.at.astimezone()) if line.at else "", line.stream, ansi.pieces(line.text)]


async def before(request: Request) -> Response:
    """`GET /sessions/{id}/console/before?n=`: up to 1,000 lines before line n, as JSON rows."""
    around = await frame(request)
    said = request.query_params.get("n", "")
    end = int(said) if said.isdecimal() else 1
    rows = list[list[Any]]()
    async for batch in around.client.stream_logs(
        request.path_params["id"], from_=max(1, end - BACKLOG), until_now=True
    ):
        rows += [row(line) for line in batch.lines if line.n < end]
        if batch.lines and batch.lines[-1].n >= end:
            break
    return JSONResponse(rows, headers={"cache-control": "no-store"})


async def download(request: Request) -> Response:
    """`GET /sessions/{id}/console.txt`: every line that there is, as text without escapes."""
    around = await frame(request)
    number = request.path_params["id"]
    await around.client.get_session(number)

    async def text() -> AsyncIterator[bytes]:
        async for batch in around.client.stream_logs(number, from_=1, until_now=True):
            lines = [f"{one.n} {one.at.isoformat() if one.at else '-'} {ansi.plain(one.text)}\n" for one in batch.lines]
            yield "".join(lines).encode()

    name = f'attachment; filename="session-{number}.txt"'
    return StreamingResponse(
        text(),
        media_type="text/plain; charset=utf-8",
        headers={"content-disposition": name, "cache-control": "no-store"},
    )


async def send(request: Request) -> Response:
    """`POST /sessions/{id}/input`: types one line; JSON tells that it is on its way, or why not."""
    around = await frame(request)
    fields = await forms.checked(request, around)
    line = fields.get("line", "").rstrip("\r\n")
    try:
        await around.client.send_input(request.path_params["id"], line=line)
    except ApiError as error:
        return JSONResponse({"code": error.refused_code, "detail": error.detail}, status_code=error.status)
    return JSONResponse({"line": line, "who": around.who.name}, status_code=202)
