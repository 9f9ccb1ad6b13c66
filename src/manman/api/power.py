"""The wish, as every power command sets it: one way for Start, Stop, Restart and Kill.

What follows where one session follows another is the host's affair: this starts a session only when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from manman.api import shapes
from manman.api.callers import Caller
from manman.api.refusals import not_found
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Moved, Said, Session, Status
from manman.domain.wishes import EPOCH
from manman.errors import RefusedError
from manman.events import announce
from manman.events.announce import SessionNames
from manman.events.contracts import Endpoint, Verb
from manman.events.outbox import OutboxRow, command
from manman.store import power
from manman.store.pool import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A locked deployment and how it stands: `row` as locked, `host` as read after the lock."""

    row: Any
    host: Any

    @property
    def id(self) -> DeploymentId:
        return DeploymentId(self.row["id"])

    @property
    def host_id(self) -> HostId:
        return HostId(self.row["host"])

    @property
    def next_version(self) -> int:
        """The version after this one; above every one of an earlier epoch."""
        return int(max(self.row["desired_version"], self.host["epoch"] * EPOCH)) + 1


async def locked(conn: Connection, deployment: int) -> Wanted:
    """A deployment, locked, and how it stands; raises `not_found`."""
    row = await power.lock_deployment(conn, deployment)
    if row is None:
        raise not_found("deployment", deployment)
    return Wanted(row=row, host=await power.standing(conn, row["host"], row["id"]))


def must_start(wanted: Wanted) -> None:
    """Raises why a start is refused: the deployment, or its host."""
    row, host = wanted.row, wanted.host
    if row["suspended"] or row["status"] != "ready":
        state = "suspended" if row["suspended"] else row["status"]
        raise RefusedError(
            "deployment_not_ready",
            f"deployment {row['name']} is {state}",
            hint="wait until it is ready, or install it again" if not row["suspended"] else "resume it first",
            deployment_id=row["id"],
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
    if wanted.host["live"] is not None:
        raise live(wanted.row["name"], wanted.host["live"])
    version = wanted.next_version
    raised = version if fresh else wanted.row["fresh_version"]
    run = int(max(wanted.row["last_run"], wanted.host["last_run"])) + 1
    deadline = timedelta(seconds=caller.office.settings.start_deadline_seconds)
    session = await power.add_session(
        conn, wanted.row, run=run, version=version, cause=caller.said, deadline=deadline, trace_id=caller.trace_id
    )
    if session is None:
        raise live(wanted.row["name"], (await power.standing(conn, wanted.row["host"], wanted.row["id"]))["live"])
    await power.set_wish(conn, wanted.id, "running", version, raised)
    start = told(
        wanted,
        caller,
        "start",
        wish=("running", version, raised),
        session_id=SessionId(session),
        run=run,
        deployment_version=wanted.row["version"],
        within=deadline.total_seconds(),
        ttl=deadline,
    )
    moved = await _announced(wanted, caller, conn, session=session, run=run, version=version)
    await power.tell(conn, [moved, start])
    return session


def live(deployment: str, session: int | None) -> RefusedError:
    """`session_live`, with the id of the session."""
    return RefusedError(
        "session_live",
        f"session {session} of deployment {deployment} is live",
        hint="stop it first, or restart it",
        session_id=session,
    )


async def _announced(
    wanted: Wanted, caller: Caller, conn: Connection, *, session: int, run: int, version: int
) -> OutboxRow:
    now = caller.now
    pending = Session(
        id=SessionId(session),
        deployment_id=wanted.id,
        host_id=wanted.host_id,
        status=Status.PENDING,
        desired=Desired.RUNNING,
        run=run,
        number=1,
        at=now,
        begun_version=version,
        cause=caller.said,
        created_at=now,
    )
    said = Said(status=Status.PENDING, at=now, cause=caller.said, trace_id=caller.trace_id or None)
    moved = Moved(before=None, after=pending, said=said)
    return announce.session_moved(moved, await session_names(conn, wanted), now, caller.office.chance)


async def session_names(conn: Connection, wanted: Wanted) -> SessionNames:
    """What the nouns around a deployment's session are called."""
    row: Mapping[str, Any] = await power.names(conn, wanted.id)
    return SessionNames(
        game=row["game"],
        config=row["config"],
        config_revision=wanted.row["config_revision"],
        deployment=row["deployment"],
        host=row["host"],
        labels=row["labels"],
        endpoints=tuple(Endpoint(**one) for one in shapes.endpoints_of(row)),
    )


def told(
    wanted: Wanted,
    caller: Caller,
    verb: Verb,
    *,
    wish: tuple[Literal["running", "stopped"], int, int],
    ttl: timedelta | None = None,
    **fields: Any,
) -> OutboxRow:
    """A command to the deployment's host that carries the wish: (desired, desired_version, fresh_version)."""
    return command(
        wanted.host_id,
        verb,
        now=caller.now,
        chance=caller.office.chance,
        ttl=ttl,
        deployment_id=wanted.id,
        desired=wish[0],
        desired_version=wish[1],
        fresh_version=wish[2],
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
    session = wanted.host["live"]
    if session is not None:
        await power.want_stopped(conn, session)
    if wanted.row["desired"] == "stopped" and verb == "stop" and grace is None:
        return False
    if wanted.row["desired"] == "stopped" and session is None:
        return False
    version = wanted.next_version
    await power.set_wish(conn, wanted.id, "stopped", version, wanted.row["fresh_version"])
    fields: dict[str, Any] = {"session_id": SessionId(session)} if session is not None else {}
    if grace is not None:
        fields["grace"] = grace.total_seconds()
    wish: tuple[Literal["running", "stopped"], int, int] = ("stopped", version, wanted.row["fresh_version"])
    await power.tell(conn, [told(wanted, caller, verb, wish=wish, **fields)])
    return True


async def restart(wanted: Wanted, caller: Caller, conn: Connection) -> int:
    """The host ends what lives and begins the next, with the newest launch; with nothing live it is a start. Returns the
    session that is ended, or the new one."""
    session = wanted.host["live"]
    if session is None:
        return await begin(wanted, caller, conn, fresh=True)
    must_start(wanted)
    version = wanted.next_version
    # This run is told to stop: so it may, also where it has not come up yet. What follows is the deployment's wish.
    await power.want_stopped(conn, session)
    await power.set_wish(conn, wanted.id, "running", version, version)
    fields = {"session_id": SessionId(session), "deployment_version": wanted.row["version"]}
    await power.tell(conn, [told(wanted, caller, "restart", wish=("running", version, version), **fields)])
    return int(session)
