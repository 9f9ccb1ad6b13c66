"""A hundred sessions go their whole way at once on ten hosts, started and stopped as the API does it: nothing is refused."""

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from contract.places import Place
from integration.processor_house import Agent, House, house, now

from manman.api import power

HOSTS, EACH = 10, 10
LIFE = ["pending", "starting", "running", "stopping", "stopped"]


def operator() -> Any:
    """Who asks: what a use case needs of its caller."""
    office = SimpleNamespace(settings=SimpleNamespace(start_deadline_seconds=120), chance=os.urandom)
    return SimpleNamespace(now=now(), said="user test", trace_id="", office=office)


async def start(home: House, deployment: int) -> int:
    async with home.pool.transaction() as conn:
        return await power.begin(await power.locked(conn, deployment), operator(), conn, fresh=False)


async def stop(home: House, deployment: int) -> None:
    async with home.pool.transaction() as conn:
        assert await power.stop(await power.locked(conn, deployment), operator(), conn, verb="stop")


async def obey(home: House, agent: Agent) -> None:
    """A host that does at once what it is told, and beats."""
    done = 0
    live: dict[int, int] = {}
    while True:
        told = home.commands.get(agent.id, [])[done:]
        done += len(told)
        for verb, body in told:
            deployment, held = body.get("deployment_id"), {"desired_version": body.get("desired_version")}
            if verb == "start":
                live[deployment] = body["session_id"]
                await agent.session(body["session_id"], "starting", "running", **held)
            elif verb == "stop" and deployment in live:
                session = live.pop(deployment)
                await agent.session(session, "stopping", **held)
                await agent.session(session, "stopped", exit_code=0, reason="exited", **held)
        await agent.heartbeat()
        await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_a_hundred_sessions_go_their_whole_way_at_once(rabbitmq_url: str, database_url: str) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url, stale_host_threshold_seconds=20) as home:
        agents = [await home.host() for _ in range(HOSTS)]
        deployments = [await home.deployment(agent) for agent in agents for _ in range(EACH)]
        async with asyncio.TaskGroup() as group:
            obeying = [group.create_task(obey(home, agent)) for agent in agents]

            async def online() -> bool:
                return bool(await home.value("SELECT count(*) = $1 FROM host_heartbeats WHERE online", HOSTS))

            await home.until("all hosts online", online)
            sessions = await asyncio.gather(*(start(home, one) for one in deployments))
            await all_are(home, sessions, "running")
            await asyncio.gather(*(stop(home, one) for one in deployments))
            await all_are(home, sessions, "stopped")
            for task in obeying:
                task.cancel()
        for session in sessions:
            assert await home.history(session) == LIFE
        assert await home.value("SELECT count(*) FROM dead_letters") == 0
        assert await home.value("SELECT count(*) FROM sessions") == HOSTS * EACH
        assert home.processor.health.notes["consumption"]() is None


async def all_are(home: House, sessions: list[int], status: str) -> None:
    """Until each of them is."""
    query = "SELECT count(*) = $1 FROM sessions WHERE id = ANY ($2::bigint[]) AND status = $3"
    async with asyncio.timeout(120):
        while not await home.value(query, len(sessions), sessions, status):  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.1)
