"""Streams through both doors: events with replay, consoles from line n, rights that are lost, ends that are said."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from grpc import aio
from harness.apis import Running

from manman.api import logs
from manman.client import ApiError, types
from manman.domain.ids import HostId, SessionId
from manman.events import codec, topics
from manman.events.bus import Outgoing
from manman.events.contracts import LogLine, LogLines
from manman.store import events
from manman.v1 import events_pb2

DEADLINE = 20


async def numbered(api: Running) -> int:
    """What the relay's leader does first: moves the outbox into events."""
    async with api.pool.transaction() as conn:
        return (await events.relay(conn, 1000)).moved


async def next_of(stream: AsyncIterator[Any]) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await anext(stream)


async def two_sessions(api: Running) -> tuple[int, int]:
    """Two sessions of two deployments; their first transitions are numbered, and nothing before."""
    host = await api.host()
    client = await api.client()
    made = [await api.deployment(host, name) for name in ("one", "two")]
    await api.fetch("DELETE FROM outbox")
    one, two = [(await client.start_session(deployment_id=d.deployment_id)).session_id for d in made]
    await numbered(api)
    return one, two


async def test_past_events_are_listed_and_replayed_then_live_ones_follow(api: Running) -> None:
    one, two = await two_sessions(api)
    client = await api.client("viewer")
    page = await client.list_events(after="1-0")
    assert [e.session_id for e in page.events] == [one, two]
    newest = await client.list_events()
    assert [e.session_id for e in newest.events] == [two, one]
    stream = client.watch_events(after="1-0")
    assert (await next_of(stream)).hello.cursor == "1-0"
    replayed = [(await next_of(stream)).event for _ in range(2)]
    assert [e.cursor for e in replayed] == [e.cursor for e in page.events]
    assert replayed[0].type == "manman.session.pending" and replayed[0].body["deployment"] == "one"
    admin = await api.client()
    deployment = (await admin.get_session(one)).deployment_id
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", one)
    third = await admin.start_session(deployment_id=deployment)
    await numbered(api)
    live = (await next_of(stream)).event
    assert live.session_id == third.session_id and live.cursor == "1-3"


async def test_a_list_says_where_a_watch_must_begin(api: Running) -> None:
    one, _ = await two_sessions(api)
    client = await api.client()
    page = await client.list_sessions()
    assert page.watch_from == "1-2" and page.total == 2
    deployment = (await client.get_session(one)).deployment_id
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", one)
    third = await client.start_session(deployment_id=deployment)
    await numbered(api)
    stream = client.watch_events(after=page.watch_from)
    await next_of(stream)
    assert (await next_of(stream)).event.session_id == third.session_id


async def test_a_watch_tells_only_what_its_filter_wants(api: Running) -> None:
    _, two = await two_sessions(api)
    client = await api.client()
    stream = client.watch_events(after="1-0", filter=f"session_id = {two} AND type : PENDING")
    await next_of(stream)
    assert (await next_of(stream)).event.session_id == two
    with pytest.raises(ApiError) as wrong:
        await next_of(client.watch_events(filter="colour = blue"))
    assert wrong.value.refused_code == "filter_invalid"


@pytest.mark.parametrize("after", ["7-1", "1-999"])
async def test_a_cursor_of_another_time_is_reset_once(api: Running, after: str) -> None:
    await two_sessions(api)
    client = await api.client()
    stream = client.watch_events(after=after)
    assert (await next_of(stream)).reset.cursor == "1-2"


async def test_a_cursor_that_is_too_old_is_reset(api: Running) -> None:
    await two_sessions(api)
    await api.fetch("DELETE FROM events WHERE position = 1")
    client = await api.client()
    assert (await next_of(client.watch_events(after="1-0"))).reset is not None
    assert (await next_of(client.watch_events(after="1-1"))).hello is not None
    with pytest.raises(ApiError, match="too old"):
        await client.list_events(after="1-0")


async def test_grpc_streams_the_same(api: Running) -> None:
    await two_sessions(api)
    async with aio.insecure_channel(api.grpc) as channel:
        call = channel.unary_stream(
            "/manman.v1.Events/WatchEvents",
            request_serializer=events_pb2.WatchEventsRequest.SerializeToString,
            response_deserializer=events_pb2.WatchEventsResponse.FromString,
        )(events_pb2.WatchEventsRequest(after="1-0"), metadata=(("authorization", f"Bearer {api.keys['viewer']}"),))
        async with asyncio.timeout(DEADLINE):
            said = [await call.read() for _ in range(3)]
        call.cancel()
    assert [s.WhichOneof("said") for s in said] == ["hello", "event", "event"]
    assert [s.event.cursor for s in said[1:]] == ["1-1", "1-2"]


async def test_a_stream_resumes_by_last_event_id_and_is_never_held_back(api: Running) -> None:
    await two_sessions(api)
    http = await api.http()
    async with (
        asyncio.timeout(DEADLINE),
        http.stream("GET", "/v1/events:watch", headers={"last-event-id": "1-1"}) as got,
    ):
        assert got.headers["x-accel-buffering"] == "no" and got.headers["content-type"].startswith("text/event-stream")
        lines = got.aiter_lines()
        seen = []
        async for line in lines:
            seen.append(line)
            if line == "id: 1-2":
                break
    assert seen[0] == "retry: 1000" and "event: hello" in seen and "id: 1-1" in seen


async def test_lost_rights_end_a_stream(api: Running) -> None:
    client = await api.client("viewer")
    stream = client.watch_events()
    await next_of(stream)
    await api.fetch("UPDATE api_keys SET revoked_at = clock()")
    said = await next_of(stream)
    assert said.bye is not None and said.bye.reason == "unauthenticated"
    with pytest.raises(StopAsyncIteration):
        await next_of(stream)


async def test_an_ending_process_says_goodbye(api: Running) -> None:
    http = await api.http()
    async with asyncio.timeout(DEADLINE), http.stream("GET", "/v1/events:watch") as got:
        lines = got.aiter_lines()
        seen = []
        async for line in lines:
            seen.append(line)
            if line == "event: hello":
                api.api.stop()
    assert "event: bye" in seen and 'data: {"bye":{"reason":"shutting_down"}}' in seen


def message(session: int, host: int, numbers: range, complete_to: int | None = None) -> Outgoing:
    """Lines as their host publishes them; `complete_to` ends its answer."""
    at = datetime.now(UTC)
    lines = [LogLine(n=n, at=at, stream="out", text=f"line {n}") for n in numbers]
    body = LogLines(session_id=SessionId(session), host_id=HostId(host), lines=lines, complete_to=complete_to)
    key = topics.logs(SessionId(session), HostId(host))
    return Outgoing(exchange=topics.INTERNAL, key=key, body=codec.encode_body(body))


async def say(api: Running, session: int, host: int, numbers: range, complete_to: int | None = None) -> None:
    await api.api.office.bus.publish([message(session, host, numbers, complete_to)])


async def asked(api: Running, times: int) -> Any:
    """Waits until the API asked the host to tell lines again for so many times; the last command's body."""
    async with asyncio.timeout(DEADLINE):
        while True:
            rows = await api.fetch("SELECT body FROM outbox WHERE type = 'manman.command.tail' ORDER BY id")
            if len(rows) >= times:
                return rows[-1]["body"]
            await asyncio.sleep(0.05)


async def views(api: Running, count: int) -> None:
    """Waits until so many viewers have a queue."""
    async with asyncio.timeout(DEADLINE):
        while True:
            if len(await api.fetch("SELECT FROM bus_queues WHERE name LIKE 'view.%'")) == count:
                return
            await asyncio.sleep(0.05)


async def lines_of(stream: AsyncIterator[types.LogBatch], last: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(DEADLINE):
        async for batch in stream:
            found += [line.n for line in batch.lines]
            if batch.last >= last or batch.bye:
                return found
    return found


async def test_a_console_from_line_n_gives_each_number_once_and_in_order(api_on_each_bus: Running) -> None:
    api = api_on_each_bus
    session, _ = await two_sessions(api)
    host = 1
    client = await api.client("viewer")
    stream = client.stream_logs(session, from_=3)
    reading = asyncio.create_task(lines_of(stream, 2004))
    told = await asked(api, 1)
    assert (told["from"], told["limit"]) == (3, 1000)
    # What another host says of this session is not its console.
    await say(api, session, 2, range(1, 2004))
    # Live lines arrive while the past is being told again, doubled and overlapping.
    await say(api, session, host, range(2001, 2003))
    await say(api, session, host, range(3, 700))
    await say(api, session, host, range(500, 1003))
    assert (await asked(api, 2))["from"] == 1003
    await say(api, session, host, range(1003, 2003))
    await say(api, session, host, range(2001, 2005))
    assert await reading == list(range(3, 2005))


async def test_a_gap_that_nobody_fills_is_a_jump_in_the_numbers(api_on_each_bus: Running) -> None:
    api = api_on_each_bus
    session, _ = await two_sessions(api)
    client = await api.client()
    stream = client.stream_logs(session, from_=1)
    reading = asyncio.create_task(lines_of(stream, 12))
    await asked(api, 1)
    await say(api, session, 1, range(1, 4))
    await say(api, session, 1, range(10, 13))
    assert await reading == [1, 2, 3, 10, 11, 12]


async def test_a_console_until_now_ends_and_so_does_one_of_a_session_that_is_over(api: Running) -> None:
    one, two = await two_sessions(api)
    client = await api.client()
    reading = asyncio.create_task(anext_all(client.stream_logs(one, until_now=True)))
    await asked(api, 1)
    await say(api, one, 1, range(1, 4))
    batches = await reading
    assert [line.n for b in batches for line in b.lines] == [1, 2, 3] and batches[-1].bye == "until_now"
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", two)
    reading = asyncio.create_task(anext_all(client.stream_logs(two, from_=1)))
    await asked(api, 2)
    await say(api, two, 1, range(1, 3))
    batches = await reading
    assert batches[-1].bye == "session_over" and batches[0].last == 2


async def test_a_host_that_says_where_its_lines_end_is_not_waited_for(
    api: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "QUIET", 3600.0)
    monkeypatch.setattr(logs, "FIRST_ANSWER", 3600.0)
    one, two = await two_sessions(api)
    client = await api.client()
    reading = asyncio.create_task(anext_all(client.stream_logs(one, until_now=True)))
    await asked(api, 1)
    # What another viewer was told to its end is not yet the end here: lines are missing before it.
    await say(api, one, 1, range(2, 4), complete_to=3)
    await say(api, one, 1, range(1, 4), complete_to=3)
    batches = await reading
    assert [line.n for b in batches for line in b.lines] == [1, 2, 3] and batches[-1].bye == "until_now"
    await api.fetch("UPDATE sessions SET status = 'stopped', ended_at = clock() WHERE id = $1", two)
    reading = asyncio.create_task(anext_all(client.stream_logs(two, from_=1)))
    await asked(api, 2)
    await say(api, two, 1, range(0), complete_to=0)
    assert [batch.bye for batch in await reading] == ["session_over"]


async def anext_all(stream: AsyncIterator[types.LogBatch]) -> list[types.LogBatch]:
    async with asyncio.timeout(DEADLINE):
        return [batch async for batch in stream]


async def test_a_live_console_begins_with_what_comes_next(api: Running) -> None:
    session, _ = await two_sessions(api)
    client = await api.client()
    stream = client.stream_logs(session)
    reading = asyncio.create_task(lines_of(stream, 43))
    await views(api, 1)
    await say(api, session, 1, range(41, 44))
    assert await reading == [41, 42, 43]
    assert await api.fetch("SELECT FROM outbox WHERE type = 'manman.command.tail'") == []


async def test_a_viewers_queue_goes_with_the_viewer(api: Running) -> None:
    session, _ = await two_sessions(api)
    http = await api.http()
    async with http.stream("GET", f"/v1/sessions/{session}/logs", params={"from": "1"}):
        await asked(api, 1)
        assert await api.fetch("SELECT FROM bus_queues WHERE name LIKE 'view.%'")
    await views(api, 0)
