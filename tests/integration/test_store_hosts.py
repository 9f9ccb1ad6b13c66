"""Liveness of hosts in the database: heartbeats in bulk, the sweep that judges only what it could have heard."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest
from integration.store_rows import AT, a_host

from manman.domain.hosts import GOODBYE, Heard, HostMoved, Presence
from manman.domain.ids import HostId
from manman.store import hosts
from manman.store.hosts import Beat
from manman.store.pool import Connection, Pool

pytestmark = pytest.mark.both_postgres
TEN = timedelta(seconds=10)


async def beating(conn: Connection, many: int) -> list[HostId]:
    made = [await a_host(conn) for _ in range(many)]
    await hosts.update_last_seen(conn, [Beat(host_id=h, boot=1, beat=1) for h in made])
    return made


def beat(host: HostId, number: int) -> Beat:
    return Beat(host_id=host, boot=1, beat=number)


async def silence(conn: Connection, silent: list[HostId], seconds: float) -> None:
    await conn.execute(
        "UPDATE host_heartbeats SET last_seen = clock() - $2 * interval '1 second' WHERE host = ANY ($1::bigint[])",
        silent,
        seconds,
    )


async def good_ear(conn: Connection, seconds: float = 60) -> None:
    await conn.execute("UPDATE pulse SET last = clock(), since = clock() - $1 * interval '1 second'", seconds)


async def test_the_first_beat_of_a_host_brings_it_in(pool: Pool) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        said = [Beat(host_id=host, boot=3, beat=1, live_count=2, live_xor=5), Beat(host_id=HostId(999), boot=1, beat=1)]
        first, unknown = await hosts.update_last_seen(conn, said)
        assert first.counted and first.returned and first.was is Presence.NEW
        assert not unknown.known and not unknown.counted
        row = await conn.fetchrow("SELECT * FROM host_heartbeats WHERE host = $1", host)
        assert (row["online"], row["boot"], row["beat"], row["live_count"], row["live_xor"]) == (True, 3, 1, 2, 5)
        assert row["returned_at"] is None


@pytest.mark.parametrize(
    ("boot", "beat", "counts"),
    [(5, 8, True), (6, 0, True), (5, 7, False), (5, 6, False), (4, 99, False), (None, None, True)],
)
async def test_only_a_beat_above_the_known_one_counts(
    pool: Pool, boot: int | None, beat: int | None, counts: bool
) -> None:
    async with pool.acquire() as conn:
        host = await a_host(conn)
        await hosts.update_last_seen(conn, [Beat(host_id=host, boot=5, beat=7)])
        await silence(conn, [host], 5)
        before = await conn.fetchval("SELECT last_seen FROM host_heartbeats")
        (told,) = await hosts.update_last_seen(conn, [Beat(host_id=host, boot=boot, beat=beat)])
        assert told.counted is counts and not told.returned and (counts or told.known_boot == 5)
        after = await conn.fetchval("SELECT last_seen FROM host_heartbeats")
        assert (after > before) is counts


async def test_nothing_of_a_boot_that_said_goodbye_moves_its_host(pool: Pool) -> None:
    async with pool.acquire() as conn:
        (host,) = await beating(conn, 1)
        gone = Heard(host_id=host, online=False, boot=1, beat=GOODBYE, last_seen=AT)
        assert await hosts.update_status_and_last_seen(conn, [gone]) == [host]
        (told,) = await hosts.update_last_seen(conn, [Beat(host_id=host, boot=1, beat=2)])
        assert not told.counted and told.was is Presence.OFFLINE
        (told,) = await hosts.update_last_seen(conn, [Beat(host_id=host, boot=2, beat=1)])
        assert told.returned and told.last_seen == AT
        assert await conn.fetchval("SELECT returned_at = last_seen AND online FROM host_heartbeats")


async def test_a_plain_publishers_beat_brings_its_host_back_after_a_goodbye(pool: Pool) -> None:
    async with pool.acquire() as conn:
        (host,) = await beating(conn, 1)
        await hosts.update_status_and_last_seen(
            conn, [Heard(host_id=host, online=False, boot=1, beat=GOODBYE, last_seen=AT)]
        )
        (told,) = await hosts.update_last_seen(conn, [Beat(host_id=host)])
        assert told.returned
        assert await conn.fetchval("SELECT beat FROM host_heartbeats") == 0


async def test_heartbeats_are_updates_in_place(pool: Pool) -> None:
    """No index covers what they change, so that each is a HOT update."""
    async with pool.acquire() as conn:
        # All versions fit on one page: to remove old ones would wait for whoever is at work anywhere on this server.
        made = await beating(conn, 8)
        for beat in range(2, 5):
            await hosts.update_last_seen(conn, [Beat(host_id=h, boot=1, beat=beat) for h in made])
        await conn.execute("SELECT pg_stat_force_next_flush()")
        row = await conn.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'host_heartbeats'"
        )
        assert row["n_tup_upd"] >= 24
        assert row["n_tup_hot_upd"] == row["n_tup_upd"]


async def test_silent_hosts_are_marked_and_recorded_in_one_go(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 5)
        await silence(conn, made[:2], 11)
        await good_ear(conn)
        marked = await hosts.mark_offline(conn, TEN)
        assert [(m.host_id, m.mass, m.number) for m in marked] == [(made[0], False, 1), (made[1], False, 1)]
        assert await hosts.mark_offline(conn, TEN) == []
        history = await conn.fetch("SELECT host, number, from_status, to_status, cause FROM host_history ORDER BY host")
        assert [tuple(row) for row in history] == [(h, 1, "online", "stale", "silent") for h in made[:2]]
        assert [s.host_id for s in await hosts.list_stale(conn, TEN)] == made[:2]


@pytest.mark.parametrize("ear", ["never heard", "deaf now", "heard too short"])
async def test_nobody_is_marked_while_the_ear_is_not_good(pool: Pool, ear: str) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 3)
        await silence(conn, made, 600)
        match ear:
            case "deaf now":
                await conn.execute("UPDATE pulse SET last = clock() - interval '4 s', since = clock() - interval '1 h'")
            case "heard too short":
                await good_ear(conn, 19)
        assert await hosts.mark_offline(conn, TEN) == []
        await good_ear(conn, 21)
        assert len(await hosts.mark_offline(conn, TEN)) == 3


async def test_when_most_fall_silent_together_they_wait_one_more_threshold(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 10)
        await good_ear(conn)
        await silence(conn, made[:6], 12)
        assert await hosts.mark_offline(conn, TEN) == []
        await silence(conn, made[:3], 21)
        marked = await hosts.mark_offline(conn, TEN)
        assert [m.host_id for m in marked] == made[:6]
        assert all(m.mass for m in marked)


async def test_most_fall_silent_together_though_each_was_last_heard_at_another_moment(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 10)
        await good_ear(conn)
        for place, host in enumerate(made[:6]):  # beats come each 3 s
            await silence(conn, [host], 10.1 - place * 0.5)
        assert await hosts.mark_offline(conn, TEN) == []
        for place, host in enumerate(made[:6]):
            await silence(conn, [host], 20.1 - place * 0.5)
        marked = await hosts.mark_offline(conn, TEN)
        assert [(m.host_id, m.mass) for m in marked] == [(host, True) for host in made[:6]]


async def test_who_is_late_but_not_silent_is_not_marked(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 10)
        await good_ear(conn)
        await silence(conn, made[:2], 11)
        await silence(conn, made[2:5], 9)
        assert [m.host_id for m in await hosts.mark_offline(conn, TEN)] == made[:2]


async def test_half_of_the_hosts_or_all_of_three_are_no_mass(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 10)
        await good_ear(conn)
        await silence(conn, made[:5], 12)
        marked = await hosts.mark_offline(conn, TEN)
        assert [m.mass for m in marked] == [False] * 5
        await silence(conn, made[5:7], 12)
        assert [m.mass for m in await hosts.mark_offline(conn, TEN)] == [False] * 2
        await silence(conn, made[7:], 12)
        assert [m.mass for m in await hosts.mark_offline(conn, TEN)] == [False] * 3


async def test_a_host_that_beats_while_the_sweep_looks_is_not_marked(pool: Pool) -> None:
    async with pool.acquire() as conn, pool.acquire() as other:
        (host,) = await beating(conn, 1)
        await good_ear(conn)
        await silence(conn, [host], 60)
        async with other.transaction():
            (told,) = await hosts.update_last_seen(other, [Beat(host_id=host, boot=1, beat=2)])
            assert told.counted
            assert await hosts.mark_offline(conn, TEN) == []
        assert await hosts.mark_offline(conn, TEN) == []
        assert await conn.fetchval("SELECT online FROM host_heartbeats")


async def test_a_beat_of_a_host_whose_row_is_held_is_passed_over_and_holds_up_nobody(pool: Pool) -> None:
    async with pool.acquire() as conn, pool.acquire() as other:
        held, free = await beating(conn, 2)
        await conn.execute("SET lock_timeout = '100 ms'")
        async with other.transaction():
            await other.execute("SELECT FROM host_heartbeats WHERE host = $1 FOR UPDATE", held)
            said = [Beat(host_id=host, boot=1, beat=2) for host in (held, free)]
            passed, counted = await hosts.update_last_seen(conn, said)
            assert passed.known and not passed.counted and not passed.returned and passed.known_boot == 0
            assert counted.counted
        (counted,) = await hosts.update_last_seen(conn, [Beat(host_id=held, boot=1, beat=3)])
        assert counted.counted


async def test_no_more_than_so_many_return_together_and_the_others_with_their_next_beat(pool: Pool) -> None:
    async with pool.acquire() as conn:
        online, superseded, *absent = await beating(conn, 6)
        await conn.execute("UPDATE host_heartbeats SET online = false, boot = 1 WHERE host <> $1", online)
        await conn.execute("UPDATE host_heartbeats SET boot = 9 WHERE host = $1", superseded)
        everybody = [absent[3], online, absent[1], superseded, absent[0], absent[2]]
        before = await conn.fetch(
            "SELECT * FROM host_heartbeats WHERE host = ANY ($1::bigint[]) ORDER BY 1", absent[2:]
        )
        told = {b.host_id: b for b in await hosts.update_last_seen(conn, [beat(h, 2) for h in everybody], back=2)}
        assert [h for h in everybody if told[h].counted] == [online, absent[1], absent[0]]
        assert [h for h in everybody if told[h].postponed] == [absent[3], absent[2]]
        assert not told[superseded].counted and told[superseded].known_boot == 9
        assert all(b.known for b in told.values()) and not any(told[h].returned for h in absent[2:])
        after = await conn.fetch("SELECT * FROM host_heartbeats WHERE host = ANY ($1::bigint[]) ORDER BY 1", absent[2:])
        assert before == after
        again = await hosts.update_last_seen(conn, [beat(h, 3) for h in everybody], back=2)
        assert [b.host_id for b in again if b.returned] == [absent[3], absent[2]]
        assert not any(b.postponed for b in again)


async def test_two_sweeps_at_once_mark_each_host_once(pool: Pool) -> None:
    async with pool.acquire() as conn:
        made = await beating(conn, 40)
        await good_ear(conn)
        await silence(conn, made[:15], 30)

    async def sweep() -> list[HostId]:
        async with pool.transaction() as conn:
            return [m.host_id for m in await hosts.mark_offline(conn, TEN)]

    found = await asyncio.gather(*(sweep() for _ in range(5)))
    assert sorted(h for part in found for h in part) == made[:15]


async def test_a_pause_of_the_pulse_begins_a_new_since(pool: Pool) -> None:
    async with pool.acquire() as conn:
        assert (await hosts.pulse(conn))[0] is None
        first = await hosts.touch_pulse(conn)
        assert first.last == first.since
        second = await hosts.touch_pulse(conn)
        assert second.since == first.since and second.last > first.last
        await conn.execute("UPDATE pulse SET last = last - interval '4 seconds'")
        third = await hosts.touch_pulse(conn)
        assert third.since == third.last > second.last
        assert (await hosts.pulse(conn))[0] == third


async def test_history_of_hosts_is_numbered_without_a_gap(pool: Pool) -> None:
    async with pool.acquire() as conn:
        a, b = await beating(conn, 2)

        def step(host: HostId, from_: Presence, to: Presence) -> HostMoved:
            return HostMoved(host_id=host, from_=from_, to=to, at=AT, cause="heard", event_id="no uuid")

        first = [
            step(b, Presence.NEW, Presence.ONLINE),
            step(a, Presence.NEW, Presence.ONLINE),
            step(b, Presence.ONLINE, Presence.OFFLINE),
        ]
        assert await hosts.add_history(conn, first) == [1, 1, 2]
        assert await hosts.add_history(conn, [step(b, Presence.OFFLINE, Presence.ONLINE)]) == [3]
        rows = await conn.fetch("SELECT number, from_status, to_status FROM host_history WHERE host = $1 ORDER BY 1", b)
        assert [r["number"] for r in rows] == [1, 2, 3]
        assert all(x["to_status"] == y["from_status"] for x, y in pairwise(rows))


async def test_agent_versions_and_requests_are_noted(pool: Pool) -> None:
    async with pool.acquire() as conn:
        (host,) = await beating(conn, 1)
        await hosts.set_agent_versions(conn, {host: "1.2.3"})
        assert await conn.fetchval("SELECT agent_version FROM hosts") == "1.2.3"
        await hosts.asked(conn, [host])
        assert await conn.fetchval("SELECT asked_at IS NOT NULL FROM host_heartbeats")
