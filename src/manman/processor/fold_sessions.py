"""What hosts say of sessions, folded: a transition, a newcomer from the host's lease, a refused start."""

from datetime import UTC, datetime
from typing import assert_never

from msgspec.structs import replace

from manman.domain import deployments, ranges, reports
from manman.domain.deployments import Deployment
from manman.domain.ids import HostId
from manman.domain.sessions import (
    FINAL,
    Desired,
    Late,
    Moved,
    Reason,
    Restart,
    Said,
    Session,
    Skipped,
    Status,
    Unchanged,
    clipped,
    decide,
)
from manman.events import contracts
from manman.events.codec import Message
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import World, event_id_of

REASONS = frozenset(Reason)
# What no clock of a host says, and every reader of the row can still read.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def said(world: World, message: Message, body: contracts.SessionStatus) -> Outcome | Refusal:
    """`status.session.<word>`: move the session, or insert the one that its host began."""
    row = world.sessions.get(body.session_id)
    if row is None:
        return _newcomer(world, message, body)
    if message.host_id is not None and message.host_id != row.host_id:
        return Refusal("foreign", f"session {row.id} belongs to host {row.host_id}, not to host {message.host_id}")
    if _is_used(row, body):
        return _under_no_good_id(world, row.host_id, body)
    if body.deployment_id is not None and body.deployment_id != row.deployment_id:
        return Refusal(
            "foreign", f"session {row.id} belongs to deployment {row.deployment_id}, not {body.deployment_id}"
        )
    _heard_wish(world, row, body.desired_version)
    _heard_run(world, row)
    heard = what_was_said(world, message, body)
    return take(world, _asked_to_stop(row, heard.status, body.desired_version), heard)


def _asked_to_stop(row: Session, said: Status, version: int | None) -> Session:
    """A host that heard a newer wish since it began the session was asked to stop it, also where the row's wish was overtaken:
    the session may not have been known when somebody did."""
    if said is not Status.STOPPING or version is None or version <= row.begun_version:
        return row
    return replace(row, desired=Desired.STOPPED)


def take(world: World, row: Session, heard: Said) -> Outcome | Refusal:
    """One status of a known session, by the table."""
    decision = decide(row, heard, world.now)
    match decision:
        case Moved():
            world.move(decision)
            return Outcome.APPLIED
        case Unchanged():
            if decision.differs:
                world.keep(decision.after)
            return Outcome.UNCHANGED
        case Late():
            world.late.append((decision, heard))
            if decision.stray:
                world.ask_report(row.host_id)
            return Outcome.LATE
        case Skipped():
            return Refusal("skipped_state", decision.detail, ask_report=True)
        case _:
            assert_never(decision)


def what_was_said(world: World, message: Message, body: contracts.SessionStatus) -> Said:
    """A message as the rules want it; its time is its host's, else the database's."""
    attributes = message.attributes
    at = attributes.time if attributes is not None and attributes.time is not None else world.now
    plan = body.restart
    return Said(
        status=Status(body.status or message.key.word),
        at=at,
        cause=body.cause or "host",
        event_id=event_id_of(message),
        trace_id=attributes.traceparent if attributes is not None else None,
        exit_code=body.exit_code,
        signal=body.signal,
        reason=_reason(body.reason),
        detail=body.detail,
        progress=body.progress,
        players=body.players,
        tail=None if body.tail is None else tuple(body.tail),
        restart=None if plan is None else Restart(attempt=plan.attempt, of=plan.of, at=_readable(plan.at)),
    )


def _readable(at: datetime | None) -> datetime | None:
    """A time that every reader can bring to its own zone."""
    return None if at is None else min(max(at, EARLIEST), LATEST)


def _reason(word: str | None) -> str | None:
    """The reasons that are known; a word of a newer agent is `unknown`."""
    return word if word is None or word in REASONS else Reason.UNKNOWN.value


def _heard_wish(world: World, row: Session, version: int | None) -> None:
    deployment = world.deployments.get(row.deployment_id)
    if deployment is None or version is None:
        return
    if version > deployment.desired_version:
        # A restored database: the report brings the wish that its host holds.
        world.ask_report(row.host_id)
    world.keep_deployment(deployments.seen(deployment, version))


def _heard_run(world: World, row: Session) -> None:
    """Its host speaks of the session: so it has taken that start."""
    if (deployment := world.deployments.get(row.deployment_id)) is not None:
        world.keep_deployment(deployments.begun(deployment, row.run))


def _newcomer(world: World, message: Message, body: contracts.SessionStatus) -> Outcome | Refusal:
    word = body.status or message.key.word
    if word != Status.PENDING or body.run is None or body.deployment_id is None or message.host_id is None:
        return Refusal("unknown_session", f"there is no session {body.session_id}", ask_report=True)
    deployment = world.deployments.get(body.deployment_id)
    if deployment is None:
        return Refusal("unknown_deployment", f"there is no deployment {body.deployment_id}", ask_report=True)
    if deployment.host_id != message.host_id:
        return Refusal(
            "foreign", f"deployment {deployment.id} is on host {deployment.host_id}, not on host {message.host_id}"
        )
    if not _is_good(world, message.host_id, body):
        return _under_no_good_id(world, message.host_id, body)
    begin(world, message.host_id, body, what_was_said(world, message, body))
    return Outcome.APPLIED


def _is_used(row: Session, body: contracts.SessionStatus) -> bool:
    """Whether a host begins another session under the id of this one: a disk that came back from a copy has forgotten it."""
    if body.run is None or body.deployment_id is None:
        return False
    if body.deployment_id != row.deployment_id:
        return True
    return row.status in FINAL and (body.run, body.begun_version or 0) != (row.run, row.begun_version)


def _under_no_good_id(world: World, host_id: HostId, body: contracts.SessionStatus) -> Refusal:
    """The game is ended and comes back under an id of the lease that goes with it."""
    world.lease_wanted.add(host_id)
    world.unleased.append((host_id, body.session_id))
    return Refusal("id_not_leased", f"session id {body.session_id} is not of the lease of host {host_id}, or was used")


def _is_good(world: World, host_id: HostId, body: contracts.SessionStatus) -> bool:
    """Whether a host may begin a session under this id. Where a restored database has not heard it since, its lease is forgotten."""
    if host_id in world.unheard:
        return not world.is_others_id(host_id, body.session_id)
    return ranges.contains(world.leases.get(host_id, ()), body.session_id)


def begin(world: World, host_id: HostId, body: contracts.SessionStatus | contracts.SessionSaid, heard: Said) -> None:
    """Insert a session that its host began by itself; the id leaves the lease; the rule of two rows ends a rival."""
    deployment_id = body.deployment_id
    if deployment_id is None:
        raise ValueError("a session that begins has a deployment")
    deployment = world.deployments[deployment_id]
    run = body.run or deployments.next_run(deployment)
    world.leases[host_id] = ranges.without(world.leases.get(host_id, ()), [body.session_id])
    world.used_ids.setdefault(host_id, []).append(body.session_id)
    session = _new_row(world, deployment, body, heard, run)
    present = world.live_of(deployment_id)
    rule = None if present is None else reports.two_rows(run, present)
    if rule is not None and present is not None and rule.winner is reports.Winner.NEWCOMER:
        _lose(world, present, rule)
    world.inserted.add(session.id)
    world.move(Moved(before=None, after=session, said=heard))
    if rule is not None and rule.winner is reports.Winner.PRESENT:
        _lose(world, session, rule)
        world.keep_deployment(deployments.begun(world.deployments[deployment_id], run))
        return
    now = deployments.begun(world.deployments[deployment_id], run)
    version = body.desired_version if isinstance(body, contracts.SessionStatus) else None
    now = deployments.plays(deployments.seen(now, version), version)
    world.keep_deployment(replace(now, last_session=session.id))


def _new_row(
    world: World, deployment: Deployment, body: contracts.SessionStatus | contracts.SessionSaid, heard: Said, run: int
) -> Session:
    at = clipped(heard.at, after=EARLIEST, now=world.now)
    return Session(
        id=body.session_id,
        deployment_id=deployment.id,
        host_id=deployment.host_id,
        status=Status.PENDING,
        desired=deployment.desired if deployment.desired is Desired.STOPPED else Desired.RUNNING,
        run=run,
        number=1,
        at=at,
        begun_version=body.begun_version or 0,
        previous_session_id=body.previous_session_id,
        cause=body.cause or heard.cause,
        config=deployment.config,
        config_revision=deployment.config_revision,
        deployment_version=deployment.version,
        launch=body.launch,
        created_at=at,
        progressed_at=world.now,
        detail=heard.detail,
    )


def _lose(world: World, session: Session, rule: reports.TwoRows) -> None:
    """Walk the loser to its end; one that was pending is told to stop, which makes that way legal."""
    row = replace(session, desired=Desired.STOPPED) if rule.reason is Reason.SUPERSEDED else session
    for status in rule.loser_path:
        last = status in FINAL
        heard = Said(status=status, at=world.now, cause="two_rows", reason=rule.reason.value if last else None)
        decision = decide(row, heard, world.now)
        if isinstance(decision, Moved):
            world.move(decision)
            row = decision.after


def refused(world: World, message: Message, body: contracts.CommandRefused) -> Outcome | Refusal:
    """`status.command.refused`: its wish is heard; a start that its fence refused ends its row as superseded.

    One that the agent failed to carry out is as good as lost: nothing overtook it, its wish was not taken and is repeated, and what the
    host then begins from its lease supersedes the row. If that fails too, the deadline ends it and takes the wish back."""
    if body.deployment_id is not None and (deployment := world.deployments.get(body.deployment_id)) is not None:
        if message.host_id is not None and deployment.host_id != message.host_id:
            return Refusal("foreign", f"deployment {deployment.id} is not on host {message.host_id}")
        world.keep_deployment(deployments.seen(deployment, body.desired_version))
    row = world.sessions.get(body.session_id) if body.session_id is not None else None
    if row is None or row.status is not Status.PENDING or body.reason != Reason.SUPERSEDED:
        # Only a start can be overtaken; whatever else was refused leaves its session alone.
        return Outcome.UNCHANGED
    if message.host_id is not None and row.host_id != message.host_id:
        return Refusal("foreign", f"session {row.id} belongs to host {row.host_id}, not to host {message.host_id}")
    _heard_wish(world, row, body.desired_version)
    _not_begun(world, message, row, body.detail)
    return Outcome.APPLIED


def _not_begun(world: World, message: Message, row: Session, detail: str | None) -> None:
    row = replace(row, desired=Desired.STOPPED)
    for status in (Status.STOPPING, Status.STOPPED):
        last = status is Status.STOPPED
        heard = Said(
            status=status,
            at=world.now,
            cause="start refused by its host",
            event_id=event_id_of(message),
            reason=Reason.SUPERSEDED.value if last else None,
            detail=detail if last else None,
        )
        decision = decide(row, heard, world.now)
        if isinstance(decision, Moved):
            world.move(decision)
            row = decision.after
