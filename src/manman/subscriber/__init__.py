"""Public: what happens in ManMan as typed events, from a durable queue of one's own, acknowledged after the handler.

    subscriber = Subscriber("amqp://user:password@host:5672/%2Fdev", queue="billing")

    async def take(event: Event) -> None:
        match event:
            case SessionRunning(session=session):
                print(f"{session.deployment} is up at {session.endpoints[0].join_url}")
            case SessionCrashed(session=session):
                print(f"{session.deployment} crashed: {session.reason}", *session.tail or [], sep="\\n")

    await subscriber.run(take, stop)

Without a broker in reach, `watch(client, after)` gives the same events from the API, with cursors to keep.

Events wait in the queue while nobody reads. One may come twice (same `id`), never two under one id; a session's come in order.
Types that this version does not know arrive as `OtherEvent`. What may go wrong: a handler that raises is tried again, then its
event goes to `<queue>.dead` with the reason; a broker that is away is waited for.
"""

from manman.events.contracts import Endpoint, Restart
from manman.subscriber.subscribing import Subscriber
from manman.subscriber.typed import (
    Event,
    HostEvent,
    HostOffline,
    HostOnline,
    HostStale,
    OtherEvent,
    Refuse,
    SessionCrashed,
    SessionEvent,
    SessionReachable,
    SessionRunning,
    SessionStopped,
    SessionUnreachable,
)
from manman.subscriber.watching import Watched, watch

__all__ = [
    "Endpoint",
    "Event",
    "HostEvent",
    "HostOffline",
    "HostOnline",
    "HostStale",
    "OtherEvent",
    "Refuse",
    "Restart",
    "SessionCrashed",
    "SessionEvent",
    "SessionReachable",
    "SessionRunning",
    "SessionStopped",
    "SessionUnreachable",
    "Subscriber",
    "Watched",
    "watch",
]
