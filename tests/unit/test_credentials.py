"""A host's broker user: name, hash, rights."""

import base64
import hashlib
import re

import pytest

from manman.domain.ids import HostId
from manman.events import codec, credentials


def test_the_vhost_is_part_of_the_name_and_the_host_is_read_back() -> None:
    assert credentials.user_name("/dev", HostId(7)) == "/dev.host.7"
    assert codec.host_of_user("/dev.host.7") == 7
    assert codec.host_of_user("guest") is None


def test_the_hash_is_salted_sha_256_as_the_broker_stores_it() -> None:
    salt = b"\x01\x02\x03\x04"
    raw = base64.b64decode(credentials.password_hash("secret", salt))
    assert raw == salt + hashlib.sha256(salt + b"secret").digest()
    with pytest.raises(ValueError, match="4 bytes"):
        credentials.password_hash("secret", b"")


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("status.session.running.7", True),
        ("status.host.online.7", True),
        ("health.heartbeat.7", True),
        ("logs.session.4.7", True),
        ("status.session.running", False),
        ("status.session.running.17", False),
        ("status.session.running.70", False),
        ("status.session.running.7.8", False),
        ("status.7", False),
        ("health.pulse", False),
        ("command.host.7.start", False),
        ("manman.host.online", False),
    ],
)
def test_a_host_writes_under_its_own_word_only(key: str, allowed: bool) -> None:
    assert bool(re.search(credentials.rights(HostId(7)).topic_write, key)) is allowed


def test_a_host_reads_its_own_queues_and_declares_its_lock_only() -> None:
    rights = credentials.rights(HostId(7))
    assert re.search(rights.configure, "host.7.agent")
    assert re.search(rights.read, "host.7.commands")
    for pattern in (rights.configure, rights.read, rights.write):
        for name in ("host.70.commands", "host.8.agent", "processor-events", "", "external"):
            assert not re.search(pattern, name), (pattern, name)
    assert not re.search(rights.configure, "host.7.commands")
