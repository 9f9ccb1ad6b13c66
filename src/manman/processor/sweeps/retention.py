"""Forgets what is older than its retention, a bounded piece at a time, and sums up samples of machines."""

from dataclasses import dataclass
from datetime import timedelta

from manman.domain.ids import HostId
from manman.processor.batch import Rules
from manman.store import sweeps
from manman.store.pool import Connection

MOST = 2000
HOSTS = 1000
FIRST = HostId(0)


@dataclass(slots=True)
class Retention:
    """The sweep with its spans: `histories` for ended sessions, histories and dead letters, `events` for what can be replayed.

    `after` is how far it came with the hosts; who leads anew begins with the first.
    """

    histories: timedelta
    events: timedelta
    after: HostId = FIRST

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Forget one piece of each; how many rows went, by table; `more` when there is more to do at once."""
        piece = await sweeps.slice_of_hosts(conn, self.after, HOSTS)
        await sweeps.sum_up_samples(conn, piece)
        gone = {
            "events": await sweeps.forget(conn, "events", self.events, MOST),
            "sessions": await sweeps.forget(conn, "sessions", self.histories, MOST),
            "deployment_history": await sweeps.forget(conn, "deployment_history", self.histories, MOST),
            "dead_letters": await sweeps.forget(conn, "dead_letters", self.histories, MOST),
            "leftovers": await sweeps.forget_leftovers(conn, MOST),
        }
        more = piece.full or MOST in gone.values()
        of_hosts = await sweeps.forget_of_hosts(conn, self.histories, piece)
        self.after = piece.last if piece.full else FIRST
        return {**gone, "of_hosts": of_hosts, "more": int(more)}
