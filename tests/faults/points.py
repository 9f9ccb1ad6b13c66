"""Every step between receiving a message and acknowledging it, and of the relays, as a point at which a process can be killed.

`arm(name)` makes this process die by `kill -9` when it comes to that point with a session's message in hand. Nothing in the
product knows of it: functions are wrapped from outside.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from manman.events.rabbit.consumer import RabbitConsumer
from manman.processor import batch, consumer
from manman.processor.commands import CommandRelay
from manman.processor.relay import Relay
from manman.store import attempts, batches, events, outbox

WORD = "status.session.starting"


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def is_meant(batch_: Any) -> bool:
    """Whether a session's message is among these deliveries or arrivals."""
    return any(one.key.startswith(WORD) for one in batch_)


def wrap(
    owner: Any, name: str, *, before: Callable[..., Any] | None = None, after: Callable[..., Any] | None = None
) -> None:
    """Have `before(*args)` called ahead of an async function, `after(result, *args)` behind it."""
    really = getattr(owner, name)

    async def wrapped(*args: Any, **more: Any) -> Any:
        if before is not None:
            before(*args)
        done = await really(*args, **more)
        if after is not None:
            after(done, *args)
        return done

    setattr(owner, name, wrapped)


def received() -> None:
    wrap(RabbitConsumer, "get_batch", after=lambda found, *_: die() if is_meant(found) else None)


def decoded() -> None:
    really = consumer.arrive

    def arrive(delivery: Any, *rest: Any) -> Any:
        found = really(delivery, *rest)
        if is_meant([found]):
            die()
        return found

    consumer.arrive = arrive


class InHand:
    """Whether the transaction at work concerns a session's message."""

    yes = False


def _watch_hand() -> None:
    def note(_pool: Any, arrived: Any, *_: Any) -> None:
        InHand.yes = is_meant(arrived)

    wrap(batch, "apply", before=note)


def _in_hand(owner: Any, name: str, *, ahead: bool = False) -> Callable[[], None]:
    def arm_() -> None:
        _watch_hand()

        def maybe(*_: Any) -> None:
            if InHand.yes:
                die()

        wrap(owner, name, before=maybe if ahead else None, after=None if ahead else maybe)

    return arm_


def folded() -> None:
    _watch_hand()
    inner = batch.fold.fold

    def fold(world: Any, arrived: Any) -> Any:
        outcomes = inner(world, arrived)
        if is_meant(arrived):
            die()
        return outcomes

    batch.fold.fold = fold  # type: ignore[attr-defined]


def committed() -> None:
    wrap(batch, "apply", after=lambda _done, _pool, arrived, *_: die() if is_meant(arrived) else None)


def acknowledging() -> None:
    _watch_hand()
    wrap(RabbitConsumer, "ack_many", before=lambda *_: die() if InHand.yes else None)


def acknowledged() -> None:
    _watch_hand()
    wrap(RabbitConsumer, "ack_many", after=lambda *_: die() if InHand.yes else None)


def noted() -> None:
    wrap(attempts, "note", after=die)


def numbered() -> None:
    """What the leader said has its numbers, and nobody was told."""
    wrap(batch, "apply", after=lambda done, *_: die() if done.numbered else None)


def relay() -> None:
    """Nothing is numbered at once, so that there is something to move."""
    led = "EXISTS (SELECT FROM leads)"
    assert led in outbox.sql["insert"]
    outbox.sql["insert"] = outbox.sql["insert"].replace(led, "false")
    wrap(events, "relay", after=lambda turn, *_: die() if turn.moved else None)


def advanced() -> None:
    """What was published is noted."""
    really = Relay._turn

    async def turn(self: Any, known: Any, most: int) -> Any:
        published = known.published
        done = await really(self, known, most)
        if published is not None:
            die()
        return done

    Relay._turn = turn  # type: ignore[method-assign]


def publishing() -> None:
    wrap(Relay, "publish", before=die)


def published_half() -> None:
    """The first of them is out, and its confirm; nothing else is."""
    really = Relay.publish

    async def publish(self: Any, public: Any) -> None:
        await really(self, public[:1])
        die()

    Relay.publish = publish  # type: ignore[method-assign]


def published() -> None:
    wrap(Relay, "publish", after=die)


def sending() -> None:
    wrap(CommandRelay, "_send", before=lambda _self, waiting, *_: die() if waiting else None)


def sent() -> None:
    wrap(CommandRelay, "_send", after=lambda done, *_: die() if done else None)


POINTS: dict[str, Callable[[], None]] = {
    "received": received,
    "decoded": decoded,
    "rows locked": _in_hand(batches, "lock_journals"),
    "loaded": _in_hand(batch, "load"),
    "folded": folded,
    "messages inserted": _in_hand(outbox, "insert"),
    "rows saved": _in_hand(batch, "save"),
    "before the commit": _in_hand(batch, "commit"),
    "committed": committed,
    "before the ack": acknowledging,
    "after the ack": acknowledged,
    "numbered at once": numbered,
    "outbox moved": relay,
    "before publishing": publishing,
    "published in part": published_half,
    "published": published,
    "advanced": advanced,
    "before commands go": sending,
    "commands sent": sent,
    "commands removed": lambda: wrap(outbox, "remove", after=die),
}


# Only a message that was delivered twice before comes here.
AGAIN: dict[str, Callable[[], None]] = {
    "attempt noted": noted,
    "committed with an attempt": committed,
}


def arm(name: str) -> None:
    """Die there."""
    (POINTS | AGAIN)[name]()
