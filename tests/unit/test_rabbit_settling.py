"""What is settled by one frame and what by its own; whose confirm is whose, in whatever order they come."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from harness.wire import Wire, message, method, read
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import spec

from manman.errors import Unavailable
from manman.events.bus import Outcome, Outgoing, Unanswered
from manman.events.rabbit import leaders
from manman.events.rabbit.consumer import Settled
from manman.events.rabbit.publisher import Publisher

COUNT = 12


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, COUNT)), max_size=20), asked=st.sets(st.integers(1, COUNT))
)
def test_a_run_is_what_has_nothing_unsettled_before_it(steps: list[tuple[bool, int]], asked: set[int]) -> None:
    found, model = Settled(), set[int]()
    for multiple, tag in steps:
        if multiple:
            found.add_up_to(tag)
            model |= set(range(1, tag + 1))
        else:
            found.add(tag)
            model.add(tag)
    tags = sorted(asked - model)
    run = found.run(tags)
    assert all(set(range(1, tag)) <= model | set(tags) for tag in tags[:run])
    assert run == len(tags) or not set(range(1, tags[run])) <= model | set(tags[:run])


def outgoing(lost: bool) -> Outgoing:
    return Outgoing(exchange="e", key="k", body=b"x", mandatory=lost)


async def published(wire: Wire, batches: list[list[bool]], chance: Any) -> list[list[Outcome]]:
    """Outcomes as the publisher understands a broker that settles every tag once, in any order; and as they are."""
    publisher = Publisher(wire.open(1), "guest")
    publisher._channel.add_on_return_callback(publisher._returned)
    publisher._channel.confirmed = publisher._confirmed
    waiting = [publisher._send([outgoing(lost) for lost in batch]) for batch in batches]
    flat = [lost for batch in batches for lost in batch]
    told: dict[int, Outcome] = {}
    left = list(range(1, len(flat) + 1))
    while left:
        multiple = chance.random() < 0.3
        tag = chance.choice(left)
        tags = [other for other in left if other <= tag] if multiple else [tag]
        for one in tags:
            if flat[one - 1]:
                said = spec.Basic.Return(312, "NO_ROUTE", "e", "k")
                wire.hear(b"".join(message(1, said, spec.BasicProperties(correlation_id=str(one)), b"x", most=9)))
        kind, outcome = chance.choice([(spec.Basic.Ack, Outcome.CONFIRMED), (spec.Basic.Nack, Outcome.NACKED)])
        wire.hear(method(1, kind(tag, multiple)))
        told |= {one: Outcome.UNROUTABLE if flat[one - 1] else outcome for one in tags}
        left = [one for one in left if one not in tags]
    assert not publisher._open, "what is settled is forgotten"
    found = [batch.done.result() for batch in waiting]
    assert [outcome for batch in found for outcome in batch] == [told[one] for one in sorted(told)]
    return found


@settings(deadline=None)
@given(
    batches=st.lists(st.lists(st.booleans(), min_size=1, max_size=6), max_size=5),
    chance=st.randoms(use_true_random=False),
)
def test_every_call_gets_its_own_outcomes_in_order(batches: list[list[bool]], chance: Any) -> None:
    loop = asyncio.new_event_loop()
    try:
        found = loop.run_until_complete(published(Wire(), batches, chance))
    finally:
        loop.close()
    assert [len(batch) for batch in found] == [len(batch) for batch in batches]


async def test_what_nothing_is_heard_of_has_no_outcome_and_the_channel_is_left_with_all_that_waits_on_it() -> None:
    wire = Wire()
    publisher = Publisher(wire.open(1), "guest")
    publisher._channel.confirmed = publisher._confirmed
    first = asyncio.ensure_future(publisher.publish([outgoing(False)] * 4, timedelta(seconds=0.05)))
    behind = asyncio.ensure_future(publisher.publish([outgoing(False)]))
    await asyncio.sleep(0)
    wire.hear(method(1, spec.Basic.Ack(1)) + method(1, spec.Basic.Nack(3)))
    with pytest.raises(Unanswered) as raised:
        await first
    assert raised.value.outcomes == [Outcome.CONFIRMED, None, Outcome.NACKED, None]
    assert leaders.COMMAND in str(raised.value.hint)
    with pytest.raises(Unavailable):
        await behind
    assert not publisher.usable
    wire.hear(method(1, spec.Basic.Ack(5, True)))  # too late, and nobody's


def test_closing_a_channel_cancels_nothing_first() -> None:
    wire = Wire()
    channel = wire.open(1)
    channel.basic_consume("queue", lambda *_: None, consumer_tag="m")
    wire.hear(method(1, spec.Basic.ConsumeOk("m")))
    wire.sent.clear()
    channel.close()
    assert [type(one.method) for one in read(b"".join(wire.sent))] == [spec.Channel.Close]
