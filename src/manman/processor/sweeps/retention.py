"""Forgets what is older than its retention, a bounded piece at a time, and sums up samples of machines."""

from dataclasses import dataclass
from datetime import timedelta

from manman.processor.batch import Rules
from manman.store import sweeps
from manman.store.pool import Connection

MOST = 2000


@dataclass(frozen=True, slots=True)
class Retention:
    """The sweep with its spans: `histories` for ended sessions, histories and dead letters, `events` for what can be replayed."""

    histories: timedelta
    events: timedelta

    async def step(self, conn: Connection, rules: Rules) -> dict[str, int]:
        """Forget one piece of each; how many rows went, by table."""
        await sweeps.sum_up_samples(conn)
        return {
            "events": await sweeps.forget(conn, "events", self.events, MOST),
            "sessions": await sweeps.forget(conn, "sessions", self.histories, MOST),
            "host_history": await sweeps.forget(conn, "host_history", self.histories, MOST),
            "deployment_history": await sweeps.forget(conn, "deployment_history", self.histories, MOST),
            "dead_letters": await sweeps.forget(conn, "dead_letters", self.histories, MOST),
            "leftovers": await sweeps.forget_leftovers(conn, MOST),
        }
