"""Hosts that stayed away too long lose their sessions: `crashed`, `host_lost`.

Only while somebody could hear for a good while, so that hosts come back first after the control plane was away for a weekend; and
not while most hosts are silent together: then it is something that they share.
"""

from dataclasses import dataclass
from datetime import timedelta

from manman.domain import deployments, hosts
from manman.domain.sessions import Moved, Reason, Said, Status, decide
from manman.processor import batch
from manman.processor.batch import Rules
from manman.processor.world import World
from manman.store import batches, sweeps
from manman.store.pool import Connection

HEARD_FOR = timedelta(minutes=15)
MOST = 100


@dataclass(frozen=True, slots=True)
class Lost:
    """The sweep with its span: `after` this silence a host's sessions are given up."""

    after: timedelta

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Give up what is due: `ended` sessions of `hosts` hosts."""
        pulse, now = await sweeps.pulse(conn)
        if not hosts.can_judge(pulse, now, HEARD_FOR, timedelta(0)):
            return {"ended": 0}
        lost = await sweeps.lost_hosts(conn, self.after, MOST)
        if not lost or hosts.is_mass(*await sweeps.stale_hosts(conn)):
            return {"ended": 0}
        known = await batches.lock_hosts(conn, lost)
        away = {h for h, heard in known.items() if not heard.online}
        live = await batches.live_on_hosts(conn, away)
        rows = await batches.lock_deployments(conn, {s.deployment_id for s in live}, ())
        sessions = await batches.lock_sessions(conn, [s.id for s in live])
        world = World(
            now=now, threshold=rules.threshold, chance=rules.chance, hosts=known, deployments=rows, sessions=sessions
        )
        for row in sorted(sessions.values(), key=lambda s: s.id):
            detail = f"its host was silent for longer than {self.after}"
            said = Said(status=Status.CRASHED, at=now, cause="host_lost", reason=Reason.HOST_LOST, detail=detail)
            decision = decide(row, said, now)
            if isinstance(decision, Moved):
                world.move(decision)
                # Its host may have taken that start unheard: the next one ends what it still plays, and must be above it.
                world.keep_deployment(deployments.begun(world.deployments[row.deployment_id], row.run))
        await batch.commit(conn, world, rules)
        return {"ended": len(world.moved), "hosts": len(away), "more": int(len(lost) == MOST)}
