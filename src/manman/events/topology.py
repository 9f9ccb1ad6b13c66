"""Who needs which exchanges, queues and bindings. Arguments are the public contract: changing one is a migration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from manman.domain.ids import HostId, SessionId
from manman.events import topics
from manman.events.bus import Binding, Kind, Overflow, Queue, Topology

HEARTBEAT_TTL = timedelta(seconds=10)  # whatever the threshold: another argument would make replicas fight
MOST_HEARTBEATS = 200_000
MOST_COMMANDS = 10_000
MOST_EXPIRED = 10_000
MOST_DEAD = 100_000
MOST_LIVE_LINES = 2_000


def exchanges(external: str = topics.EXTERNAL) -> Topology:
    """What everybody needs first; the same in every vhost."""
    return Topology(exchanges=(topics.INTERNAL, external, topics.DEAD_LETTER_EXCHANGE))


def processor(
    events: str = topics.EVENTS_QUEUE, heartbeats: str = topics.HEARTBEAT_QUEUE, external: str = topics.EXTERNAL
) -> Topology:
    """The two queues of the processor (neither kind of message can delay the other) and the one for expired
    commands."""
    queues = (
        Queue(name=events, kind=Kind.QUORUM, single_active_consumer=True),
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
        Binding(queue=events, exchange=topics.INTERNAL, pattern="status.#"),
        Binding(queue=heartbeats, exchange=topics.INTERNAL, pattern="health.#"),
        Binding(queue=topics.EXPIRED_QUEUE, exchange=topics.DEAD_LETTER_EXCHANGE, pattern="#"),
    )
    return exchanges(external) + Topology(queues=queues, bindings=bindings)


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
