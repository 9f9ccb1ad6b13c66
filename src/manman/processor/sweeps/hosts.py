"""Silent hosts: found, marked and announced in one transaction, a thousand of them at a time.

Marking needs an ear: heartbeats come through, and have for long enough that every agent is back. So no restart of broker,
database or processor makes a host stale. When more are silent the rest follows at once: bounded transactions hold up no heartbeat
of those who come back, and end within their time-outs however many there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from manman.domain.ids import HostId
from manman.events import announce
from manman.events.announce import HostNames
from manman.events.outbox import OutboxRow
from manman.processor.batch import Rules
from manman.store import batches, hosts, outbox
from manman.store.hosts import Marked
from manman.store.pool import Connection

MOST = 1000
WAVE_WITHIN = 10.0  # seconds from one piece of a wave to the next
ANNOUNCED_TOGETHER = 100  # hosts with their sessions: so that the process breathes between statements


@dataclass(slots=True)
class Silent:
    """The sweep. `mass` is what was said of the first ones of a wave while more of it are to be marked; that of a wave which somebody
    else went on with, or that was rolled back, says nothing of the next: it holds until `mass_until`, by the loop's clock."""

    mass: bool | None = None
    mass_until: float = 0.0

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Mark who is silent: `marked` hosts, and their live sessions, which are `unreachable` from now on; `more` follow."""
        known = self.mass if rules.loop_time() < self.mass_until else None
        marked = await hosts.mark_offline(conn, rules.threshold, most=MOST, mass=known)
        self.mass = marked[0].mass if len(marked) == MOST else None
        self.mass_until = rules.loop_time() + WAVE_WITHIN
        if not marked:
            return {"marked": 0}
        _, now = await hosts.pulse(conn)
        unreachable = 0
        for start in range(0, len(marked), ANNOUNCED_TOGETHER):
            unreachable += await _announce(conn, marked[start : start + ANNOUNCED_TOGETHER], rules, now)
        mass = sum(one.mass for one in marked)
        return {"marked": len(marked), "unreachable": unreachable, "mass": mass, "more": int(self.mass is not None)}


async def _announce(conn: Connection, marked: Sequence[Marked], rules: Rules, now: datetime) -> int:
    """Each host, followed by its live sessions; how many these are."""
    last_seen = {one.host_id: one.last_seen for one in marked}
    live = await batches.lock_live_on_hosts(conn, last_seen)
    names = await batches.session_names(conn, [s.id for s in live]) if live else {}
    sessions: dict[HostId, list[OutboxRow]] = {}
    for session in live:
        called = names.get(session.id, announce.NOBODY)
        row = announce.unreachable(session, called, last_seen[session.host_id], "host silent", now, rules.chance)
        sessions.setdefault(session.host_id, []).append(row)
    rows = [row for one in marked for row in (_stale(one, rules, now), *sessions.get(one.host_id, ()))]
    await outbox.insert(conn, rows)
    return len(live)


def _stale(one: Marked, rules: Rules, now: datetime) -> OutboxRow:
    called = HostNames(name=one.name, labels=one.labels, agent_version=one.agent_version or None)
    return announce.host_stale(
        one.host_id,
        called,
        now,
        rules.chance,
        last_seen=one.last_seen,
        threshold=rules.threshold,
        mass=one.mass,
        cause="silent",
        number=one.number,
    )
