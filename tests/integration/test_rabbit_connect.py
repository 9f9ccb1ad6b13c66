"""The first connection to a broker: what is lost on the way is tried again, what the broker refuses is not."""

import asyncio
from urllib.parse import urlsplit

import pytest
from harness.proxy import Proxy

from manman.errors import OutOfReach
from manman.events.rabbit import bus as rabbit


@pytest.mark.parametrize(
    "lasts", [0, 1, 2], ids=["before it speaks", "while it authenticates", "while it opens the vhost"]
)
async def test_a_broker_that_dies_while_somebody_connects_refused_nobody(rabbitmq_url: str, lasts: int) -> None:
    port = urlsplit(rabbitmq_url).port
    assert port is not None
    proxy = await Proxy(port).open()
    proxy.lasts = lasts
    connecting = asyncio.ensure_future(rabbit.connect(rabbitmq_url.replace(str(port), str(proxy.port)), name="early"))
    try:
        async with asyncio.timeout(25):
            while proxy.resets < 2 and not connecting.done():  # noqa: ASYNC110  # the proxy tells nobody
                await asyncio.sleep(0.02)
        proxy.heal()
        bus = await connecting
        assert bus.connected
        await bus.close()
    finally:
        connecting.cancel()
        await proxy.close()


async def test_a_wrong_password_and_an_unknown_vhost_are_refused_at_once(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    wrong = parts._replace(netloc=f"guest:wrong@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(OutOfReach, match="refuses the user 'guest' or its password"):
        await rabbit.connect(wrong, name="stranger")
    with pytest.raises(OutOfReach, match="nowhere"):
        await rabbit.connect(parts._replace(path="/nowhere").geturl(), name="stranger")
