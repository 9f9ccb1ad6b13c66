"""One transaction of the event path: lock and load → fold → save. Every batch goes this way; one message is a batch of one."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from manman.domain import hosts as rules
from manman.domain import ranges
from manman.domain.deployments import Deployment
from manman.domain.hosts import HostMoved, Presence
from manman.domain.ids import Chance, DeploymentId, HostId, SessionId
from manman.domain.sessions import LIVE, Session
from manman.domain.wishes import EPOCH
from manman.errors import is_transient
from manman.events import announce, contracts
from manman.events.announce import Names
from manman.events.outbox import OutboxRow
from manman.processor import fold, remarks, replays
from manman.processor.outcomes import Refusal
from manman.processor.world import Arrived, DeadLetter, Journal, World
from manman.store import attempts, batches, bounds, dead_letters, installation, session_leases, sweeps
from manman.store.events import Event
from manman.store.outbox import Leader
from manman.store.pool import Connection, Pool
from manman.store.save import Changes, save
from manman.store.sql import together


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a batch must know besides its rows. `loop_time` is the clock by which messages are taken."""

    threshold: timedelta
    start_deadline: timedelta
    chance: Chance
    loop_time: Callable[[], float] = _loop_time


@dataclass(slots=True)
class Keys:
    """Whose rows a batch concerns. `heard` are sessions that hosts spoke of, with the wishes that they said they hold (None: they said
    nothing of it), `moving` the sessions that are likely to be announced."""

    hosts: set[HostId] = field(default_factory=set)
    host_rows: set[HostId] = field(default_factory=set)
    reporting: set[HostId] = field(default_factory=set)
    journals: set[Journal] = field(default_factory=set)
    leases: set[HostId] = field(default_factory=set)
    deployments: set[DeploymentId] = field(default_factory=set)
    sessions: set[SessionId] = field(default_factory=set)
    heard: set[tuple[SessionId, int | None]] = field(default_factory=set)
    moving: set[SessionId] = field(default_factory=set)
    newcomers_of: set[DeploymentId] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch: the counts of outcomes, and what is numbered already of that which others hear."""

    counts: dict[str, int]
    numbered: list[Event]


async def apply(
    pool: Pool,
    batch: list[Arrived],
    rules_: Rules,
    *,
    erase: Collection[str] = (),
    leader: Leader | None = None,
) -> Applied:
    """Apply a batch in one transaction. `erase`: noted attempts that end with this commit; `leader`: see `outbox.insert`."""
    async with pool.transaction() as conn:
        batch = await replays.of_their_rows(conn, batch)
        world = await load(conn, batch, rules_)
        fold.fold(world, batch)
        numbered = await commit(conn, world, rules_, leader)
        if erase:
            await attempts.erase(conn, list(erase))
    remarks.refused(world.dead, again=sum(detail is not None for detail in world.closed.values()))
    remarks.came_late(world.late)
    remarks.gave_up_holes(world.crowded)
    counts = {**world.counts, "messages": len(batch), "moved": len(world.moved), "dead_letters": len(world.dead)}
    return Applied(counts, numbered)


async def condemn(
    pool: Pool, arrived: Arrived, refusal: Refusal, rules_: Rules, *, erase: Collection[str] = ()
) -> None:
    """Set a message aside for good: its dead letter, its number settled, its notes erased, in one transaction.

    Where that fails too, for the same reason perhaps, its dead letter alone: the number stays a hole, and a report closes it.
    """
    try:
        with bounds.told_apart():
            async with pool.transaction() as conn:
                [arrived] = await replays.of_their_rows(conn, [arrived])
                world = await load(conn, [arrived], rules_)
                fold.conclude(world, arrived, refusal)
                await commit(conn, world, rules_)
                await attempts.erase(conn, list(erase))
        remarks.refused(world.dead, again=len(world.closed))
        return
    except Exception as error:
        if is_transient(error) and not isinstance(error, bounds.TooLong):
            raise
        failed = f"{type(error).__name__}: {error}"
    # Apart from that error: what fails here must not look as if it came of it.
    async with pool.transaction() as conn:
        bare = DeadLetter(
            key=arrived.key,
            headers=arrived.headers,
            body=arrived.body,
            reason=refusal.reason,
            detail=f"{refusal.detail}; and {failed}",
            host_id=arrived.host_id,
            event_id=arrived.attributes.id if arrived.attributes is not None else None,
        )
        await dead_letters.insert(conn, [bare])
        await attempts.erase(conn, list(erase))
    remarks.refused([bare])


def keys_of(batch: Iterable[Arrived]) -> Keys:
    """Whose rows these messages may touch."""
    keys = Keys()
    for arrived in batch:
        if arrived.host_id is not None:
            keys.hosts.add(arrived.host_id)
        if arrived.journal is not None:
            keys.journals.add(arrived.journal)
        if arrived.message is not None:
            _of_body(keys, arrived.message.body, arrived.host_id)
    return keys


def _of_body(keys: Keys, body: contracts.AnyBody, host_id: HostId | None) -> None:
    match body:
        case contracts.SessionStatus():
            _of_session(keys, body, host_id)
        case contracts.CommandRefused():
            _of_wish(keys, body.session_id, body.desired_version)
            keys.deployments |= {body.deployment_id} if body.deployment_id is not None else set()
        case contracts.DeploymentStatus() | contracts.DeploymentSeen():
            keys.deployments.add(body.deployment_id)
        case contracts.HostOnline() | contracts.HostOffline():
            keys.host_rows.add(body.host_id)
            keys.leases.add(body.host_id)
        case contracts.HostReport():
            _of_report(keys, body)
        case _:
            return


def _of_session(keys: Keys, body: contracts.SessionStatus, host_id: HostId | None) -> None:
    _of_wish(keys, body.session_id, body.desired_version)
    keys.moving.add(body.session_id)
    if body.run is not None and body.deployment_id is not None:
        keys.newcomers_of.add(body.deployment_id)
        keys.deployments.add(body.deployment_id)
        if host_id is not None:
            keys.leases.add(host_id)


def _of_wish(keys: Keys, session_id: SessionId | None, desired_version: int | None) -> None:
    if session_id is not None:
        keys.sessions.add(session_id)
        keys.heard.add((session_id, desired_version))


def _of_report(keys: Keys, body: contracts.HostReport) -> None:
    keys.host_rows.add(body.host_id)
    keys.leases.add(body.host_id)
    keys.reporting.add(body.host_id)
    for said in body.sessions:
        keys.sessions.add(said.session_id)
        keys.deployments.add(said.deployment_id)
        keys.newcomers_of.add(said.deployment_id)
    keys.deployments |= {held.deployment_id for held in body.deployments}


async def load(conn: Connection, batch: Iterable[Arrived], rules_: Rules) -> World:
    """Lock in the order of the house, read after the wait; the database's time comes with it."""
    keys = keys_of(batch)
    locked = await batches.lock_hosts(conn, keys.host_rows) if keys.host_rows else {}
    holed = await batches.holed_journals(conn, keys.reporting) if keys.reporting else {}
    inbox = await batches.lock_journals(conn, keys.journals | holed.keys(), keys.hosts)
    loop_now = rules_.loop_time()
    leases = await batches.lock_leases(conn, keys.leases) if keys.leases else {}
    deployments = await _lock_deployments(conn, keys)
    rows = await batches.lock_rows(
        conn,
        keys.sessions,
        keys.newcomers_of,
        keys.reporting,
        heard=keys.heard if deployments is None else (),
        named=keys.moving,
    )
    known = rows.deployments if deployments is None else deployments
    if keys.reporting:
        missing = {s.deployment_id for s in rows.sessions.values()} - known.keys()
        known |= await batches.lock_deployments(conn, missing, ()) if missing else {}
    world = World(
        now=inbox.now,
        loop_now=loop_now,
        threshold=rules_.threshold,
        chance=rules_.chance,
        hosts=inbox.hosts | locked,
        seen=inbox.seen,
        leases={h: leased.ids for h, leased in leases.items()},
        lease_sizes={h: rules.lease_size(leased.deployments) for h, leased in leases.items()},
        unheard={h for h, leased in leases.items() if leased.unheard},
        deployments=known,
        sessions=rows.sessions,
        names=rows.names,
        holed=holed,
    )
    if keys.reporting or world.unheard:
        world.last_id = await batches.last_id(conn)
        unknown = keys.sessions - rows.sessions.keys()
        world.leased_to = await batches.leased_to(conn, unknown) if unknown else {}
    return world


async def _lock_deployments(conn: Connection, keys: Keys) -> dict[DeploymentId, Deployment] | None:
    """The deployments that a batch names itself, with all others that it may change, in a statement before that of the sessions:
    which of theirs is live is read after the wait. None where it names none: the sessions bring the few of which something is new."""
    if keys.reporting:
        # Found before their sessions are locked, so that theirs are locked first.
        keys.deployments |= await batches.deployments_of_live(conn, keys.reporting)
        return await batches.lock_deployments(conn, keys.deployments, keys.sessions)
    if keys.deployments:
        return await batches.lock_deployments(conn, keys.deployments, {session for session, _ in keys.heard})
    return None


async def commit(conn: Connection, world: World, rules_: Rules, leader: Leader | None = None) -> list[Event]:
    """Save what was decided, and what others hear of it; what of that a `leader` numbered at once."""
    for host_id, session_id in world.unleased:
        # Of a disk that came back from a copy.
        world.tell(host_id, "end", session_id=session_id)
    if world.restored_from is not None:
        epoch = world.restored_from // EPOCH + 1
        await installation.begin_epoch(conn, epoch, "a host has seen a version above the row's")
    await _claims(conn, world)
    lease_rows = await _leases(conn, world)
    await _reports(conn, world)
    if world.released:
        await sweeps.release(conn, world.released)
    messages = [*await _announcements(conn, world), *lease_rows, *world.commands]
    inserted = [world.sessions[s] for s in sorted(world.inserted)]
    updated = [world.sessions[s] for s in sorted(world.touched_sessions - world.inserted)]
    return await save(
        conn,
        Changes(
            deadline=rules_.start_deadline,
            inserted=inserted,
            updated=updated,
            moved=world.moved,
            deployments=[world.deployments[d] for d in sorted(world.touched_deployments)],
            deployments_moved=world.deployments_moved,
            hosts=[world.hosts[h] for h in sorted(world.touched_hosts)],
            hosts_moved=world.hosts_moved,
            agent_versions=world.agent_versions,
            journals={j: world.seen[j] for j in sorted(world.touched_journals)},
            leases={h: world.leases[h] for h in sorted(world.used_ids)},
            dead=world.dead,
            closed=world.closed,
            strays=list(world.strays.values()),
            reported=world.reported,
            messages=messages,
        ),
        leader,
    )


async def _reports(conn: Connection, world: World) -> None:
    """Ask the hosts that are asked at once, and note whose report is due and whose came."""
    for host_id, boot in world.report_wanted.items():
        world.tell(host_id, "report", boot=boot)
    if world.report_wanted:
        await sweeps.ask(conn, world.report_wanted)
    if world.reported or world.reports_due:
        await sweeps.note_reports(conn, came=world.reported.keys() - world.reports_due, due=world.reports_due)


async def _claims(conn: Connection, world: World) -> None:
    """What reports say of ids that the database has forgotten: believed within bounds, and never given to anybody else."""
    claimed = [s for s in world.inserted if world.last_id is not None and s > world.last_id]
    for host_id, held in world.lease_taken_over.items():
        believed = ranges.merged((first, min(last, world.highest_id)) for first, last in held)
        taken = await sweeps.take_over_lease(conn, host_id, believed)
        world.leases[host_id] = ranges.without(taken, world.inserted)
        claimed += [SessionId(last) for _, last in believed]
    if claimed:
        await session_leases.skip_to(conn, max(claimed))


async def _leases(conn: Connection, world: World) -> list[OutboxRow]:
    """Top up at half, and answer whoever asked: the host's whole set, which replaces what it has. Who is unheard since a restore is
    asked for a report first: it knows what it has."""
    low = {
        h for h in world.used_ids if ranges.size(world.leases[h]) * 2 < world.lease_sizes.get(h, rules.lease_size(0))
    }
    asking = (world.lease_wanted | low) & world.hosts.keys()
    for host_id in sorted(asking & world.unheard):
        world.ask_report(host_id)
    wanted = sorted(asking - world.unheard)
    before = len(world.commands)
    for host_id in wanted:
        if world.used_ids.pop(host_id, None):
            await together(conn, [session_leases.write({host_id: world.leases[host_id]})])
        world.leases[host_id] = await session_leases.grant(conn, host_id)
        world.tell(host_id, "lease", lease=[list(r) for r in world.leases[host_id]])
    rows = world.commands[before:]
    del world.commands[before:]
    return rows


async def _announcements(conn: Connection, world: World) -> list[OutboxRow]:
    """Every transition and every host that came or went, with names joined once."""
    hosts_moved = [moved for moved in world.hosts_moved if moved.is_announced]
    away = {m.host_id for m in hosts_moved}
    live = await _live(conn, world, away) if away else {}
    concerned = {m.after.id for m in world.moved} | {s.id for sessions in live.values() for s in sessions}
    names = await _names(conn, world, concerned, away)
    rows = announce.announce(world.moved, names, world.now, world.chance)
    rows += [
        announce.deployment_moved(m.after, m.word, m.before.status, world.now, world.chance)
        for m in world.deployments_moved
    ]
    for moved in hosts_moved:
        rows += host_moved(moved, names, live.get(moved.host_id, []), world)
    return rows


async def _live(conn: Connection, world: World, hosts: set[HostId]) -> dict[HostId, list[Session]]:
    """The live sessions of each of these hosts as they are after this batch: one that it ended is not said to be reachable."""
    rows = {s.id: s for s in await batches.lock_live_on_hosts(conn, hosts)}
    rows |= {s.id: s for s in world.sessions.values() if s.host_id in hosts}
    live: dict[HostId, list[Session]] = {}
    for session in (rows[s] for s in sorted(rows)):
        if session.status in LIVE:
            live.setdefault(session.host_id, []).append(session)
    return live


async def _names(conn: Connection, world: World, sessions: set[SessionId], hosts: set[HostId]) -> Names:
    """Names of sessions that are not inserted yet come from the deployment, as those of the latest of it."""
    others = sessions - world.inserted - world.names.keys()
    known = world.names | (await batches.session_names(conn, others) if others else {})
    fresh = {s: world.sessions[s] for s in sessions & world.inserted}
    if fresh:
        of_deployment = await batches.deployment_names(conn, {s.deployment_id for s in fresh.values()})
        known |= {s: of_deployment[row.deployment_id] for s, row in fresh.items() if row.deployment_id in of_deployment}
    return Names(sessions=known, hosts=await batches.host_names(conn, hosts) if hosts else {})


def host_moved(moved: HostMoved, names: Names, live: list[Session], world: World) -> list[OutboxRow]:
    """A host's event, and for each of its live sessions that it is (un)reachable, in the same transaction."""
    called = names.hosts.get(moved.host_id) or announce.HostNames(name=f"host {moved.host_id}")
    now, chance = world.now, world.chance
    if moved.to is Presence.ONLINE:
        silent_for = None if moved.last_seen is None else now - moved.last_seen
        row = announce.host_online(
            moved.host_id,
            called,
            now,
            chance,
            cause=moved.cause,
            silent_for=silent_for,
            previous_status=moved.from_.value,
        )
        if moved.from_ is Presence.NEW:
            return [row]
        return [row, *(_reachable(s, names, moved, now, chance) for s in live)]
    row = announce.host_offline(moved.host_id, called, now, chance, cause=moved.cause)
    last_seen = moved.last_seen or now
    return [
        row,
        *(
            announce.unreachable(s, names.sessions.get(s.id, announce.NOBODY), last_seen, "host offline", now, chance)
            for s in live
        ),
    ]


def _reachable(session: Session, names: Names, moved: HostMoved, now: datetime, chance: Chance) -> OutboxRow:
    return announce.reachable(session, names.sessions.get(session.id, announce.NOBODY), moved.cause, now, chance)
