"""Listens to ManMan's external events and logs each as a JSON line. Start from here: replace what `take` does.

RABBITMQ_URL=amqp://user:password@host:5672/%2Fdev python subscriber.py
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

import structlog

from manman.errors import ManManError
from manman.subscriber import (
    Event,
    HostOffline,
    HostOnline,
    HostStale,
    SessionCrashed,
    SessionEvent,
    SessionRunning,
    SessionStopped,
    Subscriber,
)

log = structlog.get_logger()


async def take(event: Event) -> None:
    """One event. Returning acknowledges it; an exception brings it back. It may come twice: `event.id` tells."""
    match event:
        case HostOnline(host=host):
            log.info("host_online", id=event.id, host=host.host, silent_for=host.silent_for)
        case HostOffline(host=host):
            log.info("host_offline", id=event.id, host=host.host)
        case HostStale(host=host):
            log.warning("host_stale", id=event.id, host=host.host, last_seen=host.last_seen, mass=host.mass)
        case SessionRunning(session=session):
            addresses = [end.join_url or f"{end.address}:{end.port}" for end in session.endpoints]
            log.info("session_running", **about(event), addresses=addresses)
        case SessionStopped(session=session):
            log.info("session_stopped", **about(event), reason=session.reason, exit_code=session.exit_code)
        case SessionCrashed(session=session):
            log.warning(
                "session_crashed",
                **about(event),
                reason=session.reason,
                exit_code=session.exit_code,
                signal=session.signal,
                last_lines=session.tail,
                restart_at=session.restart.at if session.restart else None,
            )
        case _:
            # New types appear with new versions; a subscriber bears what it does not know.
            log.info("other_event", id=event.id, type=event.type)


def about(event: SessionEvent) -> dict[str, object]:
    """What every line about a session says."""
    session = event.session
    return {
        "id": event.id,
        "sequence": event.sequence,
        "session_id": session.session_id,
        "game": session.game,
        "deployment": session.deployment,
        "host": session.host,
    }


async def main(environment: Mapping[str, str]) -> int:
    """Runs until SIGTERM or SIGINT, then finishes the event in hand. Exit code 2: a setting is missing; 6: no broker."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="at"),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )
    url = environment.get("RABBITMQ_URL")
    if not url:
        print("RABBITMQ_URL is not set; it looks like amqp://user:password@host:5672/%2Fdev", file=sys.stderr)
        return 2
    queue = environment.get("QUEUE_NAME", "external-subscriber")
    patterns = environment.get("PATTERNS", "manman.#").split(",")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    subscriber = Subscriber(url, queue, patterns, exchange=environment.get("EXTERNAL_EXCHANGE", "external"))
    log.info("subscribing", queue=queue, patterns=patterns)
    try:
        await subscriber.run(take, stop)
    except ManManError as error:
        print(f"{error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 6
    log.info("stopped", queue=queue)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(os.environ)))
