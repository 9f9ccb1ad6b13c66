"""Settings of whoever speaks over the bus."""

from typing import Annotated

import msgspec

from manman.events import topics

MOST_UNSETTLED = 65_535  # of a channel, by the protocol
BEATS_FOR_AN_EVENT = 8  # that may be held


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker is and how its queues are called; names equal the variables, lower-cased."""

    rabbitmq_url: Annotated[
        str | None,
        msgspec.Meta(
            description="The broker, as amqp://user:password@host:5672/%2Fdev (a vhost '/dev' is written %2Fdev)."
        ),
    ] = None
    queue_name: Annotated[str, msgspec.Meta(description="The processor's queue of events.")] = topics.EVENTS_QUEUE
    heartbeat_queue_name: Annotated[str, msgspec.Meta(description="The processor's queue of heartbeats.")] = (
        topics.HEARTBEAT_QUEUE
    )
    external_exchange: Annotated[str, msgspec.Meta(description="The exchange for other domains.")] = topics.EXTERNAL
    prefetch: Annotated[
        int,
        msgspec.Meta(ge=1, le=MOST_UNSETTLED, description="The most messages that a consumer holds unacknowledged."),
    ] = 500
    batch_max: Annotated[
        int, msgspec.Meta(ge=1, le=10000, description="The most messages applied in one transaction.")
    ] = 500

    @property
    def heartbeat_prefetch(self) -> int:
        """The most heartbeats that the processor holds unacknowledged: they are many and small, and in whatever order they return
        means nothing. One at a time where that is asked for."""
        return 1 if self.prefetch == 1 else min(MOST_UNSETTLED, BEATS_FOR_AN_EVENT * self.prefetch)


class AdminSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's management API, for whoever makes a broker user for a host (api only)."""

    broker_admin_url: Annotated[
        str | None,
        msgspec.Meta(description="RabbitMQ's management API, as http://admin:password@host:15672; Register needs it."),
    ] = None
