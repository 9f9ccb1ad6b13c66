"""A host's report against the rows, folded: after it the database says what the machine says."""

from typing import assert_never

from msgspec.structs import replace

from manman.domain import deployments, ranges, reports
from manman.domain.hosts import GOODBYE
from manman.domain.ids import HostId
from manman.domain.reports import Act, Verdict
from manman.domain.sessions import FINAL, LIVE, Desired, Moved, Reason, Said, Session, Status, decide
from manman.domain.wishes import Wish
from manman.events import contracts
from manman.events.codec import Message
from manman.processor import fold_deployments, fold_sessions
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import Stray, World


def report(world: World, message: Message, body: contracts.HostReport) -> Outcome | Refusal:
    """`status.host.report`: wishes first, then every session that either side knows."""
    heard = world.hosts[body.host_id]
    if body.boot is not None and body.boot < heard.boot:
        return Outcome.LATE
    if _is_overtaken(world, message):
        world.ask_report(body.host_id)
        return Outcome.LATE
    world.reports_due.discard(body.host_id)
    _forgotten(world, body)
    ahead = [_deployment(world, message, body.host_id, held) for held in body.deployments]
    if body.host_id in world.unheard or any(ahead):
        _take_over(world, body)
    _sessions(world, message, body)
    _playing(world, body)
    now = world.hosts[body.host_id]
    if now.returned_at is not None or now.beat == GOODBYE:
        world.keep_host(replace(now, returned_at=None))
    if body.agent_version is not None:
        world.agent_versions[body.host_id] = body.agent_version
    return Outcome.APPLIED


def _take_over(world: World, body: contracts.HostReport) -> None:
    """After a restore it is the host that knows which ids it has left."""
    world.unheard.discard(body.host_id)
    world.lease_taken_over[body.host_id] = ranges.merged(body.lease)
    world.lease_wanted.add(body.host_id)


def _is_overtaken(world: World, message: Message) -> bool:
    """Whether newer messages of its journal came before it: then it is no word on what they told. That goes for a dead letter that comes
    again too, whose number else is not looked at: what it does not name would be crashed, though it began since; one without a number
    is of nobody knows when. The report that is asked for instead says what the old one would have, and what is true by now."""
    attributes = message.attributes
    if attributes is None or message.host_id is None or attributes.journal_id is None or attributes.sequence is None:
        return message.dead_letter is not None
    seen = world.seen.get((message.host_id, attributes.journal_id), ())
    return bool(seen) and seen[-1][1] > attributes.sequence


def _forgotten(world: World, body: contracts.HostReport) -> None:
    """A deployment that its host does not name is one whose wish it has never heard: a disk that came back from an old copy. Who has
    no boot is no agent of ours: what it does not name says nothing of its runs."""
    named = {held.deployment_id for held in body.deployments}
    run = 0 if body.boot is not None else None
    for row in list(world.deployments.values()):
        if row.host_id == body.host_id and row.id not in named:
            world.keep_deployment(deployments.counted(deployments.seen(row, 0), run))


def _sessions(world: World, message: Message, body: contracts.HostReport) -> None:
    reported = {said.session_id: said for said in body.sessions}
    rows = [s for s in world.sessions.values() if s.host_id == body.host_id and (s.status in LIVE or s.id in reported)]
    for row in sorted(rows, key=lambda s: s.id):
        _session(world, message, row, reported.get(row.id))
    for said in sorted(reported.values(), key=lambda s: (s.run or 0, s.session_id)):
        if said.session_id not in world.sessions:
            _unknown(world, message, body.host_id, said)
        elif world.sessions[said.session_id].host_id != body.host_id:
            _list(world, body.host_id, said, "the session belongs to another host")
    world.reported[body.host_id] = frozenset(reported)


def _deployment(world: World, message: Message, host_id: HostId, held: contracts.DeploymentSaid) -> bool:
    """What a host holds of a deployment; whether it knew more than the row: then the database was restored."""
    row = world.deployments.get(held.deployment_id)
    if row is None or row.host_id != host_id:
        return False
    after = deployments.seen(row, held.desired_version)
    if held.desired is not None and held.desired_version is not None:
        wish = Wish(desired=Desired(held.desired), version=held.desired_version, fresh_version=held.fresh_version or 0)
        after = deployments.taken_over(after, wish)
    world.keep_deployment(deployments.counted(after, held.last_run))
    _made_good(world, message, held)
    if after.desired_version == row.desired_version:
        return False
    world.restored_from = max(world.restored_from or 0, after.desired_version)
    return True


def _made_good(world: World, message: Message, held: contracts.DeploymentSaid) -> None:
    """The result of an install, and a give-up, whose messages were lost."""
    row = world.deployments[held.deployment_id]
    after = deployments.reported(row, held.status, held.deployment_version)
    if after != row:
        fold_deployments.move(world, message, row, after, after.status.value, cause="report")
    row = world.deployments[held.deployment_id]
    after = deployments.gave_up(row, held.gave_up, held.desired_version)
    if after != row:
        fold_deployments.move(world, message, row, after, "gave_up", cause=f"gave up: {after.gave_up}")


def _playing(world: World, body: contracts.HostReport) -> None:
    """What lives and is not given up on its host, is not given up here."""
    named = {said.session_id for said in body.sessions}
    for held in body.deployments:
        row = world.deployments.get(held.deployment_id)
        if row is None or row.host_id != body.host_id or held.gave_up is not None:
            continue
        live = world.live_of(row.id)
        if live is not None and live.id in named:
            world.keep_deployment(deployments.plays(row, held.desired_version))


def _session(world: World, message: Message, row: Session, said: contracts.SessionSaid | None) -> None:
    verdict = reports.judge(None if said is None else Status(said.status), row, ours=True)
    match verdict.act:
        case Act.WALK | Act.CRASH:
            _walk(world, message, row, said, verdict)
        case Act.END:
            world.tell(row.host_id, "end", session_id=row.id)
        case Act.STRAY:
            _list(world, row.host_id, said, verdict.why)
        case Act.NOTHING | Act.WAIT | Act.INSERT:
            pass
        case _:
            assert_never(verdict.act)


def _walk(world: World, message: Message, row: Session, said: contracts.SessionSaid | None, verdict: Verdict) -> None:
    attributes = message.attributes
    at = said.at if said is not None and said.at is not None else world.now
    for status in verdict.path:
        last = status is verdict.path[-1] and status in FINAL
        heard = Said(
            status=status,
            at=at,
            cause="report",
            trace_id=attributes.traceparent if attributes is not None else None,
            exit_code=said.exit_code if said is not None and last else None,
            signal=said.signal if said is not None and last else None,
            reason=_reason(said) if last else None,
            detail=said.detail if said is not None else verdict.why,
        )
        decision = decide(_allowing(row, status), heard, world.now)
        if not isinstance(decision, Moved):
            return
        after = replace(decision.after, desired=row.desired)
        world.move(replace(decision, after=after))
        row = after


def _allowing(row: Session, status: Status) -> Session:
    """A host that stopped what somebody asked it to stop is right, also where the row's wish was overtaken."""
    return replace(row, desired=Desired.STOPPED) if status is Status.STOPPING else row


def _reason(said: contracts.SessionSaid | None) -> str:
    if said is None or said.reason is None:
        return Reason.UNKNOWN.value
    return said.reason if said.reason in fold_sessions.REASONS else Reason.UNKNOWN.value


def _unknown(world: World, message: Message, host_id: HostId, said: contracts.SessionSaid) -> None:
    deployment = world.deployments.get(said.deployment_id)
    ours = deployment is not None and deployment.host_id == host_id
    verdict = reports.judge(Status(said.status), None, ours=ours)
    if verdict.act is Act.STRAY:
        _list(world, host_id, said, verdict.why)
        return
    if world.is_others_id(host_id, said.session_id):
        _list(world, host_id, said, "its id was never given to this host")
        if said.status in LIVE:
            world.lease_wanted.add(host_id)
            world.tell(host_id, "end", session_id=said.session_id)
        return
    heard = Said(status=Status.PENDING, at=said.at or world.now, cause=said.cause or "report")
    fold_sessions.begin(world, host_id, said, heard)
    row = world.sessions[said.session_id]
    if row.status not in FINAL:
        _session(world, message, row, said)


def _list(world: World, host_id: HostId, said: contracts.SessionSaid | None, why: str) -> None:
    if said is not None and said.status in LIVE:
        world.strays[host_id, said.session_id] = Stray(
            host_id=host_id, session_id=said.session_id, deployment_id=said.deployment_id, why=why
        )
