"""Hosts: the list, and a host with its games, its machine and what happened to it."""

import asyncio

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from manman.client import types
from manman.ui import forms, looks, overview, stories, words
from manman.ui.frame import Frame, frame, page
from manman.ui.lists import asked

SUGGESTED = ("status = stale", "draining = true", "last_seen > -1h")


async def host_list(request: Request) -> Response:
    """`GET /hosts`"""
    around = await frame(request)
    reply, wanted = await asked(request, around.client.list_hosts, types.ListHostsResponse(), order_by="name")
    return page(
        around,
        "hosts.html",
        here="hosts",
        title="Hosts",
        crumbs=[("Hosts", "")],
        scope="*",
        hosts=[(one, looks.host(one)) for one in reply.hosts],
        reply=reply,
        wanted=wanted,
        suggested=SUGGESTED,
    )


async def host(request: Request) -> Response:
    """`GET /hosts/{id}`"""
    around = await frame(request)
    number = request.path_params["id"]
    client = around.client
    one, games, ports, history = await asyncio.gather(
        client.get_host(number),
        client.list_deployments(filter=f"host_id = {number}", order_by="name", page_size=200),
        client.list_ports(number),
        client.list_host_history(number, page_size=200),
    )
    return page(
        around,
        "host.html",
        here="hosts",
        title=one.name,
        crumbs=[("Hosts", "/hosts"), (one.name, "")],
        scope=f"host:{number}",
        one=one,
        shown=looks.host(one),
        silent=one.status in ("stale", "offline"),
        whose_fault=whose_fault(around, one),
        games=overview.rows(games.deployments, [], around.now),
        ports=ports.ports,
        steps=stories.steps(history.transitions, words.HOST)[:30],
        may_edit=around.may("hosts.edit"),
    )


def whose_fault(around: Frame, one: types.Host) -> str:
    """On whose side a silence most likely is: told by whether others are heard."""
    seen = around.installation
    if one.status != "stale":
        return ""
    if seen.deaf_since is not None:
        return "the control plane hears nobody, so the fault is most likely on its side"
    heard = seen.hosts.get("online", 0)
    if heard:
        others = "1 other host is" if heard == 1 else f"{heard} other hosts are"
        return f"{others} heard, so the fault is most likely on {one.name}'s side"
    return "no other host is heard; look at the network between them first"


async def drain(request: Request) -> Response:
    """`POST /hosts/{id}/drain` and `/undrain`: takes no new session, or takes them again."""
    around = await frame(request)
    await forms.checked(request, around)
    number, act = request.path_params["id"], request.path_params["act"]
    call = around.client.drain_host if act == "drain" else around.client.undrain_host
    await call(number)
    return RedirectResponse(f"/hosts/{number}", status_code=303)
