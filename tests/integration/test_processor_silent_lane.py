"""A broker that was killed right after it made one host's queue: that host's commands wait for a leader, all others' go on.
And a command that no broker can be given: it goes, all others go on."""

import asyncio
import os
from itertools import chain

import msgspec
import pytest
import structlog
from contract.places import Place
from harness import RabbitMQ
from integration.processor_house import Agent, House, house, now

from manman.events import outbox as rows
from manman.events import topics, topology
from manman.events.rabbit import leaders
from manman.processor import commands
from manman.store import outbox

MANY = [str(n) for n in range(450)]  # more than a broker reads ahead for a channel that is held up


async def test_a_queue_without_leader_delays_only_its_own_host_s_commands(
    own_rabbitmq: RabbitMQ, database_url: str
) -> None:
    place = Place("rabbitmq", own_rabbitmq.url())
    async with (
        place.bus(topology.exchanges()) as own,
        house(place, database_url, command_bus=own) as home,
    ):
        silent, other = await home.host(), await home.host()
        queue = topics.host_commands(silent.id)
        await killed(home, own_rabbitmq, queue)
        with structlog.testing.capture_logs() as logs:
            await say(home, *((silent, line) for line in MANY), (other, "1"), (silent, "last"), (other, "2"))
            await heard(home, other, "1", "2")
            await home.until("its host is named", lambda: noted(home, queue))
            await say(home, (other, "3"), (silent, "later"))
            await heard(home, other, "1", "2", "3")
            assert lines(home, silent) == [] and await waiting(home, silent) == len(MANY) + 2
        assert all(check() is None for check in home.processor.health.required.values()), "readiness is of all hosts"
        told = next(line for line in logs if line["event"] == "commands_held_up")
        assert (told["host_id"], told["why"], told["queue"]) == (silent.id, "unanswered", queue)
        assert leaders.COMMAND in told["hint"]

        assert await asyncio.to_thread(own_rabbitmq.elect) == {queue}
        await heard(home, silent, *MANY, "last", "later")
        await home.until("its lane is free", lambda: noted(home, None))
        await say(home, (silent, "again"), (other, "4"))
        await heard(home, silent, *MANY, "last", "later", "again")
        await heard(home, other, "1", "2", "3", "4")


async def test_more_silent_hosts_than_trials_at_once_all_come_back(
    own_rabbitmq: RabbitMQ, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "TRIALS", 1)
    monkeypatch.setattr(commands, "PATIENCE", commands.PATIENCE / 5)
    place = Place("rabbitmq", own_rabbitmq.url())
    async with (
        place.bus(topology.exchanges()) as own,
        house(place, database_url, command_bus=own) as home,
    ):
        hosts = [await home.host() for _ in range(3)]
        queues = {topics.host_commands(host.id) for host in hosts[:2]}
        await killed(home, own_rabbitmq, *queues)
        await say(home, *chain.from_iterable([(host, "1"), (host, "2")] for host in hosts))
        await heard(home, hosts[2], "1", "2")
        assert await asyncio.to_thread(own_rabbitmq.elect) == queues
        for host in hosts:
            await heard(home, host, "1", "2")
        await home.until("their lanes are free", lambda: noted(home, None))


async def test_a_command_that_amqp_has_no_form_for_is_dropped_and_those_around_it_arrive_in_order(
    rabbitmq_url: str, database_url: str
) -> None:
    async with house(Place("rabbitmq", rabbitmq_url), database_url) as home:
        odd, one, other = await home.host(), await home.host(), await home.host()
        key = topics.command(odd.id, "\ufffd" * 100)  # fewer than 255 characters, more octets
        formless = msgspec.structs.replace(command(odd, "never"), key=key)
        before = [command(agent, "1") for agent in (odd, one, other)]
        behind = [command(agent, line) for line in ("2", "3") for agent in (other, one, odd)]
        with structlog.testing.capture_logs() as logs:
            async with home.pool.transaction() as conn:
                await outbox.insert(conn, [*before, formless, *behind])
            for agent in (odd, one, other):
                await heard(home, agent, "1", "2", "3")
            await home.until("nothing waits", lambda: nothing_waits(home))
        told = [line for line in logs if line["event"] == "command_dropped"]
        assert [(line["key"], line["host_id"], line["log_level"]) for line in told] == [(key, odd.id, "error")]


async def killed(home: House, broker: RabbitMQ, *queues: str) -> None:
    """A broker comes back that has no leader for these queues; others have one again soon."""
    for queue in queues:
        await asyncio.to_thread(broker.forget, queue)
    await asyncio.to_thread(broker.kill)
    broker.start()

    async def is_so() -> bool:
        return await asyncio.to_thread(broker.leaderless) == {*queues}

    await home.until(f"only {queues} have no leader", is_so)


async def say(home: House, *wanted: tuple[Agent, str]) -> None:
    """Commands in one transaction, in this order."""
    async with home.pool.transaction() as conn:
        await outbox.insert(conn, [command(agent, line) for agent, line in wanted])


def command(agent: Agent, line: str) -> rows.OutboxRow:
    return rows.command(agent.id, "input", now=now(), chance=os.urandom, session_id=1, line=line)


def lines(home: House, agent: Agent) -> list[str]:
    """What a host was told, in order; it knows a command that comes again by its id."""
    told = {body["command_id"]: body["line"] for verb, body in home.commands.get(agent.id, []) if verb == "input"}
    return list(told.values())


async def heard(home: House, agent: Agent, *wanted: str) -> None:
    async def is_heard() -> bool:
        return len(lines(home, agent)) >= len(wanted)

    await home.until(f"host {agent.id} is told {wanted}", is_heard)
    assert lines(home, agent) == list(wanted)


async def noted(home: House, queue: str | None) -> bool:
    said = home.processor.health.notes["commands"]()
    return said is None if queue is None else said is not None and queue in said


async def waiting(home: House, agent: Agent) -> int:
    return int(await home.value("SELECT count(*) FROM outbox WHERE host = $1", agent.id))


async def nothing_waits(home: House) -> bool:
    return not await home.rows("SELECT id FROM outbox WHERE exchange = $1", topics.INTERNAL)
