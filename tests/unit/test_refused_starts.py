"""Starts that do not count, refused or lost: their host has begun a session of its own that the rows do not know yet."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from manman.domain import deployments, wishes
from manman.domain.deployments import Deployment, Install
from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.domain.sessions import Desired, Session, Status
from manman.domain.wishes import Held, RefuseStart, TakeStart, Wish
from manman.events import contracts, topics
from manman.events.codec import Message
from manman.processor import fold_sessions
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.sweeps import deadlines
from manman.processor.world import World

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST, DEPLOYMENT = HostId(1), DeploymentId(3)
OWN, FIRST, SECOND = SessionId(101), SessionId(208), SessionId(209)


def a_world() -> World:
    """Nothing lives in the rows, two runs are over, and the host has a lease."""
    row = Deployment(
        id=DEPLOYMENT,
        host_id=HOST,
        name="dm-1",
        status=Install.READY,
        desired=Desired.RUNNING,
        desired_version=3,
        fresh_version=1,
        seen_version=3,
        last_run=2,
        number=2,
        version=1,
        config=5,
        config_revision=1,
    )
    return World(
        now=NOW,
        threshold=timedelta(seconds=10),
        chance=bytes,
        deployments={DEPLOYMENT: row},
        leases={HOST: ((101, 150),)},
    )


def a_host() -> Held:
    """Its second run crashed; by the policy it has begun the third by itself."""
    held = wishes.heard(Held(last_run=2), Wish(desired=Desired.RUNNING, version=3, fresh_version=1))
    return wishes.begun(held, OWN, 3)


def started(world: World, session_id: SessionId) -> Session:
    """A start, as the API asks for it."""
    wished = deployments.wished(world.deployments[DEPLOYMENT], Desired.RUNNING)
    wished = replace(wished, last_session=session_id)
    row = Session(
        id=session_id,
        deployment_id=DEPLOYMENT,
        host_id=HOST,
        status=Status.PENDING,
        desired=Desired.RUNNING,
        run=deployments.next_run(wished),
        number=1,
        at=NOW,
        begun_version=wished.desired_version,
    )
    world.keep_deployment(wished)
    world.keep(row)
    return row


def judged(held: Held, world: World, row: Session) -> TakeStart | RefuseStart:
    """What the host makes of that start."""
    return wishes.judge_start(held, world.deployments[DEPLOYMENT].wish, row.run)


def refused(world: World, session_id: SessionId, version: int, reason: str = "superseded") -> Outcome | Refusal:
    """The host's refusal arrives."""
    body = contracts.CommandRefused(
        command_id="c",
        reason=reason,
        host_id=HOST,
        session_id=session_id,
        deployment_id=DEPLOYMENT,
        desired_version=version,
    )
    return fold_sessions.refused(world, message("command", "refused", body), body)


def pending(world: World) -> Outcome | Refusal:
    """The word of the session that the host began by itself arrives."""
    body = contracts.SessionStatus(
        session_id=OWN, deployment_id=DEPLOYMENT, host_id=HOST, run=3, begun_version=3, desired_version=3
    )
    return fold_sessions.said(world, message("session", "pending", body), body)


def taken(world: World, row: Session) -> Outcome | Refusal:
    """The host's word that it took that start arrives."""
    body = contracts.SessionStatus(
        session_id=row.id, deployment_id=DEPLOYMENT, host_id=HOST, desired_version=row.begun_version
    )
    return fold_sessions.said(world, message("session", "pending", body), body)


def message(noun: str, word: str, body: contracts.CommandRefused | contracts.SessionStatus) -> Message:
    return Message(key=topics.parse(topics.status(noun, word, HOST)), body=body, host_id=HOST)


def test_however_often_somebody_starts_a_game_that_its_host_has_begun_unknown_to_the_rows_it_is_not_ended() -> None:
    world, held = a_world(), a_host()
    for session_id in (FIRST, SECOND):
        row = started(world, session_id)
        verdict = judged(held, world, row)
        assert isinstance(verdict, RefuseStart)
        held = verdict.held
        assert refused(world, session_id, held.version) is Outcome.APPLIED
        over = world.sessions[session_id]
        assert (over.status, over.reason) == (Status.STOPPED, "superseded")
    assert pending(world) is Outcome.APPLIED
    alive = world.live_of(DEPLOYMENT)
    assert alive is not None and alive.id == OWN
    assert world.deployments[DEPLOYMENT].last_run == 3


def test_a_second_start_is_superseded_by_the_session_that_the_host_had_begun_before_the_first() -> None:
    world, held = a_world(), a_host()
    verdict = judged(held, world, started(world, FIRST))
    refused(world, FIRST, verdict.held.version)
    started(world, SECOND)
    assert pending(world) is Outcome.APPLIED
    assert {number: row.status for number, row in world.sessions.items()} == {
        FIRST: Status.STOPPED,
        SECOND: Status.STOPPED,
        OWN: Status.PENDING,
    }


def test_a_refusal_that_arrives_after_the_hosts_own_session_takes_no_run_from_it() -> None:
    world, held = a_world(), a_host()
    verdict = judged(held, world, started(world, FIRST))
    pending(world)
    assert refused(world, FIRST, verdict.held.version) is Outcome.UNCHANGED
    assert world.deployments[DEPLOYMENT].last_run == 3


def test_however_many_starts_are_lost_the_game_that_their_host_begins_by_itself_is_not_ended() -> None:
    world, held = a_world(), a_host()
    deadlines._end(world, started(world, FIRST))
    assert world.sessions[FIRST].reason == "start_timeout"
    verdict = judged(held, world, started(world, SECOND))
    assert isinstance(verdict, RefuseStart)
    assert pending(world) is Outcome.APPLIED
    alive = world.live_of(DEPLOYMENT)
    assert alive is not None and alive.id == OWN
    assert (world.sessions[SECOND].status, world.sessions[SECOND].reason) == (Status.STOPPED, "superseded")


def test_a_start_that_its_host_took_counts_though_its_time_ran_out() -> None:
    world, held = a_world(), Held(last_run=2)
    row = started(world, FIRST)
    verdict = judged(held, world, row)
    assert isinstance(verdict, TakeStart)
    held = wishes.ended(wishes.begun(verdict.held, FIRST, row.run))
    assert taken(world, row) is Outcome.UNCHANGED
    deadlines._end(world, world.sessions[FIRST])
    assert isinstance(judged(held, world, started(world, SECOND)), TakeStart)


def test_a_start_that_its_host_failed_to_carry_out_waits_for_the_repeated_wish() -> None:
    world, held = a_world(), wishes.begun(Held(), SECOND, 2)
    started(world, FIRST)
    assert refused(world, FIRST, held.version, "failed") is Outcome.UNCHANGED
    assert world.sessions[FIRST].status is Status.PENDING
    deployment = world.deployments[DEPLOYMENT]
    assert deployment.seen_version < deployment.desired_version
    assert pending(world) is Outcome.APPLIED
    assert (world.sessions[FIRST].status, world.sessions[FIRST].reason) == (Status.STOPPED, "superseded")
    alive = world.live_of(DEPLOYMENT)
    assert alive is not None and alive.id == OWN


def test_the_wish_that_a_deadline_takes_back_waits_for_its_host_like_every_command_that_is_said_first() -> None:
    world = a_world()
    deadlines._end(world, started(world, FIRST))
    [wish] = world.commands
    assert wish.type == "manman.command.wish" and wish.ttl is None
