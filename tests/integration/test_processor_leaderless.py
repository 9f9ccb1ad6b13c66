"""A broker that was killed right after it made the queue of events: it comes back with the queue and without a leader for it."""

import asyncio
from pathlib import Path

import pytest
from contract.places import Place
from harness import RabbitMQ
from integration.processor_house import House, house

from manman.events import topics
from manman.events.rabbit import leaders, link

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating.md"


async def test_a_queue_without_leader_is_named_with_what_to_do_and_consumed_once_it_has_one(
    own_rabbitmq: RabbitMQ, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(Place("rabbitmq", own_rabbitmq.url()), database_url) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        monkeypatch.setattr(link, "REPLY_SECONDS", 3.0)
        await asyncio.to_thread(own_rabbitmq.forget, topics.EVENTS_QUEUE)
        await asyncio.to_thread(own_rabbitmq.kill)
        own_rabbitmq.start()
        assert topics.EVENTS_QUEUE in await asyncio.to_thread(own_rabbitmq.leaderless)

        await home.until("readiness names the queue", lambda: _named(home))
        said = home.processor.health.required["queues"]()
        assert said is not None and topics.EVENTS_QUEUE in said and leaders.COMMAND in said

        assert topics.EVENTS_QUEUE in await asyncio.to_thread(own_rabbitmq.elect)
        await home.until("readiness again", lambda: _ready(home))
        await agent.session(session, "starting", "running")
        await home.until_status(session, "running")


async def _named(home: House) -> bool:
    return home.processor.health.required["queues"]() is not None


async def _ready(home: House) -> bool:
    return all(check() is None for check in home.processor.health.required.values())


def test_the_operators_page_has_the_command() -> None:
    assert leaders.COMMAND in PAGE.read_text()
