"""Partitions on the real broker: spread over live replicas, taken over from dead and frozen ones, changed in number under load."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
from contract.places import Place
from harness.proxy import Proxy
from harness.rabbitmq import RabbitMQ
from integration.processor_house import House, house, surely
from integration.processor_replicas import (
    WORDS,
    Load,
    ask,
    command,
    generations,
    gone,
    live,
    owned,
    process,
    queues,
    replica,
    until_shared,
)

from manman.domain import partitions as rules
from manman.errors import Unavailable
from manman.events import topics
from manman.events.bus import Binding, Topology
from manman.events.topology import EQUAL_WEIGHT
from manman.observability import metrics
from manman.processor import repartitioning
from manman.processor.repartitioning import Repartitioning


@pytest.fixture
def place(rabbitmq_url: str) -> Place:
    return Place("rabbitmq", rabbitmq_url)


@pytest.fixture
async def home(place: Place, database_url: str) -> AsyncIterator[House]:
    async with house(place, database_url) as running:
        yield running


async def test_partitions_are_spread_evenly_and_move_when_replicas_join_and_leave(
    home: House, place: Place, database_url: str
) -> None:
    first = home.processor
    await ask(home, 4)
    await until_shared(home, 1, 4)

    async def shares(*wanted: tuple[Any, int]) -> None:
        async def there() -> bool:
            return sorted(owned(p) for p, _ in wanted) == sorted(n for _, n in wanted)

        await home.until(f"shares of {[n for _, n in wanted]}", there)
        await until_shared(home, len(wanted), 4)

    await shares((first, 4))
    async with replica(place, database_url) as second:
        await shares((first, 2), (second, 2))
        async with replica(place, database_url) as third:
            await shares((first, 2), (second, 1), (third, 1))
            async with Load(home, 8) as load:
                await asyncio.sleep(1)
        await shares((first, 2), (second, 2))
    await shares((first, 4))
    await load.judge()


async def test_one_partition_needs_no_plugin_and_keeps_its_name(place: Place, database_url: str, roomy: Path) -> None:
    broker = RabbitMQ(roomy / "plain", management=False, consistent_hash=False)
    await asyncio.to_thread(broker.start)
    try:
        async with house(Place("rabbitmq", broker.url()), database_url) as home:
            async with Load(home, 2) as load:
                await asyncio.sleep(0.5)
            await load.judge()
            code, said = await command(database_url, broker.url(), "4")
            assert code == 4
            assert "rabbitmq-plugins enable rabbitmq_consistent_hash_exchange" in said
            assert [(one.number, one.partitions) for one in await generations(home)] == [(0, 1)]
            # Asked for behind the command's back, it is refused once more, and said in readiness; taken back, all is well.
            await ask(home, 4)

            async def refused() -> bool:
                return "plugin" in str(home.processor.health.notes["partitions"]())

            await home.until("readiness says why", refused)
            await ask(home, 1)

            async def well() -> bool:
                return home.processor.health.notes["partitions"]() is None

            await home.until("readiness says nothing", well)
            async with Load(home, 2) as load:
                await asyncio.sleep(0.2)
    finally:
        await asyncio.to_thread(broker.stop)


async def test_without_a_broker_there_is_one_partition_and_the_command_says_why(database_url: str) -> None:
    async with house(Place("postgresql", database_url), database_url) as home:
        await until_shared(home, 1, 1)
        code, said = await command(database_url, None, "4")
        assert (code, "the bus on PostgreSQL has no partitions" in said) == (4, True)
        assert (await command(database_url, None, "1"))[0] == 0
        code, said = await command(database_url, None, "--json")
        assert code == 0
        assert msgspec.json.decode(said)["queues"][0]["queue"] == topics.EVENTS_QUEUE
        for wrong in ("0", "65"):
            code, said = await command(database_url, None, wrong)
            assert (code, "must be from 1 to 64" in said) == (2, True)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_killed_or_frozen_replica_owned_is_taken_over_and_nothing_is_lost(
    home: House, place: Place, database_url: str, tmp_path: Path, way: signal.Signals
) -> None:
    await ask(home, 4)
    await until_shared(home, 1, 4)
    with process(place, database_url, tmp_path / "log") as other:
        await until_shared(home, 2, 4)
        async with Load(home, 16) as load:
            await asyncio.sleep(1)
            other.send_signal(way)

            async def taken() -> bool:
                return owned(home.processor) == 4

            await home.until("the survivor owns everything", taken)
            await asyncio.sleep(1)
        await load.judge()
        assert set((await live(home)).values()) == {os.getpid()}
        other.send_signal(signal.SIGCONT)
        if way is signal.SIGSTOP:
            await until_shared(home, 2, 4)
            async with Load(home, 4) as more:
                await asyncio.sleep(0.5)
            more.agents |= load.agents
            await more.judge()


async def test_a_replica_that_cannot_reach_the_broker_leaves_its_part_to_the_other(
    place: Place, database_url: str
) -> None:
    port = urlsplit(place.url).port or 5672
    proxy = await Proxy(port).open()
    try:
        async with replica(Place("rabbitmq", place.url.replace(f":{port}/", f":{proxy.port}/")), database_url) as first:
            for _ in range(200):
                if owned(first) == 1 and first.health.notes["relay"]() is None:
                    break
                await asyncio.sleep(0.1)
            async with house(place, database_url) as home:
                await ask(home, 2)
                await until_shared(home, 2, 2)
                assert home.processor.health.notes["relay"]() is not None
                proxy.cut()
                await until_shared(home, 1, 2)
                assert owned(home.processor) == 2
                agent = await home.host()
                session = await home.session(await home.deployment(agent))
                await agent.session(session, "starting", "running")
                await home.until_event("manman.session.running", session_id=session)
                assert home.processor.health.notes["relay"]() is None, "who can speak leads the relay"
                proxy.heal()
                await until_shared(home, 2, 2)
    finally:
        await proxy.close()


async def test_the_new_partitions_wait_until_the_last_message_of_the_old_queue_is_applied(
    home: House, database_url: str
) -> None:
    agents = [await home.host() for _ in range(8)]
    sessions = {agent.id: await home.session(await home.deployment(agent)) for agent in agents}
    await until_shared(home, 1, 1)
    busy = await asyncpg.connect(database_url)
    async with busy.transaction():
        await busy.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")  # nothing is applied now
        for agent in agents:
            await agent.session(sessions[agent.id], "starting", "running")
        await ask(home, 2)

        async def unbound() -> bool:
            return (await generations(home))[0].unbound_at is not None

        await home.until("the old queue gets nothing more", unbound)
        for agent in agents:
            await agent.session(sessions[agent.id], "stopping")
            await agent.session(sessions[agent.id], "stopped", exit_code=0)
        new = (await generations(home))[-1]
        depths = [await home.bus.depth(queue) for queue in queues(new)]
        assert sum(depth.ready for depth in depths) == 2 * len(agents)
        assert [depth.consumers for depth in depths] == [0, 0]
        assert (await generations(home))[0].ended == (0,)
        note = home.processor.health.notes["partitions"]()
        assert note == "generation 1 waits until generation 0 is drained"
    await busy.close()
    await until_shared(home, 1, 2)
    for agent in agents:
        await home.until_settled(agent)
        assert await home.history(sessions[agent.id]) == WORDS
    assert await home.rows("SELECT reason FROM dead_letters") == []


async def test_the_number_changes_under_load_and_nothing_is_lost_doubled_or_reordered(
    home: House, place: Place, database_url: str, tmp_path: Path
) -> None:
    with process(place, database_url, tmp_path / "a") as one, process(place, database_url, tmp_path / "b"):
        await until_shared(home, 3, 1)
        async with Load(home, 24) as load:
            left = await generations(home)
            for count in (4, 6, 1):
                if count == 6:
                    one.kill()  # in the middle of whatever it does
                code, said = await command(database_url, place.url, str(count))
                assert code == 0, said
                assert f"generation {left[-1].number}: drained" in said
                assert f"done: {count} partition" in said
                assert await gone(home, left[-1])
                left = await generations(home)
        await load.judge()
        for session in load.sessions:
            await home.until_event("manman.session.stopped", session_id=session)
        # The relay may repeat an event, under its one id; it never makes two of one transition.
        told = {(event["session_id"], event["type"], event["id"]) for event in home.events if "session_id" in event}
        assert Counter(kind for _, kind, _ in told) == {
            "manman.session.running": len(load.sessions), "manman.session.stopped": len(load.sessions)
        }  # fmt: skip


@pytest.mark.parametrize("reborn", [False, True], ids=["in a journal", "in the next journal"])
async def test_hosts_that_move_to_other_partitions_keep_their_order(
    home: House, database_url: str, reborn: bool
) -> None:
    agents = [await home.host() for _ in range(40)]
    sessions = {agent.id: await home.session(await home.deployment(agent)) for agent in agents}
    await ask(home, 4)
    one = await until_shared(home, 1, 4)
    busy = await asyncpg.connect(database_url)
    async with busy.transaction():
        await busy.execute("LOCK TABLE sessions IN EXCLUSIVE MODE")  # nothing is applied now
        for agent in agents:
            await agent.session(sessions[agent.id], "starting", "running")
        waited = early()
        # The hash ring in another order, as a broker that starts again may build it.
        first = Binding(queue=queues(one)[0], exchange=topics.partitions_exchange(one.number), pattern=EQUAL_WEIGHT)
        await surely(lambda: home.bus.unbind(Topology(bindings=(first,))))
        await surely(lambda: home.bus.declare(Topology(bindings=(first,)), lasting=False))
        for agent in agents:
            if reborn:
                agent.begins_anew()
            await agent.session(sessions[agent.id], "stopping")
            await agent.session(sessions[agent.id], "stopped", exit_code=0)
    await busy.close()
    for agent in agents:
        await home.until_settled(agent)
        assert await home.history(sessions[agent.id]) == WORDS
    assert await home.rows("SELECT reason FROM dead_letters") == []
    assert early() > waited, "no host moved"


def early() -> float:
    """How many messages had to wait for their predecessors so far, in this process."""
    return metrics.REGISTRY.get_sample_value("manman_notices_total", {"what": "messages_early"}) or 0.0


async def test_a_broker_that_is_killed_under_load_loses_and_reorders_nothing(
    own_rabbitmq: RabbitMQ, database_url: str
) -> None:
    place = Place("rabbitmq", own_rabbitmq.url())
    async with house(place, database_url) as home, replica(place, database_url):
        await ask(home, 4)
        await until_shared(home, 2, 4)
        async with Load(home, 24) as load:
            for _ in range(2):
                await asyncio.sleep(1)
                await asyncio.to_thread(own_rabbitmq.kill)
                await asyncio.to_thread(own_rabbitmq.start)
            await asyncio.sleep(1)
        await load.judge()


async def test_a_partition_that_somebody_deleted_is_made_and_bound_again(home: House) -> None:
    await ask(home, 2)
    one = await until_shared(home, 1, 2)
    await surely(lambda: home.bus.delete_queue(queues(one)[1]))
    await until_shared(home, 1, 2)
    async with Load(home, 8) as load:
        await asyncio.sleep(0.5)
    await load.judge()


FORGET = """
DELETE FROM partition_generations;
INSERT INTO partition_generations (generation, partitions, ended, bound_at) VALUES (0, 1, '{0}', clock());
UPDATE installation SET partitions = 1, generation = 0, epoch = epoch + 1"""


async def test_partitions_that_a_restored_database_has_forgotten_are_emptied_and_their_names_not_used_again(
    home: House,
) -> None:
    agents = [await home.host() for _ in range(12)]
    sessions = {agent.id: await home.session(await home.deployment(agent)) for agent in agents}
    await ask(home, 3)
    forgotten = await until_shared(home, 1, 3)
    await home.execute(FORGET)
    for agent in agents:
        await agent.session(sessions[agent.id], "starting", "running")
    await ask(home, 2)
    assert (await until_shared(home, 1, 2)).number > forgotten.number
    assert await gone(home, forgotten)
    for agent in agents:
        await agent.session(sessions[agent.id], "stopping")
        await agent.session(sessions[agent.id], "stopped", exit_code=0)
        await home.until_settled(agent)
        assert await home.history(sessions[agent.id]) == WORDS
    assert await home.rows("SELECT reason FROM dead_letters") == []


async def test_changes_quickly_after_each_other_follow_each_other_though_the_command_is_interrupted(
    home: House, place: Place, database_url: str
) -> None:
    async with replica(place, database_url), Load(home, 12) as load:
        await until_shared(home, 2, 1)
        code, said = await command(database_url, place.url, "4", interrupt_at="asked for")
        assert code == 130, said
        for count in ("6", "1", "3"):
            code, said = await command(database_url, place.url, count, "--no-wait")
            assert code == 0, said
        code, said = await command(database_url, place.url, "3")
        assert code == 0, said
        assert "asked for already: 3 partitions" in said and "done: 3 partitions" in said
        begun = await until_shared(home, 2, 3)
        code, said = await command(database_url, place.url)
        assert code == 0
        assert all(queue in said for queue in queues(begun)) and "2 live processor(s)" in said
    await load.judge()


async def test_a_step_whose_leader_died_before_it_was_noted_is_made_again(
    place: Place, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, died = repartitioning.partitions.note, set()

    async def note(conn: Any, step: rules.Step) -> None:
        if (step.do, step.number) not in died:
            died.add((step.do, step.number))
            raise Unavailable("it died before that")
        await really(conn, step)

    monkeypatch.setattr(repartitioning.partitions, "note", note)
    async with house(place, database_url) as home:
        async with Load(home, 12) as load:
            for count in (4, 1):
                await ask(home, count)
                await until_shared(home, 1, count)
        await load.judge()
    assert {do for do, _ in died} == set(rules.Do) - {rules.Do.REOPEN}


async def test_what_came_too_late_for_the_marks_is_consumed_before_its_queue_goes(
    place: Place, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Topology(exchanges=("late",), bindings=(Binding(queue=topics.EVENTS_QUEUE, exchange="late", pattern="#"),))
    really, steps = Repartitioning._delete, []
    async with house(place, database_url) as home:
        agent = await home.host()
        session = await home.session(await home.deployment(agent))
        message = msgspec.structs.replace(
            agent.message("session", "starting", {"session_id": session}), exchange="late"
        )

        async def delete(self: Repartitioning, step: rules.Step) -> rules.Step:
            if not steps:
                await surely(lambda: home.bus.declare(late, lasting=False))
                await home.publish(message)
            steps.append(await really(self, step))
            return steps[-1]

        monkeypatch.setattr(Repartitioning, "_delete", delete)
        await ask(home, 2)
        await until_shared(home, 1, 2)
        assert [step.do for step in steps] == [rules.Do.REOPEN, rules.Do.DELETE]
        await home.until_status(session, "starting")
        await home.until_settled(agent)
