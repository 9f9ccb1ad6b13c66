"""What `manman.subscriber` promises to others."""

import pytest

import manman.subscriber as public
from manman.errors import Malformed
from manman.events.bus import NO_HEADERS, Delivery
from manman.subscriber import OtherEvent, SessionStopped
from manman.subscriber.typed import event_of

PROMISED = {
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
}


def delivery(key: str, body: bytes) -> Delivery:
    return Delivery(tag=1, exchange="external", key=key, body=body, headers=NO_HEADERS, message_id="m")


def test_the_public_names_are_these_and_each_is_there() -> None:
    assert set(public.__all__) == PROMISED
    for name in PROMISED:
        assert getattr(public, name).__doc__, f"{name} says nothing of itself"


def test_a_plain_body_without_headers_is_typed_too() -> None:
    body = b'{"session_id":1,"deployment_id":2,"host_id":3,"status":"stopped","at":"2026-01-31T12:00:00Z","new":1}'
    event = event_of(delivery("manman.session.stopped", body))
    assert isinstance(event, SessionStopped)
    assert (event.id, event.session.session_id) == ("m", 1)


def test_a_type_of_tomorrow_arrives_with_its_body() -> None:
    event = event_of(delivery("manman.backup.completed", b'{"backup_id":5}'))
    assert isinstance(event, OtherEvent)
    assert (event.type, event.data) == ("manman.backup.completed", {"backup_id": 5})


def test_a_body_that_cannot_be_read_names_its_field() -> None:
    with pytest.raises(Malformed, match="session_id"):
        event_of(delivery("manman.session.stopped", b"{}"))
    with pytest.raises(Malformed, match="body"):
        event_of(delivery("manman.backup.completed", b"[]"))


def test_a_subscriber_needs_a_name_and_a_pattern() -> None:
    with pytest.raises(ValueError, match="queue name"):
        public.Subscriber("amqp://x", "")
    with pytest.raises(ValueError, match="pattern"):
        public.Subscriber("amqp://x", "q", ())
