"""What a fresh host has not seen is said again, each threshold: wishes, installs and removals, stops of what was taken from it.

Commands may be lost; the wish is not. Repeating one is harmless: the highest version counts. A repeat lasts one threshold, when the next
one follows: a host that beats and hears nothing would have a copy more each time.
"""

from manman.events.outbox import OutboxRow, command
from manman.processor.batch import Rules
from manman.store import outbox, sweeps
from manman.store.pool import Connection
from manman.store.sweeps import Revoked, Unseen

MOST = 1000


async def step(conn: Connection, rules: Rules) -> dict[str, int]:
    """Repeat: `wishes`, `places` (installs and removals) and `revoked`; `more` are due."""
    wishes = await sweeps.unseen_wishes(conn, rules.threshold, MOST)
    places = await sweeps.unseen_places(conn, rules.threshold, MOST)
    revoked = await sweeps.revocations(conn, rules.threshold, MOST)
    _, now = await sweeps.pulse(conn)
    made = [(u.host_id, "wish", _wish(u)) for u in wishes]
    made += [(u.host_id, "remove" if u.status == "removing" else "install", _wish(u)) for u in places]
    made += [(r.host_id, "stop", _stop(r)) for r in revoked]
    rows: list[OutboxRow] = [
        command(host, verb, now=now, chance=rules.chance, ttl=rules.threshold, **fields)  # type: ignore[arg-type]
        for host, verb, fields in made
    ]
    await outbox.insert(conn, rows)
    counts = {"wishes": len(wishes), "places": len(places), "revoked": len(revoked)}
    return {**counts, "more": int(MOST in counts.values())}


def _wish(unseen: Unseen) -> dict[str, object]:
    return {
        "deployment_id": unseen.deployment_id,
        "deployment_version": unseen.version,
        "desired": unseen.wish.desired.value,
        "desired_version": unseen.wish.version,
        "fresh_version": unseen.wish.fresh_version,
    }


def _stop(revoked: Revoked) -> dict[str, object]:
    return {
        "deployment_id": revoked.deployment_id,
        "desired": "stopped",
        "desired_version": revoked.version,
        "fresh_version": 0,
    }
