"""Pins: a certificate by its fingerprint; and the private authority on the way to the broker."""

import hashlib
from pathlib import Path

import pytest
from harness.authorities import Authority

from manman.domain import pins
from manman.domain.ids import HostId
from manman.events.rabbit import link
from manman.host.join import Identity

HEX = hashlib.sha256(b"certificate").hexdigest()


def test_a_pin_is_the_fingerprint_that_openssl_prints() -> None:
    assert pins.fingerprint(b"certificate") == f"sha256:{HEX}"
    colons = ":".join(HEX[i : i + 2] for i in range(0, 64, 2)).upper()
    assert pins.parsed(f" SHA256:{colons}\n") == f"sha256:{HEX}"


@pytest.mark.parametrize("text", ["", HEX, f"sha1:{HEX}", f"sha256:{HEX[1:]}", f"sha256:{HEX}0", "sha256:" + "g" * 64])
def test_what_is_no_pin_is_none(text: str) -> None:
    assert pins.parsed(text) is None


def an_identity(url: str, ca: str | None) -> Identity:
    return Identity(
        host_id=HostId(3),
        name="box",
        api_url="https://panel",
        host_key="k",
        broker_password="p/w",
        rabbitmq_url=url,
        broker_user="dev.host.3",
        ca=ca,
    )


def test_the_private_authority_vouches_for_the_broker_too(tmp_path: Path) -> None:
    ours = Authority(tmp_path / "our & own")
    url = an_identity("amqps://mq:5671/%2Fdev?locale=en_US", str(ours.certificate)).broker_url()
    made = link.parameters(url, "name", "AGENT_RABBITMQ_URL")
    assert (made.credentials.username, made.credentials.password, made.virtual_host) == ("dev.host.3", "p/w", "/dev")
    assert made.ssl_options.context.get_ca_certs(binary_form=True) == [ours.der]
    assert made.locale == "en_US"


def test_a_broker_without_tls_and_one_that_all_trust_are_left_alone() -> None:
    assert an_identity("amqp://mq/x", "/ca.pem").broker_url() == "amqp://dev.host.3:p%2Fw@mq/x"
    assert an_identity("amqps://mq/x", None).broker_url() == "amqps://dev.host.3:p%2Fw@mq/x"
    other = an_identity("amqps://mq/x", None).broker_url("amqps://me:mine@other/y")
    assert other == "amqps://me:mine@other/y"
