"""Many sessions go their whole way at once, started and stopped as the API does it: nothing is refused.

A hundred on ten hosts; a thousand on a hundred where there is time (`make faults`).
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from contract.places import Place
from integration.processor_house import Agent, House, house, now

from manman.api import power

HOSTS = [10, 100] if "FAULTS_ROUNDS" in os.environ else [10]
EACH = 10
AT_ONCE = 50  # requests that an API answers at a time
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


async def each(ask: Callable[[int], Coroutine[Any, Any, Any]], deployments: list[int]) -> list[Any]:
    """Ask it of all of them, many at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(deployment: int) -> Any:
        async with free:
            return await ask(deployment)

    return await asyncio.gather(*(one(deployment) for deployment in deployments))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("hosts", HOSTS)
async def test_many_sessions_go_their_whole_way_at_once(hosts: int, rabbitmq_url: str, database_url: str) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url, stale_host_threshold_seconds=20) as home:
        agents = [await home.host() for _ in range(hosts)]
        deployments = [await home.deployment(agent) for agent in agents for _ in range(EACH)]
        async with asyncio.TaskGroup() as group:
            obeying = [group.create_task(obey(home, agent)) for agent in agents]

            async def online() -> bool:
                return bool(await home.value("SELECT count(*) = $1 FROM host_heartbeats WHERE online", hosts))

            await home.until("all hosts online", online)
            sessions = await each(lambda one: start(home, one), deployments)
            await all_are(home, sessions, "running")
            await each(lambda one: stop(home, one), deployments)
            await all_are(home, sessions, "stopped")
            for task in obeying:
                task.cancel()
        for session in sessions:
            assert await home.history(session) == LIFE
        assert await home.value("SELECT count(*) FROM dead_letters") == 0
        assert await home.value("SELECT count(*) FROM sessions") == hosts * EACH
        assert home.processor.health.notes["consumption"]() is None


async def all_are(home: House, sessions: list[int], status: str) -> None:
    """Until each of them is."""
    query = "SELECT count(*) = $1 FROM sessions WHERE id = ANY ($2::bigint[]) AND status = $3"
    async with asyncio.timeout(300):
        while not await home.value(query, len(sessions), sessions, status):  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.1)
