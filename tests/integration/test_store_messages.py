"""Outbox, numbered events, leases of leaders and replicas, dead letters, attempts."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from integration.store_rows import a_host, a_row

from manman.domain.ids import HostId
from manman.store import attempts, dead_letter_changes, dead_letters, events, installation, leadership, outbox
from manman.store.pool import Pool

pytestmark = pytest.mark.both_postgres


def positions(turn: events.Turn) -> list[int]:
    return [event.position for event in turn.public]


async def test_rows_become_events_in_order_numbered_without_a_gap(pool: Pool) -> None:
    async with pool.transaction() as conn:
        await outbox.insert(conn, [a_row(n) for n in range(1, 8)])
    async with pool.acquire() as conn:
        assert [(await events.relay(conn, 5)).moved for _ in range(3)] == [5, 2, 0]
        found = (await events.relay(conn, 100)).public
        assert [(e.cursor, e.row.said["number"]) for e in found] == [(f"1-{n}", n) for n in range(1, 8)]
        assert found[0].row == a_row(1)
        assert await events.bounds(conn) == events.Bounds(epoch=1, last=7, first=1)


async def test_a_turn_answers_what_it_moved_and_before_it_what_was_left(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await outbox.insert(conn, [a_row(n) for n in range(1, 4)])
        assert positions(await events.relay(conn, 10)) == [1, 2, 3]
        await outbox.insert(conn, [a_row(n) for n in range(4, 7)])
        assert positions(await events.relay(conn, 10)) == [1, 2, 3, 4, 5, 6]
        await outbox.insert(conn, [a_row(7)])
        behind = await events.relay(conn, 4)
        assert (positions(behind), behind.moved, behind.due, behind.last) == ([1, 2, 3, 4], 1, 4, 4)
        assert positions(await events.relay(conn, 4, published=4)) == [5, 6, 7]


async def test_two_movers_at_once_give_each_position_once(pool: Pool) -> None:
    async with pool.transaction() as conn:
        await outbox.insert(conn, [a_row(n) for n in range(1, 101)])

    async def move() -> int:
        async with pool.acquire() as conn:
            return (await events.relay(conn, 10)).moved

    moved = await asyncio.gather(*(move() for _ in range(20)))
    assert sum(moved) <= 100
    while await move():
        pass
    async with pool.acquire() as conn:
        turn = await events.relay(conn, 1000)
    assert positions(turn) == list(range(1, 101))
    assert sorted(e.row.said["number"] for e in turn.public) == list(range(1, 101))


async def test_a_mover_that_waited_for_another_leaves_out_nothing_that_the_other_moved(pool: Pool) -> None:
    async with pool.acquire() as first, pool.acquire() as second, pool.acquire() as conn:
        await outbox.insert(conn, [a_row(1)])
        async with first.transaction():
            assert positions(await events.relay(first, 10)) == [1]
            await outbox.insert(conn, [a_row(2)])
            waiting = asyncio.create_task(events.relay(second, 10))
            await asyncio.sleep(0.2)
            assert not waiting.done()
        assert positions(await waiting) == [1, 2]


async def test_a_mover_that_rolls_back_leaves_no_hole(pool: Pool) -> None:
    async with pool.transaction() as conn:
        await outbox.insert(conn, [a_row(1), a_row(2)])
    with pytest.raises(ZeroDivisionError):
        async with pool.transaction() as conn:
            assert (await events.relay(conn, 10)).moved == 2
            raise ZeroDivisionError
    async with pool.acquire() as conn:
        assert positions(await events.relay(conn, 10)) == [1, 2]


async def test_what_is_published_is_not_offered_again_and_the_cursor_never_goes_back(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await outbox.insert(conn, [a_row(1), a_row(2, exchange=None, public=False), a_row(3), a_row(4)])
        turn = await events.relay(conn, 10)
        assert (positions(turn), turn.due, turn.last) == ([1, 3, 4], 4, 4)
        assert positions(await events.relay(conn, 10, published=3)) == [4]
        assert positions(await events.relay(conn, 10, published=1)) == [4]
        assert await conn.fetchval("SELECT value FROM counters WHERE name = 'published'") == 3


async def test_who_holds_no_lease_moves_nothing(pool: Pool) -> None:
    async with pool.acquire() as conn:
        await outbox.insert(conn, [a_row(1)])
        assert not (await events.relay(conn, 10, published=5, lease=("relay", "a"))).leads
        assert await leadership.take(conn, "relay", "a", lasts=timedelta(minutes=1)) is not None
        assert not (await events.relay(conn, 10, published=5, lease=("relay", "b"))).leads
        turn = await events.relay(conn, 10, lease=("relay", "a"))
        assert (turn.leads, positions(turn)) == (True, [1])


async def leading(conn: Any, *, published: int | None = None) -> outbox.Leader:
    """A leader whose lease holds."""
    assert await leadership.take(conn, "relay", "a", lasts=timedelta(minutes=1)) is not None
    return outbox.Leader(lease="relay", holder="a", published=published)


async def test_what_the_leader_says_is_numbered_at_once_and_its_commands_wait(pool: Pool) -> None:
    command = a_row(3, exchange="manman", key="command.host.1.stop", host_id=HostId(1))
    async with pool.acquire() as conn:
        await outbox.insert(conn, [a_row(1)])
        assert positions(await events.relay(conn, 10)) == [1]
        leader = await leading(conn, published=1)
        said = await outbox.insert(conn, [a_row(2), command, a_row(4, exchange=None)], leader=leader)
        assert [(e.cursor, e.row) for e in said] == [("1-2", a_row(2)), ("1-3", a_row(4, exchange=None))]
        assert [w.row for w in await outbox.commands(conn, 10)] == [command]
        assert await conn.fetchval("SELECT value FROM counters WHERE name = 'published'") == 1
        turn = await events.relay(conn, 10)
        assert (turn.moved, turn.due, turn.last) == (0, 2, 3)
        assert [(e.position, e.at, e.row) for e in turn.public] == [(2, said[0].at, a_row(2))]
        rows = await events.after(conn, 1, 0, 10)
        assert [row["position"] for row in rows] == [1, 2, 3]


async def test_a_command_alone_is_no_event(pool: Pool) -> None:
    command = a_row(1, exchange="manman", key="command.host.1.stop", host_id=HostId(1))
    async with pool.acquire() as conn:
        assert await outbox.insert(conn, [command], leader=await leading(conn, published=7)) == []
        assert [w.row for w in await outbox.commands(conn, 10)] == [command]
        assert (await events.bounds(conn)).last == 0


@pytest.mark.parametrize("why", ["somebody else leads", "the lease is over", "an event waits", "the counter is held"])
async def test_the_leader_waits_for_its_turn_where(why: str, pool: Pool) -> None:
    async with pool.acquire() as conn, pool.acquire() as other:
        leader = await leading(conn)
        if why == "somebody else leads":
            await conn.execute("UPDATE leases SET holder = 'b'")
        if why == "the lease is over":
            await conn.execute("UPDATE leases SET until = clock()")
        if why == "an event waits":
            await outbox.insert(conn, [a_row(1)])
        holding = other.transaction()
        await holding.start()
        if why == "the counter is held":
            await other.execute("SELECT FROM counters WHERE name = 'events' FOR UPDATE")
        async with asyncio.timeout(10):
            assert await outbox.insert(conn, [a_row(2)], leader=leader) == []
        await holding.rollback()
        assert (await events.bounds(conn)).last == 0
        assert [e.row for e in (await events.relay(conn, 10)).public][-1] == a_row(2)


async def test_a_leader_that_rolls_back_leaves_no_hole(pool: Pool) -> None:
    async with pool.acquire() as conn:
        leader = await leading(conn)
        with pytest.raises(ZeroDivisionError):
            async with conn.transaction():
                assert len(await outbox.insert(conn, [a_row(1), a_row(2)], leader=leader)) == 2
                raise ZeroDivisionError
        assert [e.position for e in await outbox.insert(conn, [a_row(3)], leader=leader)] == [1]


async def test_the_leader_numbers_from_the_counter_that_it_locks_not_from_the_one_that_it_read(pool: Pool) -> None:
    async with pool.acquire() as conn, pool.acquire() as other, pool.acquire() as third:
        leader = await leading(conn, published=3)
        async with other.transaction():
            await other.execute("SELECT FROM leases WHERE name = 'relay' FOR UPDATE")
            waiting = asyncio.create_task(outbox.insert(conn, [a_row(10), a_row(11)], leader=leader))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await outbox.insert(third, [a_row(n) for n in range(1, 6)])
            assert (await events.relay(third, 10)).moved == 5
            await events.relay(third, 10, published=5)
        assert [e.position for e in await waiting] == [6, 7]
        counters = await conn.fetch(
            "SELECT name, value FROM counters WHERE name IN ('events', 'published') ORDER BY name"
        )
        assert [row["value"] for row in counters] == [7, 5]


async def test_what_another_database_had_published_is_not_noted_here(pool: Pool) -> None:
    async with pool.acquire() as conn:
        assert len(await outbox.insert(conn, [a_row(1)], leader=await leading(conn, published=1000))) == 1
        turn = await events.relay(conn, 10, published=1000)
        assert (positions(turn), turn.last) == ([1], 1)
        assert await conn.fetchval("SELECT value FROM counters WHERE name = 'published'") == 0


@pytest.mark.parametrize("first", ["the batch", "the turn", "the epoch"])
async def test_an_epoch_that_begins_beside_a_batch_loses_none_of_its_events(first: str, pool: Pool) -> None:
    async with pool.acquire() as conn, pool.acquire() as other:
        leader = await leading(conn)
        ours, theirs = conn.transaction(), other.transaction()
        await ours.start()
        await theirs.start()
        if first == "the epoch":
            assert await installation.begin_epoch(other, 2, "of a test")
            saying = asyncio.create_task(outbox.insert(conn, [a_row(1)], leader=leader))
            await asyncio.sleep(0.2)
            await theirs.commit()
            await saying
            await ours.commit()
        else:
            await outbox.insert(conn, [a_row(1)], leader=leader if first == "the batch" else None)
            if first == "the turn":
                assert (await events.relay(conn, 10)).moved == 1
            beginning = asyncio.create_task(installation.begin_epoch(other, 2, "of a test"))
            await asyncio.sleep(0.2)
            await ours.commit()
            assert await beginning
            await theirs.commit()
        turn = await events.relay(conn, 10)
        assert [(e.epoch, e.row) for e in turn.public] == [(2, a_row(1))]


async def test_at_once_or_moved_each_session_keeps_its_order_and_no_position_is_left_out(pool: Pool) -> None:
    """Four writers on four rows, two of them as the leader, and two movers, all at once."""
    async with pool.acquire() as conn:
        leader = await leading(conn)
        await conn.execute("CREATE TABLE said (row int PRIMARY KEY, number int NOT NULL)")
        await conn.execute("INSERT INTO said SELECT n, 0 FROM generate_series(0, 3) n")
    at_once, done = 0, asyncio.Event()

    async def write(writer: int) -> None:
        nonlocal at_once
        for turn in range(60):
            row = (writer + turn) % 4
            async with pool.transaction() as conn:
                number = await conn.fetchval("SELECT number + 1 FROM said WHERE row = $1 FOR UPDATE", row)
                await conn.execute("UPDATE said SET number = $2 WHERE row = $1", row, number)
                one = a_row(row * 1000 + number)
                at_once += len(await outbox.insert(conn, [one], leader=leader if writer % 2 else None))

    async def move() -> None:
        while not done.is_set():
            async with pool.acquire() as conn:
                await events.relay(conn, 3)
            await asyncio.sleep(0.002)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        movers = [group.create_task(move()) for _ in range(2)]
        await asyncio.gather(*(write(writer) for writer in range(4)))
        done.set()
        await asyncio.gather(*movers)
    async with pool.acquire() as conn:
        while (await events.relay(conn, 100)).moved:
            pass
        rows = await conn.fetch("SELECT position, body FROM events ORDER BY position")
    assert 0 < at_once < 240
    assert [row["position"] for row in rows] == list(range(1, 241))
    numbers = [row["body"]["number"] for row in rows]
    for row in range(4):
        assert [n % 1000 for n in numbers if n // 1000 == row] == list(range(1, 61))


async def test_commands_stay_behind_with_what_is_left_of_their_time(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        late = a_row(
            2, exchange="manman", key=f"command.host.{host}.input", host_id=host, ttl=timedelta(milliseconds=1)
        )
        stop = a_row(1, exchange="manman", key=f"command.host.{host}.stop", host_id=host)
        other = a_row(3, exchange="manman", key="command.host.77.start", host_id=HostId(77), ttl=timedelta(hours=1))
        async with conn.transaction():
            await outbox.insert(conn, [stop, late, other, a_row(4)])
        await asyncio.sleep(0.01)
        async with conn.transaction():
            assert (await events.relay(conn, 10)).moved == 1
        waiting = await outbox.commands(conn, 10)
        assert [w.row for w in waiting] == [stop, late, other]
        assert waiting[0].ttl_left is None
        assert waiting[1].ttl_left is not None and waiting[1].ttl_left < timedelta(0)
        assert waiting[2].ttl_left is not None and timedelta(minutes=58) < waiting[2].ttl_left <= timedelta(hours=1)
        assert [w.row for w in await outbox.commands(conn, 10, held_up=[host])] == [other]
        await outbox.remove(conn, [waiting[0].id, waiting[1].id])
        assert [w.row for w in await outbox.commands(conn, 10)] == [other]
        left = await outbox.backlog(conn)
        assert (left.commands, left.events) == (1, 1)  # the event has a number, and is not published
        await events.relay(conn, 10, published=1)
        left = await outbox.backlog(conn)
        assert (left.commands, left.events) == (1, 0)


async def test_the_commit_wakes_the_relay_and_the_move_wakes_readers(pool: Pool, database_url: str) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    async with pool.acquire() as listener, pool.acquire() as conn:

        def take(_: Any, __: int, channel: str, payload: str) -> None:
            heard.put_nowait((channel, payload))

        for channel in (outbox.CHANNEL, events.CHANNEL):
            await listener.add_listener(channel, take)
        async with conn.transaction():
            await outbox.insert(conn, [a_row(1), a_row(2)])
        async with asyncio.timeout(10):
            assert await heard.get() == (outbox.CHANNEL, "")
        async with conn.transaction():
            await outbox.insert(conn, [a_row(3, exchange="manman", key="command.host.1.stop", host_id=HostId(1))])
        async with asyncio.timeout(10):
            assert await heard.get() == (outbox.CHANNEL, "commands")  # and nothing else: there is nothing to move
        async with conn.transaction():
            await events.relay(conn, 10)
        async with asyncio.timeout(10):
            assert await heard.get() == (events.CHANNEL, "2")
        for channel in (outbox.CHANNEL, events.CHANNEL):
            await listener.remove_listener(channel, take)


async def test_a_lease_has_one_holder_until_it_is_over(pool: Pool) -> None:
    async with pool.acquire() as conn:
        first = await leadership.take(conn, "relay", "a")
        assert first is not None
        assert await leadership.take(conn, "relay", "b") is None
        assert await leadership.renew(conn, "relay", "a") == first
        assert await leadership.holder_of(conn, "relay") == "a"
        await conn.execute("UPDATE leases SET until = clock() - interval '1 second'")
        assert not await leadership.is_mine(conn, "relay", "a")
        assert await leadership.take(conn, "relay", "b") == first + 1
        assert not await leadership.is_mine(conn, "relay", "a")
        assert await leadership.is_mine(conn, "relay", "b")
        await leadership.release(conn, "relay", "a")
        assert await leadership.holder_of(conn, "relay") == "b"
        await leadership.release(conn, "relay", "b")
        assert await leadership.holder_of(conn, "relay") is None


async def test_nobody_takes_a_lease_over_while_its_holders_transaction_goes_on(pool: Pool) -> None:
    async with pool.acquire() as leader, pool.acquire() as other:
        await leadership.take(leader, "sweep", "a", lasts=timedelta(milliseconds=300))
        async with leader.transaction():
            assert await leadership.is_mine(leader, "sweep", "a")
            await asyncio.sleep(0.5)
            assert await leadership.take(other, "sweep", "b") is None
        assert await leadership.take(other, "sweep", "b") is not None


async def test_a_leader_renews_and_releases_while_a_transaction_of_its_own_goes_on(pool: Pool) -> None:
    async with pool.acquire() as sweeping, pool.acquire() as renewing, pool.acquire() as other:
        await sweeping.execute("SET lock_timeout = '100 ms'")
        term = await leadership.take(renewing, "sweep", "a", lasts=timedelta(milliseconds=300))
        async with sweeping.transaction():
            assert await leadership.is_mine(sweeping, "sweep", "a")
            assert await leadership.renew(renewing, "sweep", "a", lasts=timedelta(minutes=1)) == term
            assert await leadership.take(other, "sweep", "b") is None
            await leadership.release(renewing, "sweep", "a")
            assert await leadership.holder_of(renewing, "sweep") is None
            assert await leadership.take(other, "sweep", "b") is None
        assert await leadership.take(other, "sweep", "b") == term + 1


async def test_of_many_that_want_to_lead_one_does(pool: Pool) -> None:
    async def want(name: str) -> int | None:
        async with pool.acquire() as conn:
            return await leadership.take(conn, "relay", name)

    taken = await asyncio.gather(*(want(f"r{n}") for n in range(20)))
    assert len([term for term in taken if term is not None]) == 1


async def test_live_replicas_are_told_in_a_stable_order(pool: Pool) -> None:
    async with pool.acquire() as conn:
        for name in ("b", "a", "c"):
            await leadership.enter(conn, "processor", name, facts={"at": name})
        await leadership.enter(conn, "api", "z")
        await conn.execute("UPDATE leases SET until = clock() - interval '2 minutes' WHERE holder = 'c'")
        found = await leadership.replicas(conn, "processor")
        assert [(r.holder, r.facts) for r in found] == [("a", {"at": "a"}), ("b", {"at": "b"})]
        assert await conn.fetchval("SELECT count(*) FROM leases WHERE holder = 'c'") == 0
        await leadership.leave(conn, "processor", "a")
        assert [r.holder for r in await leadership.replicas(conn, "processor")] == ["b"]


@dataclass(frozen=True, kw_only=True)
class Letter:
    key: str = "status.session.running.1"
    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes = b"{}"
    reason: str = "malformed"
    detail: str = "status: unknown word"
    host_id: int | None = None
    session_id: int | None = None
    journal: str | None = None
    sequence: int | None = None
    event_id: str | None = None


async def test_a_refused_message_is_kept_as_it_came(pool: Pool) -> None:
    body = bytes(range(256))
    letter = Letter(body=body, headers={"cloudEvents:id": "x\x00y", "n": 7, "b": b"\xff", "deep": {"a": [1, "\x00"]}})
    async with pool.transaction() as conn:
        ids = await dead_letters.insert(conn, [letter, Letter(host_id=3, sequence=9, journal="j", event_id="e")])
        assert ids == sorted(ids) and len(ids) == 2
        row = await dead_letter_changes.lock(conn, ids[0])
        assert row is not None
        assert row["body"] == body
        assert row["headers"] == {"cloudEvents:id": "x�y", "n": 7, "b": "�", "deep": {"a": [1, "�"]}}
        assert await dead_letters.count_open(conn) == 2


async def test_a_replayed_letter_is_closed_or_told_anew(pool: Pool) -> None:
    async with pool.transaction() as conn:
        mended, still = await dead_letters.insert(conn, [Letter(), Letter()])
        await dead_letter_changes.note_replay(conn, mended, UUID(int=1))
        await dead_letters.close(conn, {mended: None, still: "still unknown"})
        assert await dead_letters.count_open(conn) == 1
        rows = await conn.fetch("SELECT id, detail, replayed_at IS NOT NULL AS closed FROM dead_letters ORDER BY id")
        assert [tuple(row) for row in rows] == [(mended, "status: unknown word", True), (still, "still unknown", False)]
        assert await dead_letter_changes.drop(conn, still)
        assert not await dead_letter_changes.drop(conn, still)


async def test_attempts_are_counted_until_they_are_erased(pool: Pool) -> None:
    async with pool.acquire() as conn:
        assert [await attempts.note(conn, "m", "status.host.online", 1) for _ in range(3)] == [1, 2, 3]
        assert await attempts.note(conn, "other", "k", None) == 1
        await attempts.take_back(conn, ["m", "never noted"])
        assert await attempts.note(conn, "m", "status.host.online", 1) == 3
        await attempts.erase(conn, ["m"])
        assert await attempts.note(conn, "m", "status.host.online", 1) == 1


async def test_an_attempt_is_noted_whatever_the_key_of_the_message(pool: Pool) -> None:
    async with pool.transaction() as conn:
        for key in ("status.session.run\0ning", "status.\ud800", "status.session.running"):
            await attempts.note(conn, "m", key, 3)
        assert await conn.fetchval("SELECT count FROM attempts WHERE message = 'm'") == 3
