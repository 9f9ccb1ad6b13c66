"""Hosts: List, Get, Update, Drain, Undrain, Delete, ListPorts, ListHistory. Joining has a page of its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from manman.api import games, json, masks, pages, shapes
from manman.api.callers import Caller
from manman.api.pages import List
from manman.api.refusals import Fault, InvalidRequest, not_found
from manman.api.usecases import use_case
from manman.domain.ids import HostId
from manman.events.outbox import command
from manman.store import host_changes, listed, power
from manman.store.pool import Connection
from manman.v1 import hosts_pb2 as pb

HOSTS = List(noun=pb.Host.DESCRIPTOR, id="host_id", order="name", query=listed.sql["hosts"])


def host_of(row: Mapping[str, Any]) -> pb.Host:
    """A row of `listed.hosts` as its message."""
    values = {
        **row,
        "port_range": {"first": row["port_first"], "last": row["port_last"]},
        "memory_used_bytes": row["memory_used"],
        "memory_total_bytes": row["memory_total"],
        "disk_used_bytes": row["disk_used"],
        "disk_total_bytes": row["disk_total"],
        "etag": str(row["version"]),
    }
    return json.fill(pb.Host(), values)


async def load(conn: Connection, host: int, caller: Caller) -> pb.Host:
    """One host; raises `not_found`, also for another host's key."""
    row = None
    if caller.host_id in (None, host):
        row = await listed.one(conn, "hosts", "host_id", host, shapes.silence(caller))
    if row is None:
        raise not_found("host", host)
    return host_of(row)


@use_case("Hosts.GetHost")
async def get_host(request: pb.GetHostRequest, caller: Caller, conn: Connection) -> pb.Host:
    return await load(conn, request.host_id, caller)


@use_case("Hosts.ListHosts")
async def list_hosts(request: pb.ListHostsRequest, caller: Caller, conn: Connection) -> pb.ListHostsResponse:
    watch_from = await shapes.watch_from(conn)
    found, token = await HOSTS.page(conn, request, caller.now, shapes.silence(caller))
    hosts = [host_of(row) for row in found.rows]
    return pb.ListHostsResponse(hosts=hosts, next_page_token=token, total=found.total, watch_from=watch_from)


@use_case("Hosts.ListPorts")
async def list_ports(request: pb.ListPortsRequest, caller: Caller, conn: Connection) -> pb.ListPortsResponse:
    await load(conn, request.host_id, caller)
    rows = await listed.rows(conn, "ports_of_host", request.host_id)
    return pb.ListPortsResponse(ports=[json.fill(pb.Port(), dict(row)) for row in rows])


@use_case("Hosts.ListHostHistory")
async def list_host_history(
    request: pb.ListHostHistoryRequest, caller: Caller, conn: Connection
) -> pb.ListHostHistoryResponse:
    await load(conn, request.host_id, caller)
    rows, token = await pages.numbered(conn, request, "host_history", request.host_id)
    return pb.ListHostHistoryResponse(transitions=shapes.transitions(rows), next_page_token=token)


def checked(addresses: list[str], port_range: pb.PortRange) -> None:
    """Raises `invalid_argument` for an address that is none, or an impossible range; every fault."""
    faults = []
    for index, address in enumerate(addresses):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            # A name is fine where people use one: it is only shown.
            if not address or len(address) > 253 or any(c.isspace() or c == "/" for c in address):
                faults.append(Fault(pointer=f"/addresses/{index}", detail=f"{address!r} is no address or name"))
    if not 1 <= port_range.first <= port_range.last <= 65535:
        detail = "must be two numbers between 1 and 65535, the first not above the last"
        faults.append(Fault(pointer="/port_range", detail=detail))
    if faults:
        raise InvalidRequest(faults)


@use_case("Hosts.UpdateHost")
async def update_host(request: pb.UpdateHostRequest, caller: Caller, conn: Connection) -> pb.Host:
    key = request.host_id
    locked = await host_changes.lock(conn, key)
    if locked is None:
        raise not_found("host", key)
    masks.must_match(request.etag, locked["version"], f"host {locked['name']}")
    before = await load(conn, key, caller)
    after = masks.patched(before, request.host, request.update_mask.paths)
    if after == before:
        return before
    checked(list(after.addresses), after.port_range)
    span = (after.port_range.first, after.port_range.last)
    version = await host_changes.change(conn, key, games.named(after.name), after.labels, after.addresses, span)
    if version is None:
        raise games.taken("host", after.name)
    made: pb.Host = games.noted(caller, before, await load(conn, key, caller))
    return made


async def _drain(host: int, draining: bool, caller: Caller, conn: Connection) -> pb.Host:
    locked = await host_changes.lock(conn, host)
    if locked is None:
        raise not_found("host", host)
    present = await load(conn, host, caller)
    if present.draining == draining:
        return present
    version = await host_changes.set_draining(conn, host, draining)
    told = command(
        HostId(host), "host", now=caller.now, chance=caller.office.chance, host_version=version, draining=draining
    )
    await power.tell(conn, [told])
    return await load(conn, host, caller)


@use_case("Hosts.DrainHost")
async def drain_host(request: pb.DrainHostRequest, caller: Caller, conn: Connection) -> pb.Host:
    return await _drain(request.host_id, True, caller, conn)


@use_case("Hosts.UndrainHost")
async def undrain_host(request: pb.UndrainHostRequest, caller: Caller, conn: Connection) -> pb.Host:
    return await _drain(request.host_id, False, caller, conn)


@use_case("Hosts.DeleteHost")
async def delete_host(request: pb.DeleteHostRequest, caller: Caller, conn: Connection) -> pb.DeleteHostResponse:
    locked = await host_changes.lock(conn, request.host_id)
    if locked is None:
        raise not_found("host", request.host_id)
    masks.must_match(request.etag, locked["version"], f"host {locked['name']}")
    use = await host_changes.use_of(conn, request.host_id)
    if use is not None:
        raise games.in_use("host", locked["name"], use)
    await host_changes.delete(conn, request.host_id)
    if caller.office.broker is not None:
        await caller.office.broker.dismiss(HostId(request.host_id), with_queue=True)
    return pb.DeleteHostResponse()
