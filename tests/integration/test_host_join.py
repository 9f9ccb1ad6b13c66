"""Joining a real API and broker: the machine's own secrets, its own broker user, and one line when something is away."""

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from contract.places import Place
from harness import apis, free_port

from manman.client import ApiError
from manman.errors import OutOfReach
from manman.events import codec, topology
from manman.events.rabbit import bus as rabbit
from manman.host import join
from manman.host.agent import Agent
from manman.host.settings import Settings


@pytest.fixture
async def panel(database_url: str, rabbitmq_url: str, rabbitmq_admin_url: str) -> AsyncIterator[apis.Running]:
    """An API that can make broker users."""
    more = {"rabbitmq_url": rabbitmq_url, "broker_admin_url": rabbitmq_admin_url}
    async with apis.running(database_url, Place("rabbitmq", rabbitmq_url), **more) as made:
        yield made


async def token_of(panel: apis.Running) -> str:
    return str((await (await panel.client()).create_join_token(uses=1)).token)


@asynccontextmanager
async def an_agent(identity: join.Identity, state: Path) -> AsyncIterator[Agent]:
    """The joined agent, running."""
    bus = await rabbit.connect(identity.broker_url(), patience=timedelta(seconds=30))
    stop = asyncio.Event()
    async with identity.client() as client:
        agent = Agent(Settings(), bus, client, host_id=identity.host_id, state=state)
        running = asyncio.create_task(agent.run(stop))
        await agent.running.wait()
        try:
            yield agent
        finally:
            stop.set()
            await running
            await bus.close()


async def test_a_joined_agent_speaks_for_itself_with_secrets_that_never_left(
    panel: apis.Running, rabbitmq_url: str, roomy: Path
) -> None:
    token = await token_of(panel)
    identity = await join.join(roomy / "host", panel.url, token, name="box-9", addresses=["192.0.2.9"])
    assert stat.S_IMODE((roomy / "host" / join.IDENTITY).stat().st_mode) == 0o600
    assert not (roomy / "host" / join.JOINING).exists()
    assert join.load(roomy / "host") == identity
    kept = json.dumps(await panel.fetch("SELECT to_jsonb(h) FROM hosts h"), default=str)
    kept += json.dumps(await panel.fetch("SELECT to_jsonb(k) FROM host_keys k"), default=str)
    assert identity.host_key not in kept and identity.broker_password not in kept
    control = await rabbit.connect(rabbitmq_url, topology=topology.processor())
    async with control.consume("processor-events", 100) as consumer, an_agent(identity, roomy / "host"):
        first = (await consumer.get_batch(1, wait=timedelta(seconds=30)))[0]
        said = codec.decode(first.key, first.headers, first.body, first.user_id)
        assert (said.key.word, said.host_id, said.user_id) == ("online", identity.host_id, identity.broker_user)
        await consumer.ack(first)
    await control.close()


async def test_a_repeated_join_is_the_same_host_and_a_used_token_is_refused(panel: apis.Running, roomy: Path) -> None:
    token = await token_of(panel)

    async def broken(identity: join.Identity) -> None:
        raise OutOfReach("the broker went away just then")

    with pytest.raises(OutOfReach):
        await join.join(roomy / "host", panel.url, token, name="box-9", reach=broken)
    assert join.load(roomy / "host") is None
    identity = await join.join(roomy / "host", panel.url, token, name="box-9")
    assert len(await panel.fetch("SELECT id FROM hosts")) == 1
    with pytest.raises(ApiError):
        await join.join(roomy / "other", panel.url, token, name="box-10")
    assert identity.broker_user in identity.broker_url().replace("%2F", "/")


async def test_an_api_out_of_reach_is_one_line(roomy: Path) -> None:
    with pytest.raises(OutOfReach, match="the API cannot be reached"):
        await join.join(roomy / "host", f"http://127.0.0.1:{free_port()}", "mmj_" + "x" * 43)


def test_the_broker_url_carries_the_hosts_own_user() -> None:
    identity = join.Identity(
        host_id=join.HostId(7),
        name="box",
        api_url="https://panel",
        host_key="mmh_x",
        broker_password="p/w",
        rabbitmq_url="amqp://broker:5672/%2Fdev",
        broker_user="/dev.host.7",
    )
    assert identity.broker_url() == "amqp://%2Fdev.host.7:p%2Fw@broker:5672/%2Fdev"
    assert identity.broker_url("amqps://other/%2Fdev") == "amqps://%2Fdev.host.7:p%2Fw@other/%2Fdev"
    assert identity.broker_url("amqps://me:too@other/%2Fdev") == "amqps://me:too@other/%2Fdev"
    assert os.path.basename(join.IDENTITY) == "identity.json"
