"""A host's broker user: its name, its password's hash, and what it may. Pure; `rabbit.admin` carries it out.

Users belong to the broker, not to a vhost, so the vhost is part of the name: two environments would overwrite each other's.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from manman.domain.ids import HostId
from manman.events import topics

SALT_BYTES = 4  # RabbitMQ's format: base64(salt + sha256(salt + password))
HASHING = "rabbit_password_hashing_sha256"


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Regular expressions as RabbitMQ takes them: on resource names, and on routing keys of the exchange `manman`."""

    configure: str
    write: str
    read: str
    topic_write: str
    topic_read: str


def user_name(vhost: str, host_id: HostId) -> str:
    """`/dev.host.7`."""
    return f"{vhost}.host.{host_id}"


def password_hash(password: str, salt: bytes) -> str:
    """What the broker stores of a password; `salt` is 4 random bytes. The password itself never leaves its host."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt must be {SALT_BYTES} bytes, not {len(salt)}")
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def rights(host_id: HostId) -> Rights:
    """A host declares its identity lock, publishes under its own id, and reads its own queues; nothing else.

    No write access to the default exchange: with it a host could publish into any queue.
    """
    return Rights(
        configure=rf"^host\.{host_id}\.agent$",
        write=f"^{topics.INTERNAL}$",
        read=rf"^host\.{host_id}\.",
        topic_write=rf"^(status|health|logs)\.([^.]+\.)+{host_id}$",
        topic_read=rf"^command\.host\.{host_id}\.",
    )
