"""Joining an API that a private authority vouches for: by its file, or by the pin of the join line, and never without."""

import hashlib
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from contract.places import Place
from harness import apis
from harness.authorities import Authority

from manman.client import Client
from manman.errors import Malformed, OutOfReach
from manman.host import authority, join


@asynccontextmanager
async def secured(database_url: str, rabbitmq_url: str, admin: str, tls: dict[str, str]) -> AsyncIterator[apis.Running]:
    """An API that is served with TLS."""
    more = {"rabbitmq_url": rabbitmq_url, "broker_admin_url": admin}
    async with apis.running(database_url, Place("rabbitmq", rabbitmq_url), **more, **tls) as made:
        made.url = made.url.replace("http://", "https://")
        yield made


async def token_and_pin(panel: apis.Running, ours: Authority) -> tuple[str, str]:
    async with Client(panel.url, panel.keys["admin"], verify=authority.context(str(ours.certificate))) as admin:
        made = await admin.create_join_token(uses=1)
        return made.token, made.pin


@pytest.fixture
def ours(roomy: Path) -> Authority:
    return Authority(roomy / "ours")


async def test_the_pin_of_the_join_line_is_enough_and_lasts_when_the_certificate_is_renewed(
    database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str, roomy: Path, ours: Authority
) -> None:
    state = roomy / "host"
    async with secured(database_url, rabbitmq_url, rabbitmq_admin_url, ours.vouches_for("127.0.0.1")) as panel:
        token, pin = await token_and_pin(panel, ours)
        assert pin == f"sha256:{hashlib.sha256(ours.der).hexdigest()}"
        identity = await join.join(state, panel.url, token, name="box-1", pin=pin)
        assert identity.ca == str(state / authority.FILE)
        assert stat.S_IMODE((state / authority.FILE).stat().st_mode) == 0o600
        assert ssl.PEM_cert_to_DER_cert((state / authority.FILE).read_text()) == ours.der
        async with identity.client() as client:
            assert (await client.get_host(identity.host_id)).name == "box-1"
    renewed = ours.vouches_for("127.0.0.1", with_root=False)
    async with (
        secured(database_url, rabbitmq_url, rabbitmq_admin_url, renewed) as panel,
        join.client(panel.url, identity.ca, identity.host_key) as client,
    ):
        assert (await client.get_host(identity.host_id)).name == "box-1"


async def test_another_machine_that_answers_hears_nothing(
    database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str, roomy: Path, ours: Authority
) -> None:
    foreign = Authority(roomy / "foreign")
    async with secured(database_url, rabbitmq_url, rabbitmq_admin_url, foreign.vouches_for("127.0.0.1")) as panel:
        token, theirs = await token_and_pin(panel, foreign)
        pin = f"sha256:{hashlib.sha256(ours.der).hexdigest()}"
        for wrong in ({"pin": pin}, {"ca": str(ours.certificate)}, {}):
            with pytest.raises(OutOfReach) as refused:
                await join.join(roomy / "host", panel.url, token, **wrong)
            assert "pin" not in wrong or (pin in str(refused.value) and theirs in str(refused.value))
        assert await panel.fetch("SELECT FROM hosts") == []
        assert [dict(row) for row in await panel.fetch("SELECT used FROM join_tokens")] == [{"used": 0}]
    assert join.load(roomy / "host") is None


async def test_a_pinned_authority_vouches_for_names_too(
    database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str, roomy: Path, ours: Authority
) -> None:
    pin = f"sha256:{hashlib.sha256(ours.der).hexdigest()}"
    async with secured(database_url, rabbitmq_url, rabbitmq_admin_url, ours.vouches_for("192.0.2.7")) as panel:
        with pytest.raises(OutOfReach, match="certificate"):
            await join.join(roomy / "host", panel.url, "mmj_x", pin=pin)


async def test_a_public_chain_is_not_pinned(
    database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str, ours: Authority
) -> None:
    chain = ours.vouches_for("127.0.0.1", with_root=False)
    async with secured(database_url, rabbitmq_url, rabbitmq_admin_url, chain) as panel:
        assert (await token_and_pin(panel, ours))[1] == ""


@pytest.mark.parametrize(
    ("url", "pin"),
    [
        ("https://127.0.0.1:1", "sha256:beef"),
        ("https://127.0.0.1:1", "md5:" + "0" * 64),
        ("http://127.0.0.1:1", "sha256:" + "0" * 64),
    ],
)
async def test_what_cannot_be_a_pin_is_said_before_anything_is_sent(roomy: Path, url: str, pin: str) -> None:
    with pytest.raises(Malformed, match="--pin"):
        await join.join(roomy / "host", url, "mmj_x", pin=pin)
