"""Whose number a malformed message settles: its envelope says it, unless it may lie."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from manman.domain.hosts import Heard
from manman.domain.ids import HostId
from manman.events import envelope
from manman.events.bus import Delivery
from manman.processor import batch, fold
from manman.processor.arrivals import arrive
from manman.processor.outcomes import Outcome
from manman.processor.world import Arrived, World

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOST, OTHER = HostId(7), HostId(8)
JOURNAL = (HOST, "j")
KEY = "status.session.running.7"
SOUND, BROKEN = b'{"session_id": 1}', b'{"session_id": "seven"}'


def came(body: bytes = BROKEN, *, key: str = KEY, user: str | None = "prod.host.7", **headers: Any) -> Arrived:
    """Number 3 of host 7's journal as it arrives; `headers` replace those of its envelope."""
    event = envelope.attributes(
        id="e-3", source=envelope.journal_source(HOST, "j"), type="manman.status.session.running", time=NOW, sequence=3
    )
    told = envelope.to_headers(event) | {name.replace("_", ":"): value for name, value in headers.items()}
    return arrive(Delivery(tag=1, exchange="manman", key=key, body=body, headers=told, user_id=user), "control")


def a_world() -> World:
    hosts = {
        host: Heard(host_id=host, online=True, boot=1, beat=1, last_seen=NOW - timedelta(seconds=1))
        for host in (HOST, OTHER)
    }
    return World(now=NOW, threshold=timedelta(seconds=10), chance=bytes, hosts=hosts, seen={JOURNAL: ((1, 2),)})


@pytest.mark.parametrize(
    "arrived",
    [
        came(),
        came(b"{"),
        came(user=None),
        came(user="control"),
        came(b'{"session_id": 1, "status": "stopped"}'),
        came(SOUND, key="status.session.paused.7"),
        came(SOUND, key="status.world.saved.7"),
        came(key="status.session.running", user="control"),
    ],
)
def test_a_malformed_message_of_a_sound_envelope_is_one_dead_letter_under_its_number(arrived: Arrived) -> None:
    assert arrived.malformed is not None
    assert batch.keys_of([arrived]).journals == {JOURNAL}
    world = a_world()
    assert fold.fold(world, [arrived, arrived]) == [Outcome.DEAD, Outcome.DUPLICATE]
    assert world.seen[JOURNAL] == ((1, 3),)
    [letter] = world.dead
    assert (letter.host_id, letter.journal, letter.sequence, letter.event_id) == (HOST, "j", 3, "e-3")


@pytest.mark.parametrize(
    ("arrived", "host"),
    [
        (came(key="status.session.running.8", user=None), None),
        (came(key="status.session.running.8"), HOST),
        (came(user="prod.host.8"), OTHER),
        (came(key="status.session.running.8", user="prod.host.8"), OTHER),
        (came(key="status.session.running"), HOST),
        (came(SOUND, key="status.session.paused.7", user="prod.host.8"), OTHER),
        (came(cloudEvents_sequence="many"), HOST),
        (came(cloudEvents_time="soon", user=None), None),
    ],
)
def test_one_that_may_lie_about_whose_journal_it_is_settles_nothing(arrived: Arrived, host: HostId | None) -> None:
    assert arrived.malformed is not None
    assert batch.keys_of([arrived]).journals == set()
    world = a_world()
    assert fold.fold(world, [arrived]) == [Outcome.DEAD]
    assert world.touched_journals == set()
    [letter] = world.dead
    assert (letter.host_id, letter.journal, letter.sequence) == (host, None, None)


def test_a_host_that_names_a_dead_letter_is_refused_once_and_closes_none() -> None:
    arrived = came(SOUND, **{"dead-letter": "5"})
    world = a_world()
    assert fold.fold(world, [arrived, arrived]) == [Outcome.DEAD, Outcome.DUPLICATE]
    assert (world.closed, world.seen[JOURNAL]) == ({}, ((1, 3),))
    assert [letter.reason for letter in world.dead] == ["foreign"]


def test_a_replay_that_is_malformed_keeps_its_row_and_makes_no_other() -> None:
    world = a_world()
    assert fold.fold(world, [came(user="control", **{"dead-letter": "5"})]) == [Outcome.DEAD]
    assert (list(world.closed), world.dead, world.touched_journals) == ([5], [], set())
