"""Ours routes exactly as the real broker does: generated patterns and keys, both buses, `topics.matches`."""

import uuid
from datetime import timedelta

from contract.places import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manman.events.bus import Binding, Bus, Kind, Outgoing, Queue, Topology
from manman.events.topics import matches

# Few words, so that patterns meet keys often; empty ones and a key's own `*` and `#` are legal too.
pattern_words = st.lists(st.sampled_from(["a", "b", "*", "#", "*", "#", ""]), max_size=5)
key_words = st.lists(st.sampled_from(["a", "b", "c", "", "*", "#"]), max_size=5)
patterns_and_keys = st.tuples(
    st.lists(pattern_words.map(".".join), min_size=1, max_size=8, unique=True),
    st.lists(key_words.map(".".join), min_size=1, max_size=12, unique=True),
)


async def routed(bus: Bus, patterns: list[str], keys: list[str]) -> dict[str, list[str]]:
    """The keys that each pattern got, on an exchange of their own."""
    name = f"x{uuid.uuid4().hex[:12]}"
    queues = {pattern: f"{name}.{n}" for n, pattern in enumerate(patterns)}
    await bus.declare(
        Topology(
            exchanges=(name,),
            queues=tuple(Queue(name=queue, kind=Kind.EXCLUSIVE) for queue in queues.values()),
            bindings=tuple(Binding(queue=queue, exchange=name, pattern=pattern) for pattern, queue in queues.items()),
        )
    )
    await bus.publish([Outgoing(exchange=name, key=key, body=b"") for key in keys])
    got: dict[str, list[str]] = {}
    for pattern, queue in queues.items():
        ready = (await bus.depth(queue)).ready
        async with bus.consume(queue, 100) as consumer:
            got[pattern] = []
            while len(got[pattern]) < ready:
                batch = await consumer.get_batch(100, wait=timedelta(seconds=20))
                got[pattern] += [delivery.key for delivery in batch]
        await bus.delete_queue(queue)
    return got


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
)
@given(case=patterns_and_keys)
async def test_every_pattern_gets_exactly_the_keys_that_it_matches(
    place: Place, case: tuple[list[str], list[str]]
) -> None:
    patterns, keys = case
    expected = {pattern: [key for key in keys if matches(pattern, key)] for pattern in patterns}
    async with place.bus() as bus:
        assert await routed(bus, patterns, keys) == expected
