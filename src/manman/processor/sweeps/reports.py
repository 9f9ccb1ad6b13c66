"""Hosts that must say how they are: `missing` looks for reports and messages that never came, `Differing` compares live ids.

Both ask within one bound. A report that waits in the queue for longer than the threshold looks like a message that is missing: without
the bound its host would be asked again, and the queue would never end.
"""

from dataclasses import dataclass, field

from manman.domain.ids import HostId
from manman.events.outbox import command
from manman.processor.batch import Rules
from manman.store import outbox, sweeps
from manman.store.pool import Connection

ASKED_MOST = 250
"""Hosts that are asked within one threshold. Of 5,000 hosts that were asked at once one replica took the reports, of 30 sessions each, at
about 110 a second beside everything else on two busy cores (`bench.hold`): so many fill a quarter of a threshold of ten seconds there,
and about one on a machine that is four times slower."""

LOST_AFTER = 4
"""Thresholds after which a report that was asked for and did not come counts as lost: until then a replica that takes in fewer than it is
sent is sent no more."""

HOSTS = 1000
FIRST = HostId(0)


async def missing(conn: Connection, rules: Rules, differing: set[HostId]) -> dict[str, int]:
    """Ask hosts that came back without a report, from whose journal something is missing without progress, or that differ; who was
    asked leaves `differing`, and whoever is above the bound waits for its turn. `asked` hosts, because of how many `holes`."""
    lost_after = LOST_AFTER * rules.threshold
    due = await sweeps.hosts_to_ask(conn, rules.threshold, differing, most=ASKED_MOST, lost_after=lost_after)
    asked = await sweeps.ask(conn, due) if due else []
    differing.difference_update(asked)
    holes = await sweeps.holed(conn, asked, rules.threshold) if asked else 0
    if asked:
        await sweeps.note_reports(conn, due=asked)
        _, now = await sweeps.pulse(conn)
        await outbox.insert(conn, [command(host, "report", now=now, chance=rules.chance) for host in asked])
    return {"asked": len(asked), "holes": holes}


@dataclass(slots=True)
class Differing:
    """Finds hosts whose fingerprint of live sessions is not that of the rows, a piece of the hosts at a time.

    `after` is how far it came; who leads anew begins with the first. `found` are those who are still to be asked.
    """

    after: HostId = FIRST
    found: set[HostId] = field(default_factory=set)

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Compare the next piece, and ask: `asked` hosts; `more` while hosts are left to compare."""
        piece = await sweeps.slice_of_hosts(conn, self.after, HOSTS)
        self.found -= {host for host in self.found if piece.after < host <= piece.last}
        self.found |= set(await sweeps.hosts_that_differ(conn, rules.threshold, piece))
        asked = await missing(conn, rules, self.found)
        self.after = piece.last if piece.full else FIRST
        return {**asked, "more": int(piece.full)}
