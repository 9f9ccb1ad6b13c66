"""The overview: what needs somebody, worst first, then deployments, hosts and what happened."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from manman.client import Client, types
from manman.ui import looks, needs, stories, strips
from manman.ui.frame import Frame, frame, page

SHOWN = 50
RECENT_EVENTS = 6
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A deployment in a table."""

    one: types.Deployment
    shown: looks.Shown
    join: types.Endpoint | None
    strip: Markup

    @property
    def address(self) -> str:
        """What players enter, or empty."""
        return stories.address(self.join) if self.join else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the overview was made from."""

    deployments: list[types.Deployment]
    total: int
    hosts: list[types.Host]
    events: list[types.Event]
    crashes: list[types.Session]


async def overview(request: Request) -> Response:
    """`GET /`"""
    around = await frame(request)
    seen = await _look(around)
    if not seen.deployments:
        return page(around, "first.html", here="overview", title="Overview", hosts=seen.hosts, scope="*")
    ordered = looks.worst_first(seen.deployments)
    return page(
        around,
        "overview.html",
        here="overview",
        title="Overview",
        crumbs=[("Overview", "")],
        scope="*",
        needs=needs.worst_first(around, seen.deployments, seen.hosts, seen.crashes),
        counts=looks.counted(seen.deployments),
        players=looks.players(seen.deployments),
        rows=rows(ordered[:SHOWN], seen.events, around.now),
        total=seen.total,
        axis=strips.axis(around.now),
        hosts=[(host, looks.host(host)) for host in sorted(seen.hosts, key=_host_rank)],
        events=[stories.event_line(event) for event in seen.events[:RECENT_EVENTS]],
    )


async def _look(around: Frame) -> Seen:
    client = around.client
    listed, hosts, events, crashes = await asyncio.gather(
        client.list_deployments(page_size=1000, order_by="name"),
        _hosts(around),
        recent_events(client),
        client.list_sessions(filter="status = crashed AND ended_at > -24h", order_by="ended_at desc", page_size=100),
    )
    total = max(listed.total, len(listed.deployments))
    return Seen(
        deployments=listed.deployments, total=total, hosts=hosts, events=events.events, crashes=crashes.sessions
    )


async def _hosts(around: Frame) -> list[types.Host]:
    if not around.may("hosts.view"):
        return []
    return (await around.client.list_hosts(page_size=200, order_by="name")).hosts


async def recent_events(client: Client, more: str = "") -> types.ListEventsResponse:
    """The last hour's events, newest first, at most 1,000."""
    return await client.list_events(filter=f"at > -1h{more}", page_size=1000)


def rows(many: list[types.Deployment], events: list[types.Event], now: datetime) -> list[Row]:
    """Deployments with their strips."""
    marks = strips.marks(events)
    return [
        Row(
            one=one,
            shown=looks.deployment(one).short,
            join=stories.endpoint(one),
            strip=strips.draw(one, marks.get(one.deployment_id, []), now),
        )
        for one in many
    ]


def _host_rank(host: types.Host) -> tuple[int, str]:
    rank = {"stale": 0, "new": 1, "online": 2, "offline": 3}
    return rank.get(host.status or "", 4), host.name.lower()
