"""Hosts that must say how they are: `missing` looks for reports and messages that never came, `differing` compares live ids."""

from collections.abc import Collection

from manman.domain.ids import HostId
from manman.events.outbox import command
from manman.processor.batch import Rules
from manman.store import outbox, sweeps
from manman.store.pool import Connection

MOST = 1000


async def missing(conn: Connection, rules: Rules) -> dict[str, int]:
    """Ask hosts that came back without a report, or from whose journal something is missing without progress."""
    return await _ask(conn, await sweeps.hosts_to_ask(conn, rules.threshold, MOST), rules)


async def differing(conn: Connection, rules: Rules) -> dict[str, int]:
    """Ask hosts whose fingerprint of live sessions is not that of the rows."""
    return await _ask(conn, await sweeps.hosts_that_differ(conn, rules.threshold, MOST), rules)


async def _ask(conn: Connection, hosts: Collection[HostId], rules: Rules) -> dict[str, int]:
    if not hosts:
        return {"asked": 0}
    asked = await sweeps.ask(conn, hosts)
    _, now = await sweeps.pulse(conn)
    await outbox.insert(conn, [command(host, "report", now=now, chance=rules.chance) for host in asked])
    return {"asked": len(asked)}
