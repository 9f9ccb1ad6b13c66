"""Events: everything that was accepted or noticed, newest first."""

from starlette.requests import Request
from starlette.responses import Response

from manman.client import types
from manman.ui import stories
from manman.ui.frame import frame, page
from manman.ui.lists import asked

SUGGESTED = ('type : "crashed"', "at > -1h", 'type : "host"', "public = true")


async def event_list(request: Request) -> Response:
    """`GET /events`"""
    around = await frame(request)
    reply, wanted = await asked(request, around.client.list_events, types.ListEventsResponse())
    return page(
        around,
        "events.html",
        here="events",
        title="Events",
        crumbs=[("Events", "")],
        scope="*",
        lines=[stories.event_line(event) for event in reply.events],
        reply=reply,
        wanted=wanted,
        suggested=SUGGESTED,
    )
