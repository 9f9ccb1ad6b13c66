"""Joining: join tokens, and Register.

The machine makes its credentials itself and sends hashes; the reply holds no secret, so a repeat with the same token and
hashes is harmless.
"""

from __future__ import annotations

import binascii
import re
import ssl
from datetime import timedelta
from typing import Any

from manman.api import games, hosts, json, pages
from manman.api.callers import Caller, Kind, hashed, kind_of, make
from manman.api.refusals import Fault, InvalidRequest, invalid, not_found
from manman.api.usecases import use_case
from manman.domain import pins
from manman.domain.ids import HostId
from manman.errors import RefusedError
from manman.events import credentials, topology
from manman.store import host_changes
from manman.store.host_changes import Machine
from manman.store.pool import Connection
from manman.v1 import hosts_pb2 as pb

LASTS = timedelta(hours=1)
LONGEST = timedelta(days=30)
MOST_USES = 1000
PORTS = pb.PortRange(first=27000, last=27999)


@use_case("JoinTokens.CreateJoinToken")
async def create_join_token(request: pb.CreateJoinTokenRequest, caller: Caller, conn: Connection) -> pb.JoinToken:
    lasts = request.valid_for.ToTimedelta() if request.HasField("valid_for") else LASTS
    if not timedelta(seconds=1) <= lasts <= LONGEST:
        raise invalid("/valid_for", "must be between 1s and 30 days")
    if not 0 <= request.uses <= MOST_USES:
        raise invalid("/uses", f"must be between 1 and {MOST_USES}")
    host = request.host_id if request.HasField("host_id") else None
    if host is not None:
        await hosts.load(conn, host, caller)
    token = make(Kind.JOIN_TOKEN, caller.office.chance)
    row = await host_changes.add_token(conn, hashed(token), request.uses or 1, host, caller.said, lasts)
    return json.fill(pb.JoinToken(), {**row, "token": token, "pin": pin_of(caller.office.settings.tls_cert_file)})


def pin_of(certificates: str | None) -> str:
    """The pin of the private authority in the file that the doors present; empty where somebody public vouches for it.

    A public chain ends below its root. Whoever pinned a part of it would be shut out when it is renewed.
    """
    if certificates is None:
        return ""
    chain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    chain.load_verify_locations(cafile=certificates)
    whole = zip(chain.get_ca_certs(), chain.get_ca_certs(binary_form=True), strict=True)
    roots = [der for shown, der in whole if shown["subject"] == shown["issuer"]]
    return pins.fingerprint(roots[-1]) if roots else ""


@use_case("JoinTokens.ListJoinTokens")
async def list_join_tokens(
    request: pb.ListJoinTokensRequest, caller: Caller, conn: Connection
) -> pb.ListJoinTokensResponse:
    rows, token = await pages.numbered(conn, request, "join_tokens", number="join_token_id")
    shown = [json.fill(pb.JoinToken(), dict(row)) for row in rows]
    return pb.ListJoinTokensResponse(join_tokens=shown, next_page_token=token)


@use_case("JoinTokens.RevokeJoinToken")
async def revoke_join_token(
    request: pb.RevokeJoinTokenRequest, caller: Caller, conn: Connection
) -> pb.RevokeJoinTokenResponse:
    if not await host_changes.revoke_token(conn, request.join_token_id):
        raise not_found("join token", request.join_token_id)
    return pb.RevokeJoinTokenResponse()


@use_case("Hosts.RegisterHost")
async def register_host(request: pb.RegisterHostRequest, caller: Caller, conn: Connection) -> pb.RegisterHostResponse:
    office = caller.office
    if office.broker is None and office.settings.rabbitmq_url:
        raise RefusedError(
            "broker_admin_missing", "no host can join: BROKER_ADMIN_URL is not set", hint="set it for the API"
        )
    machine, digest = checked(request)
    token = await _token(request.token, conn)
    host = await _host(machine, digest, token, conn)
    # Idempotent, and before the commit: without a broker the token stays unused.
    if office.broker is not None:
        await office.broker.admit(HostId(host), machine.broker_hash)
    else:
        await office.bus.declare(topology.host(HostId(host)))
    row = await host_changes.lock(conn, host)
    return pb.RegisterHostResponse(
        host_id=host,
        name=row["name"] if row is not None else machine.name,
        rabbitmq_url=office.agent_url,
        vhost=office.vhost,
        broker_user=credentials.user_name(office.vhost, HostId(host)) if office.vhost else "",
    )


def checked(request: pb.RegisterHostRequest) -> tuple[Machine, bytes]:
    """What the machine says, and its host key's hash; raises `invalid_argument` with every fault."""
    faults = []
    if re.fullmatch(r"[0-9a-f]{64}", request.host_key_hash) is None:
        detail = "must be a SHA-256 in hexadecimal"
        faults.append(Fault(pointer="/host_key_hash", detail=detail))
    try:
        size = len(binascii.a2b_base64(request.broker_password_hash, strict_mode=True))
    except binascii.Error:
        size = 0
    if request.broker_password_hash and size != 36:
        detail = "must be RabbitMQ's salted SHA-256 hash, 36 bytes in base64"
        faults.append(Fault(pointer="/broker_password_hash", detail=detail))
    if faults:
        raise InvalidRequest(faults)
    span = request.port_range if request.HasField("port_range") else PORTS
    hosts.checked(list(request.addresses), span)
    machine = Machine(
        name=games.named(request.name),
        labels=dict(request.labels),
        addresses=list(request.addresses),
        port_first=span.first,
        port_last=span.last,
        agent_version=request.agent_version,
        isolation=request.isolation,
        capacity=dict(request.capacity),
        broker_hash=request.broker_password_hash,
    )
    return machine, bytes.fromhex(request.host_key_hash)


async def _token(word: str, conn: Connection) -> Any:
    row = None
    if kind_of(word) is Kind.JOIN_TOKEN:
        row = await host_changes.lock_token(conn, hashed(word))
    if row is None:
        raise RefusedError("unauthenticated", "the join token is not known", hint="make one: manman hosts join-token")
    return row


async def _host(machine: Machine, digest: bytes, token: Any, conn: Connection) -> int:
    known = await host_changes.key(conn, digest)
    if known is not None:
        row = await host_changes.lock(conn, known["host"])
        if known["join_token"] == token["id"] and row is not None and row["broker_hash"] == machine.broker_hash:
            return int(known["host"])
        raise RefusedError("already_exists", "this host key belongs to a host that joined otherwise")
    if not token["valid"] or token["used"] >= token["uses"]:
        raise RefusedError(
            "unauthenticated", "the join token is used or over", hint="make a new one: manman hosts join-token"
        )
    await host_changes.count_token(conn, token["id"])
    host = token["host"]
    if host is not None:
        await host_changes.rejoin(conn, host, machine)
    else:
        host = await host_changes.add(conn, machine)
    if host is None:
        raise RefusedError(
            "already_exists",
            f"there is a host {machine.name} already",
            hint="join under another name (--name), or with a token bound to that host",
        )
    await host_changes.add_key(conn, host, digest, token["id"])
    return int(host)
