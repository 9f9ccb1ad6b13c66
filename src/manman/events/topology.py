"""Who needs which exchanges, queues and bindings. Arguments are the public contract: changing one is a migration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from manman.domain.ids import HostId, SessionId
from manman.events import topics
from manman.events.bus import Binding, HashExchange, Kind, Link, Overflow, Queue, Topology
from manman.events.envelope import HOST

HEARTBEAT_TTL = timedelta(seconds=10)  # whatever the threshold: another argument would make replicas fight
MOST_HEARTBEATS = 200_000
MOST_COMMANDS = 10_000
MOST_EXPIRED = 10_000
MOST_DEAD = 100_000
MOST_LIVE_LINES = 2_000
SAID = "status.#"
EQUAL_WEIGHT = "1"


def exchanges(external: str = topics.EXTERNAL) -> Topology:
    """What everybody needs first; the same in every vhost."""
    return Topology(exchanges=(topics.INTERNAL, external, topics.DEAD_LETTER_EXCHANGE))


def processor(
    events: str = topics.EVENTS_QUEUE, heartbeats: str = topics.HEARTBEAT_QUEUE, external: str = topics.EXTERNAL
) -> Topology:
    """All that the processor needs while what hosts say is one queue. Not for a broker that may have partitions: there the queue
    of events comes and goes, and must not be bound again with each connection."""
    return processor_base(heartbeats, external) + event_queues(events, 0, 1) + event_route(events, 0, 1)


def processor_base(heartbeats: str = topics.HEARTBEAT_QUEUE, external: str = topics.EXTERNAL) -> Topology:
    """The processor's queues beside what hosts say: heartbeats (neither kind of message can delay the other) and expired
    commands."""
    queues = (
        Queue(
            name=heartbeats,
            kind=Kind.CLASSIC,
            single_active_consumer=True,
            ttl=HEARTBEAT_TTL,
            max_length=MOST_HEARTBEATS,
            overflow=Overflow.DROP_HEAD,
        ),
        Queue(name=topics.EXPIRED_QUEUE, kind=Kind.CLASSIC, max_length=MOST_EXPIRED, overflow=Overflow.DROP_HEAD),
    )
    bindings = (
        Binding(queue=heartbeats, exchange=topics.INTERNAL, pattern="health.#"),
        Binding(queue=topics.EXPIRED_QUEUE, exchange=topics.DEAD_LETTER_EXCHANGE, pattern="#"),
    )
    return exchanges(external) + Topology(queues=queues, bindings=bindings)


def event_queue(name: str) -> Queue:
    """A queue of what hosts say: all of it, or one partition."""
    return Queue(name=name, kind=Kind.QUORUM, single_active_consumer=True)


def event_queues(events: str, generation: int, partitions: int) -> Topology:
    """The queues of one generation, and the exchange before them where there are several; nothing is routed there yet."""
    names = [topics.partition(events, generation, n, partitions) for n in range(partitions)]
    queues = tuple(event_queue(name) for name in names)
    if partitions == 1:
        return Topology(exchanges=(topics.INTERNAL,), queues=queues)
    spread = HashExchange(name=topics.partitions_exchange(generation), header=HOST)
    return Topology(
        exchanges=(topics.INTERNAL,),
        hash_exchanges=(spread,),
        queues=queues,
        bindings=tuple(Binding(queue=name, exchange=spread.name, pattern=EQUAL_WEIGHT) for name in names),
    )


def event_route(events: str, generation: int, partitions: int) -> Topology:
    """The way of what hosts say into one generation's queues; binding and unbinding it is all that a change does to the others."""
    if partitions == 1:
        return Topology(bindings=(Binding(queue=events, exchange=topics.INTERNAL, pattern=SAID),))
    link = Link(exchange=topics.partitions_exchange(generation), source=topics.INTERNAL, pattern=SAID)
    return Topology(links=(link,))


def host_commands(host_id: HostId) -> Queue:
    """The command queue of a host: bounded, full means that the publisher hears so; what expires goes to the control
    plane."""
    return Queue(
        name=topics.host_commands(host_id),
        kind=Kind.QUORUM,
        max_length=MOST_COMMANDS,
        overflow=Overflow.REJECT_PUBLISH,
        dead_letter_exchange=topics.DEAD_LETTER_EXCHANGE,
    )


def host(host_id: HostId) -> Topology:
    """What the control plane makes for a host when it joins; the host itself may not."""
    binding = Binding(
        queue=topics.host_commands(host_id), exchange=topics.INTERNAL, pattern=f"command.host.{host_id}.*"
    )
    return exchanges() + Topology(queues=(host_commands(host_id),), bindings=(binding,))


def agent(host_id: HostId) -> Topology:
    """The identity lock of a connected agent; declaring it raises `QueueLocked` while another connection holds it."""
    return Topology(queues=(Queue(name=topics.host_agent(host_id), kind=Kind.EXCLUSIVE, max_length=1),))


def subscriber(name: str, patterns: Sequence[str] = ("manman.#",), exchange: str = topics.EXTERNAL) -> Topology:
    """A subscriber's own durable queue on `external`, and `<name>.dead` for what it cannot take."""
    queues = (
        Queue(name=name, kind=Kind.QUORUM),
        Queue(name=topics.dead(name), kind=Kind.QUORUM, max_length=MOST_DEAD, overflow=Overflow.DROP_HEAD),
    )
    bindings = tuple(Binding(queue=name, exchange=exchange, pattern=pattern) for pattern in patterns)
    return Topology(exchanges=(exchange,), queues=queues, bindings=bindings)


def live_view(name: str, session_id: SessionId, host_id: HostId, most: int = MOST_LIVE_LINES) -> Topology:
    """One viewer of one console: exclusive, bounded; a slow one loses the oldest batches, never slows anything
    else. Only what the session's own host says: the broker holds every host to its own word at the key's end."""
    queue = Queue(name=name, kind=Kind.EXCLUSIVE, max_length=most, overflow=Overflow.DROP_HEAD, auto_delete=True)
    binding = Binding(queue=name, exchange=topics.INTERNAL, pattern=topics.logs(session_id, host_id))
    return Topology(exchanges=(topics.INTERNAL,), queues=(queue,), bindings=(binding,))
