"""A row that somebody else locks and does not let go: its host waits, and gives way once others wait behind it."""

import asyncpg
import pytest
from contract.places import Place
from integration.processor_house import house

from manman.processor import consumer


async def test_what_waits_for_a_lock_is_set_aside_while_the_lock_is_held_and_others_go_on(
    bus_place: Place, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SLOW_MOST", 2)
    async with house(bus_place, database_url, prefetch=3) as home:
        slow, other = await home.host(), await home.host()
        locked = await home.session(await home.deployment(slow))
        free = await home.session(await home.deployment(other))
        await slow.session(locked, "starting")
        await home.until_status(locked, "starting")
        busy = await asyncpg.connect(database_url)
        try:
            async with busy.transaction():
                await busy.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", locked)
                await slow.session(locked, "running", "crashed")
                await other.session(free, "starting", "running")
                [(reason, detail, key)] = await home.until_dead(1)
                assert (reason, key) == ("takes_too_long", f"status.session.running.{slow.id}")
                assert "lock timeout" in detail
                await home.until_status(free, "running")
        finally:
            await busy.close()
        await home.until_status(locked, "crashed")
        assert len(await home.until_dead(1)) == 1
