"""The wish, as every power command sets it: one way for Start, Stop, Restart and Kill.

What follows where one session follows another is the host's affair: this starts a session only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from manman.api.callers import Caller
from manman.api.refusals import not_found
from manman.domain import deployments
from manman.domain.deployments import Deployment, Install
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Moved, Said, Session, Status
from manman.domain.wishes import EPOCH
from manman.errors import RefusedError
from manman.events import announce
from manman.events.contracts import Verb
from manman.events.outbox import OutboxRow, command
from manman.store import batches, power
from manman.store.pool import Connection
from manman.store.save import Changes, save


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A locked deployment and how it stands: `sessions` its live one and the one asked about, locked too, and `host` as read
    after the locks."""

    deployment: Deployment
    sessions: Mapping[SessionId, Session]
    host: Any

    @property
    def id(self) -> DeploymentId:
        return self.deployment.id

    @property
    def host_id(self) -> HostId:
        return self.deployment.host_id

    @property
    def live(self) -> Session | None:
        """Its live session."""
        return next((session for session in self.sessions.values() if not session.is_final), None)

    @property
    def above(self) -> int:
        """Every version of an earlier epoch is at most this."""
        return int(self.host["epoch"]) * EPOCH

    @property
    def next_version(self) -> int:
        """The version after this one; above every one of an earlier epoch."""
        return deployments.next_version(self.deployment, above=self.above)


async def locked(conn: Connection, deployment: int, session: int | None = None) -> Wanted:
    """A deployment, locked, and how it stands; `session` is one of its sessions that is asked about. Raises `not_found`."""
    key = DeploymentId(deployment)
    row = (await batches.lock_deployments(conn, [key], ())).get(key)
    if row is None:
        raise not_found("deployment", deployment)
    asked = () if session is None else (SessionId(session),)
    sessions = await batches.lock_sessions(conn, asked, [key])
    return Wanted(deployment=row, sessions=sessions, host=await power.standing(conn, row.host_id))


def must_start(wanted: Wanted) -> None:
    """Raises why a start is refused: the deployment, or its host."""
    row, host = wanted.deployment, wanted.host
    if row.suspended or row.status is not Install.READY:
        state = "suspended" if row.suspended else row.status.value
        raise RefusedError(
            "deployment_not_ready",
            f"deployment {row.name} is {state}",
            hint="wait until it is ready, or install it again" if not row.suspended else "resume it first",
            deployment_id=row.id,
            status=state,
        )
    if not host["online"]:
        since = f"silent since {host['last_seen']:%Y-%m-%d %H:%M:%S} UTC" if host["last_seen"] else "never heard"
        raise RefusedError(
            "host_offline",
            f"host {host['name']} is offline ({since})",
            hint="start its agent with `manman host`, or deploy to another host",
            host_id=host["host"],
        )
    if host["unheard"]:
        raise RefusedError(
            "host_offline",
            f"host {host['name']} has not said yet what it runs, since the database was restored",
            hint="it is asked for it; try again in a few seconds",
            host_id=host["host"],
        )
    if host["draining"]:
        raise RefusedError(
            "host_draining",
            f"host {host['name']} is draining and takes no new session",
            hint="undrain it, or deploy to another host",
            host_id=host["host"],
        )


async def begin(wanted: Wanted, caller: Caller, conn: Connection, *, fresh: bool) -> int:
    """Starts: the wish is running, and a pending session waits for its host. Returns its id; raises `session_live`."""
    must_start(wanted)
    if wanted.live is not None:
        raise live(wanted.deployment.name, wanted.live.id)
    deadline = timedelta(seconds=caller.office.settings.start_deadline_seconds)
    wished = deployments.wished(wanted.deployment, Desired.RUNNING, fresh=fresh, above=wanted.above)
    run = deployments.next_run(wished)
    pending = await _pending(wished, run, wanted.host["now"], caller, conn)
    said = Said(status=Status.PENDING, at=pending.at, cause=caller.said, trace_id=caller.trace_id or None)
    moved = Moved(before=None, after=pending, said=said)
    names = (await batches.deployment_names(conn, [wanted.id]))[wanted.id]
    start = told(
        wished,
        caller,
        "start",
        session_id=pending.id,
        run=run,
        deployment_version=wished.version,
        within=deadline.total_seconds(),
        ttl=deadline,
    )
    changes = Changes(
        deadline=deadline,
        deployments=[replace(wished, last_session=pending.id)],
        inserted=[pending],
        moved=[moved],
        messages=[announce.session_moved(moved, names, pending.at, caller.office.chance), start],
    )
    await save(conn, changes)
    return pending.id


async def _pending(wished: Deployment, run: int, now: datetime, caller: Caller, conn: Connection) -> Session:
    return Session(
        id=await power.next_session(conn),
        deployment_id=wished.id,
        host_id=wished.host_id,
        status=Status.PENDING,
        desired=Desired.RUNNING,
        run=run,
        number=1,
        at=now,
        begun_version=wished.desired_version,
        previous_session_id=wished.last_session,
        cause=caller.said,
        created_at=now,
    )


def live(deployment: str, session: int) -> RefusedError:
    """`session_live`, with the id of the session."""
    return RefusedError(
        "session_live",
        f"session {session} of deployment {deployment} is live",
        hint="stop it first, or restart it",
        session_id=session,
    )


def told(
    deployment: Deployment, caller: Caller, verb: Verb, *, ttl: timedelta | None = None, **fields: Any
) -> OutboxRow:
    """A command to the deployment's host that carries its wish."""
    return command(
        deployment.host_id,
        verb,
        now=caller.now,
        chance=caller.office.chance,
        ttl=ttl,
        deployment_id=deployment.id,
        desired=deployment.desired.value,
        desired_version=deployment.desired_version,
        fresh_version=deployment.fresh_version,
        **fields,
    )


async def stop(
    wanted: Wanted,
    caller: Caller,
    conn: Connection,
    *,
    verb: Literal["stop", "kill"],
    grace: timedelta | None = None,
) -> bool:
    """The wish is stopped. Whether anything had to be said: a wish that is stopped already is not repeated, but by Kill."""
    live, before = wanted.live, wanted.deployment
    # Where a restored database has not heard the host yet, what the row wishes is what was wished once.
    known = before.desired is Desired.STOPPED and not wanted.host["unheard"]
    is_again = known and (live is None or (verb == "stop" and grace is None))
    if is_again:
        await _write(caller, conn, ends=live)
        return False
    after = deployments.wished(before, Desired.STOPPED, above=wanted.above)
    fields: dict[str, Any] = {"session_id": live.id} if live is not None else {}
    if grace is not None:
        fields["grace"] = grace.total_seconds()
    await _write(caller, conn, ends=live, wished=after, message=told(after, caller, verb, **fields))
    return True


async def restart(wanted: Wanted, caller: Caller, conn: Connection) -> int:
    """The host ends what lives and begins the next, with the newest launch; with nothing live it is a start. Returns the
    session that is ended, or the new one."""
    live = wanted.live
    if live is None:
        return await begin(wanted, caller, conn, fresh=True)
    must_start(wanted)
    # This run is told to stop: so it may, also where it has not come up yet. What follows is the deployment's wish.
    after = deployments.wished(wanted.deployment, Desired.RUNNING, fresh=True, above=wanted.above)
    message = told(after, caller, "restart", session_id=live.id, deployment_version=after.version)
    await _write(caller, conn, ends=live, wished=after, message=message)
    return live.id


async def _write(
    caller: Caller,
    conn: Connection,
    *,
    ends: Session | None,
    wished: Deployment | None = None,
    message: OutboxRow | None = None,
) -> None:
    changes = Changes(
        deadline=timedelta(seconds=caller.office.settings.start_deadline_seconds),
        updated=[replace(ends, desired=Desired.STOPPED)] if ends is not None else [],
        deployments=[wished] if wished is not None else [],
        messages=[message] if message is not None else [],
    )
    await save(conn, changes)
