"""The rows of one batch of the event path: locked in the order of the house, and read as the rules want them.

Each function is one statement; within a transaction they are called in the order heartbeats, journals, session leases,
deployments, sessions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

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
    )


async def lock_journals(conn: Connection, journals: Collection[tuple[HostId, str]]) -> dict[tuple[HostId, str], Ranges]:
    """The settled numbers of these journals, made where missing, locked; of hosts that exist."""
    listed = sorted(journals)
    hosts, names = [h for h, _ in listed], [n for _, n in listed]
    rows = await conn.fetch(sql["lock_journals"], hosts, names)
    if len(rows) < len(listed):
        await conn.execute(sql["make_journals"], hosts, names)
        rows = await conn.fetch(sql["lock_journals"], hosts, names)
    return {(HostId(r["host"]), r["journal"]): ranges_of(r["seen"]) for r in rows}


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


async def count_deployments(conn: Connection, hosts: Collection[HostId]) -> dict[HostId, int]:
    """How many deployments are on each of these hosts; those without any are left out."""
    return {HostId(r["host"]): r["many"] for r in await conn.fetch(sql["count_deployments"], sorted(hosts))}


async def lock_leases(conn: Connection, hosts: Collection[HostId]) -> dict[HostId, Ranges]:
    """The unused session ids of these hosts, locked."""
    return {HostId(r["host"]): ranges_of(r["ids"]) for r in await conn.fetch(sql["lock_leases"], sorted(hosts))}


async def lock_deployments(
    conn: Connection, deployments: Collection[DeploymentId], sessions: Collection[SessionId]
) -> dict[DeploymentId, Deployment]:
    """These deployments, and those of these sessions, locked."""
    rows = await conn.fetch(sql["lock_deployments"], sorted(deployments), sorted(sessions))
    return {DeploymentId(r["id"]): deployment_of(r) for r in rows}


async def lock_sessions(
    conn: Connection,
    sessions: Collection[SessionId],
    live_of: Collection[DeploymentId] = (),
    live_on: Collection[HostId] = (),
) -> dict[SessionId, Session]:
    """These sessions, the live ones of these deployments and the live ones on these hosts, locked."""
    rows = await conn.fetch(sql["lock_sessions"], sorted(sessions), sorted(live_of), sorted(live_on))
    return {SessionId(r["id"]): session_of(r) for r in rows}


async def live_on_hosts(conn: Connection, hosts: Collection[HostId]) -> list[Session]:
    """The live sessions of these hosts, unlocked."""
    return [session_of(r) for r in await conn.fetch(sql["live_on_hosts"], sorted(hosts))]


async def session_names(conn: Connection, sessions: Collection[SessionId]) -> dict[SessionId, SessionNames]:
    """What the nouns around these sessions are called, and where players join."""
    rows = await conn.fetch(sql["session_names"], sorted(sessions))
    return {SessionId(r["id"]): _names_of(r) for r in rows}


async def deployment_names(conn: Connection, deployments: Collection[DeploymentId]) -> dict[DeploymentId, SessionNames]:
    """The same for a session that a deployment would begin now."""
    rows = await conn.fetch(sql["deployment_names"], sorted(deployments))
    return {DeploymentId(r["id"]): _names_of(r) for r in rows}


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


def _names_of(row: Mapping[str, Any]) -> SessionNames:
    placed = row["ports"] or []
    shown = endpoints.for_players(port["name"] for port in placed) if placed else ()
    ports = [port for port in placed if port["name"] in shown]
    main = endpoints.main_port([port["name"] for port in ports])
    joined = [
        endpoints.endpoint(
            port["name"],
            port["protocol"],
            port["address"] if port["mask"] else "",
            port["port"],
            row["addresses"],
            row["join_url"],
            main=port["name"] == main,
        )
        for port in ports
    ]
    return SessionNames(
        game=row["game"],
        config=row["config"],
        config_revision=row["config_revision"],
        deployment=row["deployment"],
        host=row["host"],
        labels=row["labels"] or {},
        withhold_tail=row["withhold_tail"],
        endpoints=tuple(
            Endpoint(name=e.name, protocol=e.protocol, address=e.address, port=e.port, join_url=e.join_url or None)
            for e in joined
        ),
    )
