"""What stands around every page: who visits, what may be seen, how the installation is, and the server's time."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse

from manman.client import Client, types
from manman.errors import Unavailable
from manman.ui.render import Pages
from manman.ui.settings import Settings
from manman.ui.visitor import THEMES, Visitor, Visitors, single_keys, theme_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the navigation. `count` stands beside it, in tone where something is wrong."""

    key: str
    href: str
    icon: str
    word: str
    count: str = ""
    tone: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One request's surroundings. `now` is the database's clock, by which all ages are counted."""

    request: Request
    visitor: Visitor
    who: types.WhoAmIResponse
    installation: types.Installation
    now: datetime

    @property
    def client(self) -> Client:
        """The API as the visitor."""
        return self.visitor.client

    def may(self, permission: str) -> bool:
        """Whether the visitor holds a permission for the installation; the API decides, this only hides what it would refuse."""
        return permission in self.who.permissions or "*" in self.who.permissions

    @property
    def navigation(self) -> list[Entry]:
        """The entries that this visitor has."""
        seen = self.installation
        entries = [Entry(key="overview", href="/", icon="overview", word="Overview"), _deployments(seen)]
        if self.may("hosts.view"):
            entries.append(_hosts(seen))
        return [
            *entries,
            Entry(key="sessions", href="/sessions", icon="sessions", word="Sessions"),
            Entry(key="events", href="/events", icon="events", word="Events"),
        ]


def _deployments(seen: types.Installation) -> Entry:
    total = sum(seen.deployments.values())
    return Entry(
        key="deployments",
        href="/deployments",
        icon="deployments",
        word="Deployments",
        count=str(total) if total else "",
    )


def _hosts(seen: types.Installation) -> Entry:
    total, silent = sum(seen.hosts.values()), seen.hosts.get("stale", 0)
    entry = {"key": "hosts", "href": "/hosts", "icon": "hosts", "word": "Hosts"}
    if silent:
        return Entry(**entry, count=f"{silent} of {total}", tone="bad", sign="silent")
    return Entry(**entry, count=str(total) if total > 1 else "")


async def frame(request: Request) -> Frame:
    """Asks the API who this is and how the installation is. Raises what the API said; `unauthenticated` for strangers."""
    visitors: Visitors = request.app.state.visitors
    visitor = visitors.of(request)
    if visitor is None:
        visitor = Visitor(token="", client=visitors.client(""))
    await visitors.trim()
    who, installation = await asyncio.gather(visitor.client.who_am_i(), visitor.client.get_installation())
    if installation.time is None:
        raise Unavailable("the API told no time, so nothing on this page would have an age")
    return Frame(request=request, visitor=visitor, who=who, installation=installation, now=installation.time)


NAMES: Final = {"system": "As the system", "light": "Light", "dark": "Dark", "oled": "Black"}


def page(around: Frame, template: str, /, *, here: str, title: str, status: int = 200, **given: Any) -> HTMLResponse:
    """A whole page. `here` is the entry of the navigation that it belongs to; `scope` says which events change it."""
    state = around.request.app.state
    pages: Pages = state.pages
    settings: Settings = state.settings
    text = pages.render(
        template,
        frame=around,
        settings=settings,
        here=here,
        title=title,
        now=around.now,
        local=around.now.astimezone(),
        form_token=around.visitor.form_token,
        theme=theme_of(around.request),
        themes=[(theme, NAMES[theme]) for theme in THEMES],
        keys_on=single_keys(around.request),
        path=around.request.url.path + (f"?{around.request.url.query}" if around.request.url.query else ""),
        **({"scope": "", "crumbs": []} | given),
    )
    return HTMLResponse(text, status_code=status, headers={"cache-control": "no-store"})
