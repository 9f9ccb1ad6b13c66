"""One poison in a thousand messages: its neighbours arrive in order, it is a dead letter with a reason, and a replay applies it."""

import asyncio
import json
import os
from typing import Any

import pytest
from harness.checker import in_order, numbered, once, published

from faults import gather
from faults.house import House
from faults.plan import Plan
from faults.run import running
from faults.services import Services
from manman.domain.ids import HostId, uuid7
from manman.events import envelope, topics
from manman.events.bus import Outgoing

pytestmark = pytest.mark.timeout(300)
SESSIONS = 250
WORDS = ("starting", "running", "stopping", "stopped")
RULES = (numbered, published, once, in_order)
MAKE_HOST = """
    INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ('crowded', '{192.0.2.9}', clock(), clock()) RETURNING id"""
MAKE_DEPLOYMENTS = """
    INSERT INTO deployments (name, host, config, config_revision, status, desired, desired_version, seen_version, last_run,
                             seen_deployment_version, created_at, updated_at)
    SELECT 'crowd-' || n, $1, 1, 1, 'ready', 'running', 1, 1, 1, 1, clock(), clock() FROM generate_series(1, $2::int) AS n"""
MAKE_SESSIONS = """
    WITH made AS (
        INSERT INTO sessions (host, deployment, run, begun_version, cause, created_at, at, deadline_at, config, config_revision,
                              deployment_version, history_number)
        SELECT host, id, 1, 1, 'user', clock(), clock(), clock() + interval '1 hour', config, config_revision, version, 1
        FROM deployments WHERE host = $1 ORDER BY id RETURNING id)
    INSERT INTO session_history (session, number, to_status, at, recorded_at, cause)
    SELECT id, 1, 'pending', clock(), clock(), 'user' FROM made RETURNING session"""


class Host:
    """Somebody who numbers what he says."""

    def __init__(self, house: House, number: int) -> None:
        self.house, self.id, self.sequence = house, HostId(number), 0
        self.journal = os.urandom(6).hex()

    def says(self, word: str, session: int, body: bytes | None = None, **more: Any) -> Outgoing:
        self.sequence += 1
        event = envelope.attributes(
            id=str(uuid7(self.house.time.at, os.urandom)),
            source=envelope.journal_source(self.id, self.journal),
            type=f"manman.status.session.{word}",
            time=self.house.time.at,
            sequence=self.sequence,
        )
        return Outgoing(
            exchange=topics.INTERNAL,
            key=topics.status("session", word, self.id),
            body=body if body is not None else json.dumps({"session_id": session, **more}).encode(),
            headers=envelope.to_headers(event) | {envelope.HOST: str(self.id)},
            message_id=event.id,
        )


async def poisoned(services: Services) -> None:
    plan = Plan(seed=1, seconds=0, hosts=1, replicas=1, processor={"poison": "poison"})
    async with running(plan, services) as house:
        number = await house.monitor.fetchval(MAKE_HOST)
        await house.monitor.execute(MAKE_DEPLOYMENTS, number, SESSIONS)
        sessions = [row["session"] for row in await house.monitor.fetch(MAKE_SESSIONS, number)]
        host, victim = Host(house, number), sessions[SESSIONS // 2]
        messages = [said for word in WORDS for said in said_by(host, word, sessions, victim)]
        assert len(messages) == 4 * SESSIONS
        assert house.bus is not None
        await house.bus.publish(messages)
        await house.until("two dead letters", lambda: counted(house, "dead_letters", 2))
        await house.until(
            "all others stopped", lambda: counted(house, "sessions WHERE status = 'stopped'", SESSIONS - 1)
        )
        await everything_holds(house)
        letters = {row["reason"]: row for row in await house.monitor.fetch("SELECT * FROM dead_letters")}
        assert set(letters) == {"bug", "malformed"}
        assert "nobody thought of 'poison'" in letters["bug"]["detail"]
        await mended(house, letters["bug"]["id"], victim)


def said_by(host: Host, word: str, sessions: list[int], victim: int) -> list[Outgoing]:
    """What each session says with this word; the victim's last two are replaced by what nobody can read, and by poison."""
    said = []
    for session in sessions:
        if session == victim and word == "stopping":
            said.append(host.says("stopping", session, body=b"\xff not JSON"))
        elif session == victim and word == "stopped":
            said.append(host.says("crashed", session, detail="poison", exit_code=3))
        else:
            said.append(host.says(word, session))
    return said


async def counted(house: House, of: str, wanted: int) -> bool:
    found: int = await house.monitor.fetchval(f"SELECT count(*) FROM {of}")
    return found == wanted


async def everything_holds(house: House) -> None:
    """The rules about what was said, once it was all said."""

    async def said() -> bool:
        history = await gather.gather(house)
        return not history.leftover and not list(published(history))

    await house.until("all is published", said)
    history = await gather.gather(house)
    assert [broken for rule in RULES for broken in rule(history)] == []


async def mended(house: House, letter: int, victim: int) -> None:
    """The cause is gone; the letter's replay does what the message should have done."""
    [child] = house.processors
    child.kill()
    house.start_processor(child, poison=None)
    assert house.operator is not None
    client = await house.operator.api.client("admin")
    await client.replay_dead_letter(letter)

    async def crashed() -> bool:
        row = await house.monitor.fetchrow("SELECT status, exit_code FROM sessions WHERE id = $1", victim)
        return (row["status"], row["exit_code"]) == ("crashed", 3)

    await house.until("the replay is applied", crashed)
    await house.until("its letter is closed", lambda: counted(house, "dead_letters WHERE replayed_at IS NOT NULL", 1))
    await everything_holds(house)


def test_a_poison_in_a_thousand_harms_no_neighbour_and_is_applied_once_its_cause_is_mended(services: Services) -> None:
    asyncio.run(poisoned(services))
