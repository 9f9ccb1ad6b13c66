"""Typed events from the API, with a cursor that a later reader goes on from."""

import asyncio
from collections.abc import AsyncIterator

from harness.apis import Running

from manman.store import events
from manman.subscriber import SessionEvent, Watched, watch

DEADLINE = 30


async def take(stream: AsyncIterator[Watched]) -> Watched:
    async with asyncio.timeout(DEADLINE):
        return await anext(stream)


async def a_session(api: Running, host: int, name: str) -> int:
    """A session of a deployment of its own, its first transition numbered as the relay does it, and nothing before."""
    made = await api.deployment(host, name)
    await api.fetch("DELETE FROM outbox")
    session = await (await api.client()).start_session(deployment_id=made.deployment_id)
    async with api.pool.transaction() as conn:
        await events.relay(conn, 1000)
    return int(session.session_id)


async def test_events_are_replayed_typed_and_a_cursor_goes_on_after_the_last(api: Running) -> None:
    host = await api.host()
    one, two = await a_session(api, host, "one"), await a_session(api, host, "two")
    client = await api.client("viewer")
    stream = watch(client, after="1-0")
    first, second = await take(stream), await take(stream)
    assert isinstance(first.event, SessionEvent) and isinstance(second.event, SessionEvent)
    assert [first.event.session.session_id, second.event.session.session_id] == [one, two]
    assert (first.event.type, first.event.session.deployment) == ("manman.session.pending", "one")
    later = watch(client, after=second.cursor)
    three = await a_session(api, host, "three")
    third = await take(later)
    assert isinstance(third.event, SessionEvent)
    assert third.event.session.session_id == three
    assert third.event.sequence == third.event.session.number


async def test_a_cursor_of_another_epoch_is_answered_by_a_reset(api: Running) -> None:
    await a_session(api, await api.host(), "one")
    reset = await take(watch(await api.client(), after="7-1"))
    assert reset.event is None
    assert reset.cursor.startswith("1-")
