"""One row of the outbox, and the message that the relay makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from manman.domain.ids import Chance, DeploymentId, HostId, SessionId, uuid7
from manman.events import contracts, envelope, topics
from manman.events.bus import Outgoing
from manman.events.codec import encode_body
from manman.events.envelope import Header

CONTROL_SOURCE = "/control"


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a decision makes others hear. Without an exchange it is an `events` row only: watched, never published.

    `body` is JSON as it goes onto the wire, or as Python values; `headers` the AMQP headers, `sequence` the noun's history number, `public`
    whether it goes to other domains, `ttl` a command's deadline counted from its commit. `event_id` is a UUIDv7 as
    text.
    """

    event_id: str
    type: str
    key: str
    body: bytes | Mapping[str, Any]
    exchange: str | None = None
    headers: Mapping[str, Header] = msgspec.field(default_factory=dict)
    host_id: HostId | None = None
    session_id: SessionId | None = None
    deployment_id: DeploymentId | None = None
    sequence: int | None = None
    public: bool = False
    ttl: timedelta | None = None

    @property
    def encoded(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else encode_body(self.body)

    @property
    def said(self) -> Mapping[str, Any]:
        """The body's values; times are text."""
        said: Mapping[str, Any] = msgspec.json.decode(self.encoded)
        return said


def outgoing(row: OutboxRow, *, exchange: str | None = None, ttl: timedelta | None = None) -> Outgoing:
    """The message of a row that has an exchange; `exchange` replaces the row's (EXTERNAL_EXCHANGE), `ttl` what is
    left of its own."""
    return Outgoing(
        exchange=exchange or row.exchange or topics.EXTERNAL,
        key=row.key,
        body=row.encoded,
        headers=row.headers,
        message_id=row.event_id,
        ttl=ttl if ttl is not None else row.ttl,
        mandatory=row.key.startswith(topics.COMMANDS),
    )


def command(
    host_id: HostId, verb: contracts.Verb, *, now: datetime, chance: Chance, ttl: timedelta | None = None, **fields: Any
) -> OutboxRow:
    """A command to one host; `fields` are those of `contracts.Command` (`session_id=…, desired_version=…, from_=…`).

    `command_id` is made here unless given. Raises `TypeError` for an unknown field or one that the verb needs: a bug
    of ours.
    """
    made = fields.pop("command_id", None) or uuid7(now, chance)
    body = contracts.Command(command_id=str(made), **fields)
    missing = [name for name in contracts.NEEDED[verb] if getattr(body, name) is None]
    if missing:
        raise TypeError(f"the command {verb!r} needs {', '.join(missing)}")
    kind = f"manman.command.{verb}"
    event = envelope.attributes(id=body.command_id, source=CONTROL_SOURCE, type=kind, time=now)
    return OutboxRow(
        event_id=body.command_id,
        type=kind,
        key=topics.command(host_id, verb),
        body=encode_body(body),
        exchange=topics.INTERNAL,
        headers=envelope.to_headers(event) | {envelope.HOST: str(host_id)},
        host_id=host_id,
        session_id=body.session_id,
        deployment_id=body.deployment_id,
        ttl=ttl,
    )
