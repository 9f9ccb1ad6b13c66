"""What the processor says of itself: lag, backlog, deafness, dead letters. Read every two seconds, for metrics and readiness."""

from collections.abc import Callable
from dataclasses import dataclass

from manman.domain import hosts
from manman.errors import ManManError
from manman.events.bus import Bus
from manman.observability import metrics
from manman.processor.batch import Rules
from manman.store import dead_letters, migrate, outbox, sweeps
from manman.store.pool import Pool

LAGS_AT = 10.0  # seconds that the oldest row of the outbox has waited
OLD_AT = 10.0  # seconds since a reading that tells nothing of the database any more


@dataclass(slots=True)
class Gauges:
    """The last reading. `trouble` is why it cannot be read now, `migrations` what this version misses in it; `loop_time` is the loop's
    clock."""

    pool: Pool
    rules: Rules
    loop_time: Callable[[], float]
    trouble: str | None = "not asked yet"
    read_at: float = 0.0
    migrations: str | None = None
    deaf: str | None = None
    lag: str | None = None

    async def step(self) -> None:
        """Read once; never raises for a database that is away."""
        try:
            async with self.pool.acquire() as conn:
                self.migrations = await migrate.lacking(conn)
                pulse, now = await sweeps.pulse(conn)
                backlog = await outbox.backlog(conn)
                letters = await dead_letters.count_open(conn)
        except ManManError as error:
            self.trouble = str(error)
            return
        self.trouble, self.read_at = None, self.loop_time()
        since = hosts.deaf_since(pulse, now)
        self.deaf = f"deaf since {since:%Y-%m-%d %H:%M:%S} UTC: no heartbeat comes through" if since else None
        self.lag = f"the outbox is {backlog.oldest:.0f} s behind" if backlog.oldest > LAGS_AT else None
        metrics.gauge("outbox_events", backlog.events)
        metrics.gauge("outbox_commands", backlog.commands)
        metrics.gauge("outbox_oldest_seconds", backlog.oldest)
        metrics.gauge("dead_letters_open", letters)
        metrics.gauge("deaf", 0 if since is None else 1)
        metrics.gauge("pool_acquire_timeouts", self.pool.timeouts)

    def database(self) -> str | None:
        """For readiness: that the database cannot be read, also when it says nothing at all."""
        age = self.loop_time() - self.read_at
        return self.trouble or (f"the database has not answered for {age:.0f} s" if age > OLD_AT else None)


def broker_trouble(*buses: Bus) -> str | None:
    """For readiness: that one of these is not connected, or that the broker takes nothing of it."""
    for bus in buses:
        if not bus.connected:
            return str(bus.trouble or "away")
        if bus.blocked:
            return f"the broker takes no messages: {bus.blocked}"
    return None
