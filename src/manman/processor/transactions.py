"""What the event consumer calls on the database, and how the relay of the same process learns of it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from manman.errors import is_transient
from manman.processor import batch
from manman.processor.batch import Rules
from manman.processor.outcomes import Refusal
from manman.processor.relay import Relay
from manman.processor.world import Arrived
from manman.store import attempts, bounds
from manman.store.pool import Pool


@dataclass(slots=True)
class Transactions:
    """What the event consumer calls on the database. The `relay` of this process need not wait until the database tells: it gets what
    is numbered, and `woken` is called."""

    pool: Pool
    rules: Rules
    relay: Relay
    woken: Callable[[], None]

    async def apply(self, arrived: list[Arrived], erase: Collection[str]) -> dict[str, int]:
        try:
            with bounds.told_apart():
                done = await batch.apply(self.pool, arrived, self.rules, erase=erase, leader=self.relay.leader())
        except BaseException as error:
            if is_transient(error) or not isinstance(error, Exception):
                self.relay.forget()
            raise
        self.relay.hand(done.numbered)
        self.woken()
        return done.counts

    async def condemn(self, arrived: Arrived, why: Refusal, erase: Collection[str]) -> None:
        with bounds.told_apart():
            await batch.condemn(self.pool, arrived, why, self.rules, erase=erase)

    async def note_attempt(self, name: str, arrived: Arrived) -> int:
        host = arrived.message.host_id if arrived.message is not None else None
        async with self.pool.transaction() as conn:
            return await attempts.note(conn, name, arrived.key, host)

    async def take_back(self, names: Collection[str]) -> None:
        async with self.pool.transaction() as conn:
            await attempts.take_back(conn, list(names))
