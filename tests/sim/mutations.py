"""Protections that can be switched off, one at a time, and under which faults that must show.

Each is a context manager around a run; what it changes is put back. The names are those of the contract.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import msgspec
from harness.sim_agent import SimAgent
from harness.sim_database import Connection, Pool
from harness.sim_house import House
from harness.sim_machine import Entry
from harness.sim_plan import Plan, plan_of

from manman.domain import deployments, wishes
from manman.processor import batch, world
from manman.processor.sweeps import deadlines
from manman.processor.sweeps import reports as report_sweep
from manman.processor.sweeps import wishes as wish_sweep
from manman.store import batches, events, hosts, leadership, outbox, save, sweeps
from manman.store.sql import together


@contextmanager
def kept() -> Iterator[None]:
    """The product is as it is."""
    yield


def nothing(house: House) -> None:
    """Change nothing of the house itself."""


@dataclass(frozen=True)
class Mutation:
    """`off` switches the protection off, `change` what belongs to the house; `kinds` are the faults that it protects from,
    `on` the rest of the circumstances in which it is needed; `seeds` are some that catch it."""

    off: Callable[[], AbstractContextManager[None]]
    kinds: tuple[str, ...]
    change: Callable[[House], None] = nothing
    on: Callable[[], AbstractContextManager[None]] = kept
    seeds: tuple[int, ...] = (1, 2, 3)
    count: int = 20
    asks_every: float = 4.0
    replicas: int = 2
    minutes: float = 4


def plan(mutation: Mutation, seed: int) -> Plan:
    """A short run with many faults of the kinds that matter."""
    drawn = plan_of(seed, minutes=mutation.minutes, kinds=dict.fromkeys(mutation.kinds, 1), count=mutation.count)
    return replace(drawn, hosts=2, deployments=2, replicas=mutation.replicas, asks_every=mutation.asks_every)


@contextmanager
def unlocked(statements: dict[str, str], *names: str) -> Iterator[None]:
    """Statements without their row locks."""
    with patch.dict(statements, {name: re.sub(r"FOR UPDATE( OF \w+)?", "", statements[name]) for name in names}):
        yield


def without_inbox() -> AbstractContextManager[None]:
    return patch.object(world.World, "is_settled", lambda self, journal, sequence: False)


def with_a_mark() -> AbstractContextManager[None]:
    def is_settled(self: Any, journal: Any, sequence: int) -> bool:
        seen = self.seen.get(journal, ())
        return bool(seen) and sequence <= seen[-1][1]

    return patch.object(world.World, "is_settled", is_settled)


@contextmanager
def without_outbox() -> Iterator[None]:
    """What others hear is written after the commit, by itself: what dies in between is never said."""
    waiting: dict[Any, list[Any]] = {}
    insert, commit = outbox.insert, Connection.commit

    async def stash(conn: Any, rows: Any, *, beside: Any = (), leader: Any = None) -> list[Any]:
        waiting.setdefault(conn, []).extend(rows)
        await together(conn, beside)
        return []

    async def then_say(self: Connection) -> None:
        await commit(self)
        rows = waiting.pop(self, [])
        if rows:
            async with Pool(self.database, self.process).transaction() as other:
                await insert(other, rows)

    with patch.object(save.outbox, "insert", stash), patch.object(Connection, "commit", then_say):
        yield


@contextmanager
def without_row_locks() -> Iterator[None]:
    names = [name for name, statement in batches.sql.items() if "FOR UPDATE" in statement]
    with unlocked(batches.sql, *names):
        yield


@contextmanager
def everybody_leads() -> Iterator[None]:
    """The leases of leaders keep nobody out: two leaders repeat, and reorder nothing, as long as the counter is locked."""

    take = leadership.take

    async def mine(conn: Any, name: str, holder: str) -> bool:
        return True

    async def taken(conn: Any, name: str, holder: str, kind: Any = "leader", **more: Any) -> int | None:
        return 1 if kind == "leader" else await take(conn, name, holder, kind, **more)

    led = "EXISTS (SELECT FROM leads)"
    assert led in events.sql["relay"] and led in outbox.sql["insert"]
    with (
        patch.object(leadership, "is_mine", mine),
        patch.object(leadership, "take", taken),
        patch.dict(events.sql, {"relay": events.sql["relay"].replace(led, "true")}),
        patch.dict(outbox.sql, {"insert": outbox.sql["insert"].replace(led, "$3::text IS NOT NULL")}),
    ):
        yield


@contextmanager
def without_counters_lock() -> Iterator[None]:
    """The counter is read first, and what is moved is numbered from there, whoever else moved meanwhile."""
    relay = events.relay

    async def blindly(conn: Any, most: int, **more: Any) -> Any:
        return await relay(
            Blind(conn, await conn.fetchval("SELECT value FROM counters WHERE name = 'events'")), most, **more
        )

    with everybody_leads(), moved_by_a_turn(), patch.object(events, "relay", blindly):
        yield


@contextmanager
def moved_by_a_turn() -> Iterator[None]:
    """Nothing is numbered at once."""
    by = "$3::text IS NOT NULL"
    assert by in outbox.sql["insert"]
    with patch.dict(outbox.sql, {"insert": outbox.sql["insert"].replace(by, "false")}):
        yield


@dataclass
class Blind:
    """A connection on which the relay's statement believes what the counter was."""

    conn: Any
    counted: int

    async def fetchrow(self, statement: str, *args: Any) -> Any:
        counter = f"counter AS MATERIALIZED (SELECT {self.counted}::bigint AS value)"
        blind = re.sub(r"counter AS MATERIALIZED \(.*?FOR UPDATE\s*\)", counter, statement, flags=re.DOTALL)
        fresh = r"c WHERE c.value = \(SELECT value FROM counters WHERE name = 'events'\)"
        return await self.conn.fetchrow(re.sub(fresh, "c", blind), *args)


def without_ear() -> AbstractContextManager[None]:
    """Whoever is silent is stale, whether anybody could have heard or not."""
    deaf = hosts.sql["mark_offline"].replace("EXISTS (SELECT FROM ear)", "true")
    return patch.dict(hosts.sql, {"mark_offline": deaf})


def without_repeated_wish() -> AbstractContextManager[None]:
    async def step(conn: Any, rules: Any) -> dict[str, int]:
        return {}

    return patch.object(wish_sweep, "step", step)


def with_the_highest_seen() -> AbstractContextManager[None]:
    def seen(deployment: Any, version: int | None) -> Any:
        return (
            deployment
            if version is None
            else msgspec.structs.replace(deployment, seen_version=max(version, deployment.seen_version))
        )

    return patch.object(deployments, "seen", seen)


def without_taking_back() -> AbstractContextManager[None]:
    """The sweep ends the session, and leaves the wish as it is."""
    left = SimpleNamespace(wished=lambda deployment, desired, **_: deployment)
    return patch.object(deadlines, "deployments", left)


@contextmanager
def without_run_numbers() -> Iterator[None]:
    """A start counts whenever its version is new, though its host has begun that run, or a later one, by itself."""
    judge = wishes.judge_start

    def by_version(held: wishes.Held, said: wishes.Wish, run: int) -> Any:
        return judge(replace(held, last_run=min(held.last_run, run - 1)), said, run)

    with patch.object(wishes, "judge_start", by_version):
        yield


def without_due_reports() -> AbstractContextManager[None]:
    """A report that is wanted is asked for once."""

    async def note_reports(conn: Any, **_: Any) -> None:
        pass

    return patch.object(sweeps, "note_reports", note_reports)


@contextmanager
def without_comparison() -> Iterator[None]:
    """Nobody looks whether what a host says that it runs is what the rows say, nor asks a second time."""

    async def step(self: Any, conn: Any, rules: Any) -> dict[str, int]:
        return {}

    with without_due_reports(), patch.object(report_sweep.Differing, "step", step):
        yield


class Unconfirmed(SimAgent):
    """Deletes an entry when it was sent, whatever the broker says."""

    async def send(self) -> None:
        await self.may_speak()
        while True:
            if not self.disk.waiting:
                await self.time.wait(self.mail, 5.0)
                continue
            entry = self.disk.waiting.pop(0)
            self.machine.confirmed.setdefault(entry.journal, set()).add(entry.sequence)
            try:
                await self.bus.publish([entry.message])
            except Exception:
                await self.time.sleep(1.0)


class Shuffled(SimAgent):
    """Sends again whatever comes to hand."""

    def resent(self, waiting: list[Entry]) -> list[Entry]:
        return self.time.chance.sample(waiting, len(waiting))


def cancels(house: House) -> None:
    house.broker.only_cancel = True


def unconfirmed(house: House) -> None:
    house.agent_type = Unconfirmed


def shuffled(house: House) -> None:
    house.agent_type = Shuffled


ALL: dict[str, Mutation] = {
    "the inbox": Mutation(without_inbox, ("doubles", "lose_confirm", "lose_reply")),
    "the inbox is a set": Mutation(with_a_mark, ("reorders",)),
    "the outbox": Mutation(without_outbox, ("kill_replica", "lose_reply", "database_down")),
    "the row lock": Mutation(without_row_locks, ("slow_database", "cut_replica"), count=40, asks_every=1.0),
    "the confirms": Mutation(kept, ("broker_down", "cut_agent", "lose_confirm"), change=unconfirmed),
    "the counter's lock": Mutation(
        without_counters_lock,
        ("slow_database",),
        on=everybody_leads,
        count=30,
        asks_every=0.2,
        minutes=1,
    ),
    "closing the channel": Mutation(
        kept, ("slow_database", "kill_replica", "lose_confirm"), change=cancels, count=60, asks_every=1.0
    ),
    "the pulse": Mutation(without_ear, ("cut_replica", "freeze_replica"), count=30, replicas=1),
    "the re-send order": Mutation(kept, ("broker_down", "cut_agent", "lose_confirm"), change=shuffled),
    "the repeated wish": Mutation(without_repeated_wish, ("lose_commands",), seeds=(3,)),
    "the last-said seen_version": Mutation(with_the_highest_seen, ("restore",), seeds=(2, 3)),
    "the wish taken back": Mutation(without_taking_back, ("api_away",)),
    "the run numbers": Mutation(
        without_run_numbers, ("start_at_restart", "cut_replica"), seeds=(4, 2), count=40, asks_every=1.0
    ),
    "the comparison of live ids": Mutation(
        without_comparison, ("restore", "lose_commands"), on=without_due_reports, seeds=(9, 73)
    ),
    "the report that stays due": Mutation(
        without_due_reports, ("reorders", "lose_commands"), seeds=(10,), count=40, asks_every=1.0
    ),
}
__all__ = ["ALL", "Mutation", "batch", "plan"]
