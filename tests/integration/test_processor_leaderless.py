"""A broker that was killed right after it made the queue of events: it comes back with the queue and without a leader for it."""

import asyncio
from pathlib import Path

import pytest
from contract.places import Place
from harness import RabbitMQ
from integration.processor_house import House, house

from manman.errors import Transient
from manman.events import topics
from manman.events.bus import MOST_AT_ONCE, Outcome, Outgoing
from manman.events.rabbit import leaders, link

ELSE = Outgoing(exchange=topics.INTERNAL, key="status.nothing.known", body=b"{}")  # a dead letter, once it is heard
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

        event = agent.message("session", "starting", {"session_id": session})
        waiting = asyncio.ensure_future(home.bus.publish([event, *[ELSE] * (MOST_AT_ONCE - 1)]))
        await asyncio.sleep(0.5)  # enough for the broker to take it, and to hold its channel
        lines = Outgoing(exchange=topics.INTERNAL, key=topics.logs(session, agent.id), body=b"{}")
        await home.until("console lines overtake what nobody takes", lambda: _confirmed(home, *[lines] * MOST_AT_ONCE))
        beat = Outgoing(exchange=topics.INTERNAL, key=topics.heartbeat(agent.id), body=b"{}", perishable=True)
        await home.until("so does a heartbeat", lambda: _confirmed(home, beat))

        assert topics.EVENTS_QUEUE in await asyncio.to_thread(own_rabbitmq.elect)
        await home.until("readiness again", lambda: _ready(home))
        await asyncio.gather(waiting, return_exceptions=True)
        await home.until("the event is taken", lambda: _confirmed(home, event))
        await agent.session(session, "running")
        await home.until_status(session, "running")


async def _confirmed(home: House, *messages: Outgoing) -> bool:
    try:
        return {*await home.bus.publish(messages)} == {Outcome.CONFIRMED}
    except Transient:
        return False


async def _named(home: House) -> bool:
    return home.processor.health.required["queues"]() is not None


async def _ready(home: House) -> bool:
    return all(check() is None for check in home.processor.health.required.values())


def test_the_operators_page_has_the_command() -> None:
    assert leaders.COMMAND in PAGE.read_text()
