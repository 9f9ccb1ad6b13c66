"""Hosts that must say how they are: `missing` looks for reports and messages that never came, `Differing` compares live ids."""

from collections.abc import Collection
from dataclasses import dataclass

from manman.domain.ids import HostId
from manman.events.outbox import command
from manman.processor.batch import Rules
from manman.store import outbox, sweeps
from manman.store.pool import Connection

MOST = 1000
HOSTS = 1000
FIRST = HostId(0)


async def missing(conn: Connection, rules: Rules) -> dict[str, int]:
    """Ask hosts that came back without a report, or from whose journal something is missing without progress."""
    found = await sweeps.hosts_to_ask(conn, rules.threshold, MOST)
    return {**await _ask(conn, found, rules), "more": int(len(found) == MOST)}


@dataclass(slots=True)
class Differing:
    """Asks hosts whose fingerprint of live sessions is not that of the rows, a piece of the hosts at a time.

    `after` is how far it came; who leads anew begins with the first.
    """

    after: HostId = FIRST

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Compare the next piece: `asked` hosts; `more` while hosts are left to compare."""
        piece = await sweeps.slice_of_hosts(conn, self.after, HOSTS)
        asked = await _ask(conn, await sweeps.hosts_that_differ(conn, rules.threshold, piece), rules)
        self.after = piece.last if piece.full else FIRST
        return {**asked, "more": int(piece.full)}


async def _ask(conn: Connection, hosts: Collection[HostId], rules: Rules) -> dict[str, int]:
    if not hosts:
        return {"asked": 0}
    asked = await sweeps.ask(conn, hosts)
    _, now = await sweeps.pulse(conn)
    await outbox.insert(conn, [command(host, "report", now=now, chance=rules.chance) for host in asked])
    return {"asked": len(asked)}
