"""The bus: what carries messages, whether RabbitMQ or PostgreSQL (a link through the API comes later).

Promises, held for every implementation by one contract suite: nothing is lost from a confirmed publish to its ack,
over `kill -9`; order per publisher and queue, also when messages return; they return within 10 s of their consumer's
death; one active consumer where the queue says so; attempts, TTL and bounds with counts; what no queue wanted is
reported; an exclusive queue goes with its owner; routing as `topics.matches`.

Out of reach is `errors.Unavailable`, always; the bus reconnects by itself and declares again what was declared
through it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol

import msgspec

from manman.errors import ManManError, Permanent, Transient, Unavailable
from manman.events.envelope import Header

NO_HEADERS: Mapping[str, Header] = MappingProxyType({})
NO_DELIVERY_LIMIT = 1_000_000
PATIENCE = timedelta(seconds=30)
MOST_AT_ONCE = 200
"""So many messages, where one may be held up: RabbitMQ reads nothing more of a connection, heartbeats neither, that is 400 messages
ahead of one of its channels, and counts in steps of 200."""


class Outcome(StrEnum):
    """What became of one published message. Only `confirmed` means that every queue which wanted it has it on
    disk."""

    CONFIRMED = "confirmed"
    NACKED = "nacked"
    UNROUTABLE = "unroutable"


class Kind(StrEnum):
    """How a queue lives: replicated and durable, durable on one node, or its owner's alone and gone with it."""

    QUORUM = "quorum"
    CLASSIC = "classic"
    EXCLUSIVE = "exclusive"


class Overflow(StrEnum):
    """What a full queue does: refuse the newest (the publisher sees a nack) or drop the oldest."""

    REJECT_PUBLISH = "reject-publish"
    DROP_HEAD = "drop-head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue as declared. `ttl` is how long a message may wait; `max_length` messages, `max_bytes` of bodies; none:
    no bound."""

    name: str
    kind: Kind = Kind.QUORUM
    single_active_consumer: bool = False
    ttl: timedelta | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: Overflow | None = None
    dead_letter_exchange: str | None = None
    auto_delete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A queue takes what an exchange gets under keys that match the pattern."""

    queue: str
    exchange: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HashExchange:
    """A durable exchange that gives each message to one of its queues, always the same one for a value of `header`. The pattern of
    a binding to it is the queue's weight. Not every bus has it: see `Bus.require_hashing`."""

    name: str
    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An exchange takes what another one, `source`, gets under keys that match the pattern."""

    exchange: str
    source: str
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Durable exchanges (topic, and by hash), queues, bindings and links that belong together; declared in this order, never
    deleted."""

    exchanges: tuple[str, ...] = ()
    hash_exchanges: tuple[HashExchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    links: tuple[Link, ...] = ()

    def __add__(self, other: Topology) -> Topology:
        return Topology(
            exchanges=tuple(dict.fromkeys(self.exchanges + other.exchanges)),
            hash_exchanges=tuple(dict.fromkeys(self.hash_exchanges + other.hash_exchanges)),
            queues=tuple(dict.fromkeys(self.queues + other.queues)),
            bindings=tuple(dict.fromkeys(self.bindings + other.bindings)),
            links=tuple(dict.fromkeys(self.links + other.links)),
        )

    def without(self, queue: str) -> Topology:
        """The same without one queue and what is bound to it."""
        return replace(
            self,
            queues=tuple(kept for kept in self.queues if kept.name != queue),
            bindings=tuple(kept for kept in self.bindings if kept.queue != queue),
        )


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message to publish. `ttl` is the most it may wait in any queue; `mandatory`: no queue wanted it is
    `unroutable`.

    Without `mandatory` a message that no queue wants is confirmed. Every message is `application/json`, and persistent unless it is
    `perishable`: then a restart of the broker may lose it, although it was confirmed, and it may overtake what is not.
    """

    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, Header] = NO_HEADERS
    message_id: str | None = None
    ttl: timedelta | None = None
    mandatory: bool = False
    perishable: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message received. `tag` rises within its consumer. `attempts`: how often it was delivered before (0 at
    first).

    `user_id` is the broker's word for who published, None where the broker has no users. `redelivered` is set as
    soon as it may have been delivered before, also where attempts are not counted (classic queues). `held_since` is the loop's time
    before which this process cannot have had it, at most a second too early: what waited in its socket while it stood still counts as
    held. It never falls within a consumer.
    """

    tag: int
    exchange: str
    key: str
    body: bytes
    headers: Mapping[str, Header]
    attempts: int = 0
    redelivered: bool = False
    message_id: str | None = None
    user_id: str | None = None
    held_since: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What a queue holds: ready to deliver, delivered but not acked (None: not told), consumers, dropped (None: not
    told)."""

    ready: int
    consumers: int
    unacked: int | None = None
    dropped: int | None = None


class QueueMissing(Transient):
    """The queue is not there (yet): declare it, or wait for whoever does."""

    code = "unavailable"


class QueueLeaderless(Unavailable):
    """The queue is there and nobody at the broker leads it: nothing comes out or goes in. The hint is what an operator does."""


class Unanswered(Unavailable):
    """The broker is there and confirmed nothing more. `outcomes` are the batch's, None where there was no answer; the first of these is
    what a queue holds up, since one channel is handled in order. The hint is what an operator does."""

    def __init__(self, detail: str, outcomes: Sequence[Outcome | None], *, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.outcomes = outcomes


class QueueLocked(Transient):
    """Another connection holds the exclusive queue; its own dead one may, for up to 8 s."""

    code = "busy"


class QueueDiffers(Permanent):
    """A queue exists with other arguments. The detail names queue, argument, both values; the hint is the way out."""

    code = "failed_precondition"


class NotAllowed(Permanent):
    """The broker refused this user that operation; the detail is the broker's sentence."""

    code = "permission_denied"


class Unsupported(Permanent):
    """This bus, or this broker as it is, cannot do that; the hint is the way out."""

    code = "failed_precondition"


class Consumer(Protocol):
    """Messages of one queue, in order, on a channel of its own. Lost channel: every call raises
    `errors.Unavailable`."""

    async def get_batch(
        self, most: int, linger: timedelta = timedelta(0), wait: timedelta | None = None
    ) -> list[Delivery]:
        """At least one message: waits for the first (at most `wait`, then an empty list), then up to `linger` for
        `most`.

        What has arrived already is returned at once when `linger` is zero, so that a lone message never waits.
        """
        ...

    async def ack(self, up_to: Delivery) -> None:
        """Settles this delivery and every one before it."""
        ...

    async def ack_many(self, deliveries: Sequence[Delivery]) -> None:
        """Settles exactly these."""
        ...

    async def reject(self, delivery: Delivery) -> None:
        """Settles one as refused: it goes to the queue's dead-letter exchange, or nowhere when it has none."""
        ...

    async def close(self) -> None:
        """Closes the channel: whatever is unacked returns to the queue, in order. Closing twice is harmless."""
        ...


class Bus(Protocol):
    """One connection's worth of the bus. `user_id` is what its own messages carry as `Delivery.user_id`."""

    @property
    def connected(self) -> bool: ...

    @property
    def closed(self) -> bool: ...

    @property
    def user_id(self) -> str | None: ...

    @property
    def trouble(self) -> ManManError | None:
        """Why it is not connected, None while it is."""
        ...

    @property
    def blocked(self) -> str | None:
        """Why the broker takes nothing of this connection now, acknowledgements neither (it does so once something was published while
        it is short of memory or disk); None while it takes it."""
        ...

    async def wait_connected(self) -> None:
        """Returns when the bus is connected and its topology declared; raises what makes that impossible for ever."""
        ...

    async def declare(self, topology: Topology, *, lasting: bool = True) -> None:
        """Makes what is missing, now and, if `lasting`, after each reconnect; raises `QueueDiffers`, `QueueLocked`, `NotAllowed` or
        `Unsupported`."""
        ...

    async def require_hashing(self) -> None:
        """Raises `Unsupported` where there are no exchanges that spread by a header's hash."""
        ...

    async def unbind(self, topology: Topology) -> None:
        """Takes the bindings and links of a topology away; harmless where they are not there. Only for what was declared without
        `lasting`."""
        ...

    async def publish(
        self, batch: Sequence[Outgoing], *, apart: bool = False, patience: timedelta = PATIENCE
    ) -> list[Outcome]:
        """Publishes in order and waits for every confirm; one outcome for each message.

        Raises `Unavailable` when the connection went before the last confirm: which of them arrived is then unknown,
        and the caller repeats the whole batch. Raises `Unanswered` when nothing was confirmed for `patience`: what has no outcome may
        arrive yet.

        A queue that answers nothing holds up what is published behind it. What is `apart` holds up nothing else and has no order to
        other calls: a connection of its own is opened for it. Perishable messages and console lines have a way of their own too.
        """
        ...

    def consume(self, queue: str, prefetch: int) -> AbstractAsyncContextManager[Consumer]:
        """A consumer on a channel of its own; entering waits for the connection, raises `QueueMissing`,
        `QueueLeaderless` or `NotAllowed`.

        `prefetch` bounds what is unacked; the same one everywhere, another breaks the order of what returns.
        """
        ...

    async def depth(self, queue: str) -> Depth:
        """What the queue holds now; raises `QueueMissing`."""
        ...

    async def delete_queue(self, queue: str) -> None:
        """Removes a queue with all it holds; harmless when it is not there. Topology never does this by itself."""
        ...

    async def delete_exchange(self, exchange: str) -> None:
        """Removes an exchange with what is bound to it; harmless when it is not there."""
        ...

    async def close(self) -> None:
        """Closes the connection and stops reconnecting; consumers of it end. Closing twice is harmless."""
        ...


__all__ = [
    "Binding",
    "Bus",
    "Consumer",
    "Delivery",
    "Depth",
    "HashExchange",
    "Kind",
    "Link",
    "NotAllowed",
    "Outcome",
    "Outgoing",
    "Overflow",
    "Queue",
    "QueueDiffers",
    "QueueLocked",
    "QueueMissing",
    "Topology",
    "Unanswered",
    "Unsupported",
]
