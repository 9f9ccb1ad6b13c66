"""Lists: pages that miss nothing, filters and orders by the database, dead letters."""

import pytest
from harness.apis import Running

from manman.api import filters
from manman.api.matching import matches
from manman.client import ApiError
from manman.v1 import sessions_pb2


async def many_games(api: Running, count: int) -> None:
    await api.fetch(
        "INSERT INTO games (name, title, labels, created_at, updated_at)"
        " SELECT 'g' || n, CASE WHEN n % 2 = 0 THEN 'Even' ELSE 'Odd' END, jsonb_build_object('n', (n % 3)::text),"
        " clock() - n * interval '1 hour', clock() FROM generate_series(1, $1) n",
        count,
    )


@pytest.mark.parametrize("order", ["", "name", "name desc", "created_at desc", "created_at asc", "game_id desc"])
async def test_pages_give_every_row_once_in_order(api: Running, order: str) -> None:
    await many_games(api, 25)
    client = await api.client()
    seen, token = [], None
    while True:
        page = await client.list_games(page_size=4, page_token=token, order_by=order or None)
        assert page.total == 25 and len(page.games) <= 4
        seen += page.games
        token = page.next_page_token
        if not token:
            break
    assert len({g.game_id for g in seen}) == len(seen) == 25
    field, _, way = (order or "name").partition(" ")
    keys = [getattr(g, field) for g in seen]
    assert keys == sorted(keys, reverse=way == "desc")
    assert [g.game_id async for g in client.each(client.list_games, page_size=7)] == [
        g.game_id for g in (await client.list_games()).games
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("title = Even", 12),
        ("title = (Even, Odd)", 25),
        ("title != Even", 13),
        ("NOT title = Even AND labels.n = 1", 5),
        ("labels.n : *", 25),
        ("labels.x : *", 0),
        ("NOT labels.x = 1", 25),
        ("labels.n != (0, 1)", 8),
        ('title : "EVE"', 12),
        ("created_at > -5h", 4),
        ("created_at <= -5h AND game_id < 10", 5),
        ("game_id = (1, 2, 3)", 3),
        ('name = "g1\' OR true --"', 0),
    ],
)
async def test_filters_mean_what_they_say(api: Running, text: str, count: int) -> None:
    await many_games(api, 25)
    assert (await (await api.client()).list_games(filter=text)).total == count


async def test_a_token_belongs_to_its_filter_and_order(api: Running) -> None:
    await many_games(api, 5)
    client = await api.client()
    token = (await client.list_games(page_size=2)).next_page_token
    for given in ({"filter": "title = Even"}, {"order_by": "name desc"}, {}):
        method = client.list_games if given else client.list_game_configs
        with pytest.raises(ApiError) as wrong:
            await method(page_token=token, **given)
        assert wrong.value.refused_code == "page_token_invalid"


async def test_sessions_of_the_last_hour_are_those_that_did_not_end_before(api: Running) -> None:
    deployment = await api.deployment(await api.host())
    client = await api.client()
    for ended in ("3 hours", "10 minutes", None):
        session = await client.start_session(deployment_id=deployment.deployment_id)
        if ended:
            await api.fetch(
                "UPDATE sessions SET status = 'crashed', reason = 'signalled', signal = 9, ended_at = clock() - $2::text::interval"
                " WHERE id = $1",
                session.session_id,
                ended,
            )
            await api.fetch("UPDATE deployments SET last_run = last_run + 1")  # as its host said
    assert (await client.list_sessions(filter="NOT ended_at < -1h")).total == 2
    assert (await client.list_sessions(filter="status = crashed AND signal = 9")).total == 2
    [live] = (await client.list_sessions(filter="live = true")).sessions
    assert (live.session_id, live.run) == (session.session_id, 3)
    with pytest.raises(ApiError, match="must be one of pending"):
        await client.list_sessions(filter="status = asleep")


async def test_a_stream_judges_a_filter_as_the_database_does(api: Running) -> None:
    host = await api.host()
    for name in ("one", "two"):
        made = await api.deployment(host, name, labels={"team": name})
        await (await api.client()).start_session(deployment_id=made.deployment_id)
    await api.fetch("UPDATE sessions SET status = 'crashed', exit_code = 7, ended_at = clock() WHERE id = 1")
    rows = await api.fetch(
        "SELECT id AS session_id, status, exit_code, signal, ended_at, deployment AS deployment_id,"
        " coalesce(reason, '') AS reason, clock() AS now FROM sessions"
    )
    client = await api.client()
    for text in (
        "status = crashed",
        "NOT status = crashed",
        "exit_code > 6",
        "NOT exit_code > 6",
        "exit_code != 7",
        "signal = 9",
        "NOT signal = 9",
        "ended_at > -1h",
        "NOT ended_at > -1h",
        "session_id = (1, 2) AND deployment_id != 2",
        "reason : x",
    ):
        terms = filters.parse(text, sessions_pb2.Session.DESCRIPTOR, rows[0]["now"])
        here = {row["session_id"] for row in rows if matches(terms, row)}
        there = {s.session_id for s in (await client.list_sessions(filter=text)).sessions}
        assert here == there, text


async def test_dead_letters_are_listed_replayed_and_dropped(api: Running) -> None:
    await api.fetch(
        "INSERT INTO dead_letters (key, headers, body, reason, detail, host, at) VALUES"
        " ('status.session.running.1', '{\"cloudEvents:id\": \"x\"}', '{\"session_id\": 999}', 'unknown_session', 'd', 1, clock()),"
        " ('health.heartbeat', '{}', '\\x00ff', 'malformed', '', NULL, clock())"
    )
    client = await api.client()
    letters = (await client.list_dead_letters(filter="open = true")).dead_letters
    assert [(x.dead_letter_id, x.reason) for x in letters] == [(2, "malformed"), (1, "unknown_session")]
    await client.replay_dead_letter(1)
    [row] = await api.fetch("SELECT exchange, key, headers, body FROM outbox")
    assert (row["exchange"], row["key"], row["headers"]["dead-letter"]) == ("manman", "status.session.running.1", "1")
    assert row["body"] == {"session_id": 999}
    with pytest.raises(ApiError, match=r"only status\.\*"):
        await client.replay_dead_letter(2)
    await client.drop_dead_letter(2)
    assert (await client.list_dead_letters()).total == 1
    assert (await client.get_installation()).open_dead_letters == 1


async def test_a_dead_letter_whose_key_is_too_long_for_the_broker_stays_open_and_can_only_be_dropped(
    api: Running,
) -> None:
    key = "status." + "\ufffd" * 100 + ".7"  # 109 characters, 309 octets
    await api.fetch(
        "INSERT INTO dead_letters (key, body, reason, host, at) VALUES ($1, '{}', 'malformed', 7, clock())", key
    )
    client = await api.client()
    with pytest.raises(ApiError, match="too long") as refused:
        await client.replay_dead_letter(1)
    assert (refused.value.refused_code, refused.value.hint) == ("invalid_argument", "drop it")
    [letter] = (await client.list_dead_letters(filter="open = true")).dead_letters
    assert letter.key == key
    assert await api.fetch("SELECT FROM dead_letters WHERE replay_id IS NULL AND replayed_at IS NULL")
    assert await api.fetch("SELECT FROM outbox") == []
    await client.drop_dead_letter(1)
    assert (await client.list_dead_letters()).total == 0


async def some_events(api: Running, count: int, *, first_epoch_until: int = 0) -> None:
    await api.fetch("UPDATE counters SET value = $1 WHERE name = 'events'", count)
    await api.fetch(
        "INSERT INTO events (epoch, position, id, type, at, key, body)"
        " SELECT CASE WHEN n <= $2 THEN 1 ELSE i.epoch END, n, gen_random_uuid(), 't', clock(), 'k', json_build_object('n', n)"
        " FROM generate_series(1, $1) n, installation i",
        count,
        first_epoch_until,
    )


@pytest.mark.parametrize("after", [None, "2-15"])
async def test_pages_of_events_go_through_a_restore_newest_first_and_onward_from_a_cursor(
    api: Running, after: str | None
) -> None:
    await api.fetch("UPDATE installation SET epoch = 2")
    await some_events(api, 30, first_epoch_until=10)
    client = await api.client()
    seen = [e.cursor async for e in client.each(client.list_events, page_size=7, after=after)]
    newest = [f"{2 if n > 10 else 1}-{n}" for n in range(30, 0, -1)]
    assert seen == (newest if after is None else [f"2-{n}" for n in range(16, 31)])


async def test_a_page_of_events_belongs_to_its_cursor(api: Running) -> None:
    await some_events(api, 3)
    client = await api.client()
    token = (await client.list_events(page_size=1, after="1-0")).next_page_token
    with pytest.raises(ApiError) as wrong:
        await client.list_events(page_token=token)
    assert wrong.value.refused_code == "page_token_invalid"
