"""The rows of one batch of the event path: locked in the order of the house, and read as the rules want them.

Each function is one statement; within a transaction they are called in the order heartbeats, journals, session leases,
deployments, sessions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from manman.domain import endpoints
from manman.domain.deployments import Deployment, Install
from manman.domain.hosts import Heard
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.ranges import Ranges, merged
from manman.domain.sessions import Desired, Session, Status
from manman.events.announce import HostNames, SessionNames
from manman.events.contracts import Endpoint
from manman.store.pool import Connection
from manman.store.sql import load

sql = load(__name__)


class _SessionRow(Session, frozen=True, kw_only=True, array_like=True):
    """A session as the statements answer: its fields in their order."""


class _HeardRow(Heard, frozen=True, kw_only=True, array_like=True):
    """A host's liveness likewise."""


class _Port(msgspec.Struct, frozen=True, array_like=True):
    name: str
    protocol: str
    port: int
    address: str
    mask: int


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """What the nouns around a session or a deployment (`of`) are called."""

    of: int
    game: str
    config: str
    config_revision: int
    deployment: str
    host: str
    labels: dict[str, str] | None
    addresses: list[str]
    withhold_tail: bool
    join_url: str | None
    ports: list[_Port] | None


_SESSIONS = msgspec.json.Decoder(list[_SessionRow])
_HEARD = msgspec.json.Decoder(list[_HeardRow])
_DEPLOYMENTS = msgspec.json.Decoder(list[Deployment])
_NAMES = msgspec.json.Decoder(list[_Named])
_SEEN = msgspec.json.Decoder(list[tuple[int, str, tuple[tuple[int, int], ...] | None]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """Journals and what is settled of each, locked; hosts that exist and how they were heard; the database's clock."""

    now: datetime
    hosts: dict[HostId, Heard]
    seen: dict[tuple[HostId, str], Ranges]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Locked sessions, deployments of which something new was heard, and the names that were wanted."""

    sessions: dict[SessionId, Session]
    deployments: dict[DeploymentId, Deployment]
    names: dict[SessionId, SessionNames]


async def read_hosts(conn: Connection, hosts: Collection[HostId]) -> tuple[dict[HostId, Heard], datetime]:
    """Which of these hosts exist and how they were heard, unlocked; and the database's clock."""
    rows = await conn.fetch(sql["read_hosts"], sorted(hosts))
    now: datetime = rows[0]["now"] if rows else await conn.fetchval(sql["now"])
    return {HostId(r["host"]): heard_of(r) for r in rows}, now


async def lock_hosts(conn: Connection, hosts: Collection[HostId]) -> dict[HostId, Heard]:
    """The liveness rows of these hosts, made where missing, locked."""
    listed = sorted(hosts)
    await conn.execute(sql["make_heartbeats"], listed)
    return {HostId(r["host"]): heard_of(r) for r in await conn.fetch(sql["lock_hosts"], listed)}


def heard_of(row: Any) -> Heard:
    """A liveness row as a value."""
    return Heard(
        host_id=HostId(row["host"]),
        online=row["online"],
        boot=row["boot"],
        beat=row["beat"],
        last_seen=row["last_seen"],
        returned_at=row["returned_at"],
        asked_at=row["asked_at"],
        journal=row["journal"],
    )


async def lock_journals(conn: Connection, journals: Collection[tuple[HostId, str]], hosts: Collection[HostId]) -> Inbox:
    """The settled numbers of these journals, made where missing, locked, of hosts that exist; and how these hosts were heard,
    unlocked, with the database's clock."""
    listed = sorted(journals)
    found = await _inbox(conn, listed, hosts)
    missing = [j for j in listed if j not in found.seen and j[0] in found.hosts]
    if missing:
        await conn.execute(sql["make_journals"], [h for h, _ in missing], [n for _, n in missing])
        found = await _inbox(conn, listed, hosts)
    return found


async def _inbox(conn: Connection, journals: list[tuple[HostId, str]], hosts: Collection[HostId]) -> Inbox:
    row = await conn.fetchrow(sql["lock_journals"], [h for h, _ in journals], [n for _, n in journals], sorted(hosts))
    heard = _HEARD.decode(row["hosts"] or "[]")
    return Inbox(
        now=row["now"],
        hosts={h.host_id: h for h in heard},
        seen={(HostId(h), j): ranges or () for h, j, ranges in _SEEN.decode(row["journals"] or "[]")},
    )


async def holed_journals(conn: Connection, hosts: Collection[HostId]) -> dict[tuple[HostId, str], int]:
    """Journals of these hosts from which something is missing, unlocked, and how far each is known to go."""
    rows = await conn.fetch(sql["holed_journals"], sorted(hosts))
    return {(HostId(r["host"]), r["journal"]): r["last"] for r in rows}


async def leased_to(conn: Connection, ids: Collection[SessionId]) -> dict[SessionId, HostId]:
    """Whose lease holds these session ids; those of no lease are left out."""
    return {SessionId(r["id"]): HostId(r["host"]) for r in await conn.fetch(sql["leased_to"], sorted(ids))}


async def last_id(conn: Connection) -> int:
    """The last session id that was ever given; 0 before the first."""
    number: int = await conn.fetchval(sql["last_id"])
    return number


async def deployments_of_live(conn: Connection, hosts: Collection[HostId]) -> set[DeploymentId]:
    """The deployments of the live sessions of these hosts, unlocked."""
    return {DeploymentId(r["deployment"]) for r in await conn.fetch(sql["deployments_of_live"], sorted(hosts))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """The unused session ids of a host, and how many deployments are on it. `unheard`: it has not reported since the database was
    restored, so that the ids are those of before."""

    ids: Ranges
    deployments: int
    unheard: bool


async def lock_leases(conn: Connection, hosts: Collection[HostId]) -> dict[HostId, Leased]:
    """What these hosts have leased, locked."""
    rows = await conn.fetch(sql["lock_leases"], sorted(hosts))
    return {
        HostId(r["host"]): Leased(ids=ranges_of(r["ids"]), deployments=r["deployments"], unheard=r["unheard"])
        for r in rows
    }


async def lock_deployments(
    conn: Connection, deployments: Collection[DeploymentId], sessions: Collection[SessionId]
) -> dict[DeploymentId, Deployment]:
    """These deployments, and those of these sessions, locked."""
    rows = await conn.fetch(sql["lock_deployments"], sorted(deployments), sorted(sessions))
    return {DeploymentId(r["id"]): deployment_of(r) for r in rows}


async def lock_sessions(
    conn: Connection, sessions: Collection[SessionId], live_of: Collection[DeploymentId] = ()
) -> dict[SessionId, Session]:
    """These sessions and the live ones of these deployments, locked."""
    return (await lock_rows(conn, sessions, live_of)).sessions


async def lock_rows(
    conn: Connection,
    sessions: Collection[SessionId],
    live_of: Collection[DeploymentId] = (),
    live_on: Collection[HostId] = (),
    *,
    heard: Collection[tuple[SessionId, int | None]] = (),
    named: Collection[SessionId] = (),
) -> Rows:
    """These sessions, the live ones of these deployments and the live ones on these hosts, locked.

    `heard` are sessions that their hosts spoke of, with the wishes that they said they hold, if any: where that is news, or that they
    have taken it, the session's deployment comes with it, locked before. `named` are those whose names are wanted.
    """
    told = sorted(heard, key=lambda one: (one[0], one[1] or 0))
    row = await conn.fetchrow(
        sql["lock_sessions"],
        sorted(sessions),
        sorted(live_of),
        sorted(live_on),
        [s for s, _ in told],
        [v for _, v in told],
        sorted(named),
    )
    return Rows(
        sessions={s.id: s for s in _SESSIONS.decode(row["sessions"] or "[]")},
        deployments={d.id: d for d in _DEPLOYMENTS.decode(row["deployments"] or "[]")},
        names={SessionId(n.of): _names_of(n) for n in _NAMES.decode(row["names"] or "[]")},
    )


async def live_on_hosts(conn: Connection, hosts: Collection[HostId]) -> list[Session]:
    """The live sessions of these hosts, unlocked."""
    return [session_of(r) for r in await conn.fetch(sql["live_on_hosts"], sorted(hosts))]


async def lock_live_on_hosts(conn: Connection, hosts: Collection[HostId]) -> list[Session]:
    """The same, and they stay as they are until the commit: what is said of them now follows what was said before."""
    return [session_of(r) for r in await conn.fetch(sql["live_on_hosts"] + " FOR SHARE", sorted(hosts))]


async def session_names(conn: Connection, sessions: Collection[SessionId]) -> dict[SessionId, SessionNames]:
    """What the nouns around these sessions are called, and where players join."""
    rows = _NAMES.decode(await conn.fetchval(sql["session_names"], sorted(sessions)) or "[]")
    return {SessionId(r.of): _names_of(r) for r in rows}


async def deployment_names(conn: Connection, deployments: Collection[DeploymentId]) -> dict[DeploymentId, SessionNames]:
    """The same for a session that a deployment would begin now."""
    rows = _NAMES.decode(await conn.fetchval(sql["deployment_names"], sorted(deployments)) or "[]")
    return {DeploymentId(r.of): _names_of(r) for r in rows}


async def host_names(conn: Connection, hosts: Collection[HostId]) -> dict[HostId, HostNames]:
    """What these hosts are called."""
    rows = await conn.fetch(sql["host_names"], sorted(hosts))
    return {
        HostId(r["id"]): HostNames(name=r["name"], labels=r["labels"], agent_version=r["agent_version"] or None)
        for r in rows
    }


def ranges_of(multirange: Any) -> Ranges:
    """A multirange of whole numbers as inclusive pairs."""
    return merged((r.lower, r.upper - 1) for r in multirange)


def deployment_of(row: Any) -> Deployment:
    """A deployment's row, its columns named as the value's fields, as a value."""
    values = dict(row.items())
    values["status"] = Install(values["status"])
    values["desired"] = Desired(values["desired"])
    return Deployment(**values)


def session_of(row: Any) -> Session:
    """A session's row, its columns named as the value's fields, as a value."""
    values = dict(row.items())
    values["status"] = Status(values["status"])
    values["desired"] = Desired(values["desired"])
    return Session(**values)


def _names_of(row: _Named) -> SessionNames:
    return SessionNames(
        game=row.game,
        config=row.config,
        config_revision=row.config_revision,
        deployment=row.deployment,
        host=row.host,
        labels=row.labels or {},
        withhold_tail=row.withhold_tail,
        endpoints=_endpoints_of(row) if row.ports else (),
    )


def _endpoints_of(row: _Named) -> tuple[Endpoint, ...]:
    placed = row.ports or []
    shown = endpoints.for_players(port.name for port in placed)
    ports = [port for port in placed if port.name in shown]
    main = endpoints.main_port([port.name for port in ports])
    joined = (
        endpoints.endpoint(
            port.name,
            port.protocol,
            port.address if port.mask else "",
            port.port,
            row.addresses,
            row.join_url,
            main=port.name == main,
        )
        for port in ports
    )
    return tuple(
        Endpoint(name=e.name, protocol=e.protocol, address=e.address, port=e.port, join_url=e.join_url or None)
        for e in joined
    )
