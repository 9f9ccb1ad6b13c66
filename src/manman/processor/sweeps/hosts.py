"""Silent hosts: found, marked and announced in one transaction, for any number of them.

Marking needs an ear: heartbeats come through, and have for long enough that every agent is back. So no restart of broker,
database or processor makes a host stale.
"""

from datetime import datetime

from manman.domain.ids import HostId
from manman.events import announce
from manman.events.announce import HostNames
from manman.events.outbox import OutboxRow
from manman.processor.batch import Rules
from manman.store import batches, hosts, outbox
from manman.store.hosts import Marked
from manman.store.pool import Connection


async def step(conn: Connection, rules: Rules) -> dict[str, int]:
    """Mark who is silent: `marked` hosts, and their live sessions, which are `unreachable` from now on."""
    marked = {one.host_id: one for one in await hosts.mark_offline(conn, rules.threshold)}
    if not marked:
        return {"marked": 0}
    live = await batches.live_on_hosts(conn, marked)
    names = await batches.session_names(conn, [s.id for s in live]) if live else {}
    _, now = await hosts.pulse(conn)
    sessions: dict[HostId, list[OutboxRow]] = {}
    for session in live:
        last_seen = marked[session.host_id].last_seen
        called = names.get(session.id, announce.NOBODY)
        row = announce.unreachable(session, called, last_seen, "host silent", now, rules.chance)
        sessions.setdefault(session.host_id, []).append(row)
    rows = [row for one in marked.values() for row in (_stale(one, rules, now), *sessions.get(one.host_id, ()))]
    await outbox.insert(conn, rows)
    return {"marked": len(marked), "unreachable": len(live), "mass": sum(one.mass for one in marked.values())}


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
