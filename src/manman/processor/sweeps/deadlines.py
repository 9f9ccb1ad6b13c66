"""Starts that came to nothing: pending without progress beyond the deadline, on a host that can be heard, everything of it settled.

The wish is taken back with it: else the row is final, the wish says running, and a game comes up hours later that everybody
thinks failed.
"""

from manman.domain import deployments, hosts
from manman.domain.sessions import Desired, Moved, Reason, Said, Session, Status, decide
from manman.processor import batch
from manman.processor.batch import Rules
from manman.processor.world import World
from manman.store import batches, sweeps
from manman.store.pool import Connection

MOST = 500


async def step(conn: Connection, rules: Rules) -> dict[str, int]:
    """End what is due: `ended` sessions, each `crashed` with `start_timeout`, its deployment's wish stopped, one version on.

    `more`: as many as one transaction takes were due.
    """
    pulse, now = await sweeps.pulse(conn)
    if not hosts.can_judge(pulse, now, rules.threshold, rules.threshold):
        return {"ended": 0}
    due = await sweeps.due_starts(conn, rules.threshold, MOST)
    if not due:
        return {"ended": 0}
    rows = await batches.lock_deployments(conn, (), due)
    sessions = await batches.lock_sessions(conn, due)
    still = set(await sweeps.due_starts(conn, rules.threshold, MOST))  # progress may have come while we waited
    world = World(now=now, threshold=rules.threshold, chance=rules.chance, deployments=rows, sessions=sessions)
    for row in [sessions[s] for s in due if s in still and s in sessions]:
        _end(world, row)
    await batch.commit(conn, world, rules)
    return {"ended": len(world.moved), "more": int(len(due) == MOST)}


def _end(world: World, row: Session) -> None:
    said = Said(
        status=Status.CRASHED,
        at=world.now,
        cause="start_deadline",
        reason=Reason.START_TIMEOUT,
        detail=row.detail or "its host did not begin it in time",
    )
    decision = decide(row, said, world.now)
    if not isinstance(decision, Moved):
        return
    world.move(decision)
    deployment = world.deployments[row.deployment_id]
    after = deployments.wished(deployment, Desired.STOPPED)
    world.keep_deployment(after)
    world.tell(
        row.host_id,
        "wish",
        deployment_id=after.id,
        deployment_version=after.version,
        desired=after.desired.value,
        desired_version=after.desired_version,
        fresh_version=after.fresh_version,
        cause="start_deadline",
    )
