"""Protections of the processor that its test program can switch off from outside, one at a time, and what provokes their lack."""

import asyncio
import re
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec

from manman.domain import deployments
from manman.events.rabbit import link
from manman.events.rabbit.consumer import RabbitConsumer
from manman.processor import world
from manman.processor.sweeps import deadlines
from manman.processor.sweeps import reports as report_sweep
from manman.processor.sweeps import wishes as wish_sweep
from manman.processor.transactions import Transactions
from manman.store import batches, events, hosts, leadership, outbox, save, sweeps
from manman.store.sql import together

COUNTED = """UPDATE counters SET value = value + (SELECT count(*) FROM moved) WHERE name = 'events' AND EXISTS (SELECT FROM moved)
    RETURNING value"""


def no_inbox() -> None:
    world.World.is_settled = lambda self, journal, sequence: False  # type: ignore[method-assign]


def a_mark_for_the_inbox() -> None:
    def is_settled(self: Any, journal: Any, sequence: int) -> bool:
        seen = self.seen.get(journal, ())
        return bool(seen) and sequence <= seen[-1][1]

    world.World.is_settled = is_settled  # type: ignore[method-assign]


def no_outbox() -> None:
    """What others hear is written after the commit, by itself, a moment later: what dies in between is never said."""
    waiting: list[Any] = []
    insert, apply = outbox.insert, Transactions.apply

    async def stash(conn: Any, rows: Any, *, beside: Any = (), leader: Any = None) -> list[Any]:
        waiting.extend(rows)
        await together(conn, beside)
        return []

    async def then_say(self: Transactions, arrived: Any, erase: Any) -> Any:
        done = await apply(self, arrived, erase)
        rows, waiting[:] = list(waiting), []
        if rows:
            await asyncio.sleep(0.5)
            async with self.pool.transaction() as conn:
                await insert(conn, rows)
        return done

    save.outbox = type("Stash", (), {"insert": staticmethod(stash)})
    Transactions.apply = then_say  # type: ignore[method-assign]


def _unlock(statements: dict[str, str], *names: str) -> None:
    for name in names:
        statements[name], count = re.subn(r"FOR (NO KEY )?UPDATE( OF \w+)?", "", statements[name])
        assert count, f"{name} locks nothing"


def no_row_locks() -> None:
    _unlock(batches.sql, "lock_hosts", "lock_journals", "lock_leases", "lock_deployments", "lock_sessions")


def everybody_leads() -> None:
    """No lease keeps anybody out: two leaders repeat, and reorder nothing, as long as the counter is locked."""
    really = leadership.take

    async def mine(conn: Any, name: str, holder: str) -> bool:
        return True

    async def take(conn: Any, name: str, holder: str, kind: Any = "leader", **more: Any) -> int | None:
        return 1 if kind == "leader" else await really(conn, name, holder, kind, **more)

    leadership.is_mine, leadership.take = mine, take
    asked = "WHERE name = $1 AND holder = $2 AND until > clock() FOR KEY SHARE"
    assert asked in events.sql["relay"]
    events.sql["relay"] = events.sql["relay"].replace(asked, "WHERE name = $1 OR holder = $2")
    events.sql["relay"] = events.sql["relay"].replace("EXISTS (SELECT FROM leads)", "true")
    assert "EXISTS (SELECT FROM leads)" in outbox.sql["insert"]
    outbox.sql["insert"] = outbox.sql["insert"].replace("EXISTS (SELECT FROM leads)", "$3::text IS NOT NULL")


def no_lock_of_the_counter() -> None:
    """Numbers come from a sequence (`numbers`), as they would without a lock: who took the lower ones may commit after the higher."""
    everybody_leads()
    outbox.sql["insert"] = outbox.sql["insert"].replace("$3::text IS NOT NULL", "false")  # all take the relay's way
    for asked, instead in (
        ("FOR UPDATE\n", "\n"),
        ("ORDER BY id LIMIT $4\n", "ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED\n"),
        ("f.value + row_number() OVER (ORDER BY g.id)", "nextval('numbers')"),
        (COUNTED, "SELECT max(position) AS value FROM moved HAVING count(*) > 0"),
    ):
        assert asked in events.sql["relay"], asked
        events.sql["relay"] = events.sql["relay"].replace(asked, instead)
    really = events.relay

    async def relay(conn: Any, most: int, **more: Any) -> Any:
        with suppress(asyncpg.PostgresError):  # the other leader makes it at the same time
            await conn.execute("CREATE SEQUENCE IF NOT EXISTS numbers")
        return await really(conn, most, **more)

    events.relay = relay


def cancel_instead_of_close() -> None:
    """The consumer is cancelled and its channel closed only later: what it had comes behind the waiting ones."""

    async def close(self: RabbitConsumer) -> None:
        channel = self._channel
        if channel.is_open:
            channel.basic_cancel(next(iter(channel.consumer_tags)))
            asyncio.get_running_loop().call_later(2.0, lambda: asyncio.ensure_future(link.close_channel(channel)))
            await asyncio.sleep(0.1)

    RabbitConsumer.close = close  # type: ignore[method-assign]


def no_ear() -> None:
    hosts.sql["mark_offline"] = hosts.sql["mark_offline"].replace("EXISTS (SELECT FROM ear)", "true")


def no_repeated_wish() -> None:
    async def step(conn: Any, rules: Any) -> dict[str, int]:
        return {}

    wish_sweep.step = step


def the_highest_seen() -> None:
    def seen(deployment: Any, version: int | None) -> Any:
        if version is None:
            return deployment
        return msgspec.structs.replace(deployment, seen_version=max(version, deployment.seen_version))

    deployments.seen = seen


def no_taking_back() -> None:
    deadlines.deployments = type("Kept", (), {"wished": staticmethod(lambda deployment, desired: deployment)})  # type: ignore[assignment]


def no_comparison() -> None:
    """Nobody looks whether what a host says that it runs is what the rows say."""

    async def step(self: Any, conn: Any, rules: Any) -> dict[str, int]:
        return {}

    report_sweep.Differing.step = step  # type: ignore[method-assign]


def no_due_reports() -> None:
    """A report that is wanted is asked for once."""

    async def note_reports(conn: Any, **_: Any) -> None:
        pass

    sweeps.note_reports = note_reports


OFF = {
    "inbox": no_inbox,
    "inbox as a set": a_mark_for_the_inbox,
    "outbox": no_outbox,
    "row locks": no_row_locks,
    "leases": everybody_leads,
    "counter's lock": no_lock_of_the_counter,
    "closing the channel": cancel_instead_of_close,
    "pulse": no_ear,
    "repeated wish": no_repeated_wish,
    "wish taken back": no_taking_back,
    "last-said seen_version": the_highest_seen,
    "comparison of live ids": no_comparison,
    "report that stays due": no_due_reports,
}
