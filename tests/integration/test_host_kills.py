"""The agent killed again and again while it works: every step is told once and in order, and in the end the machine agrees
with the wish, with one game a deployment."""

import asyncio
import os
import random
import signal
from itertools import pairwise
from pathlib import Path

import pytest
from harness.wrapped import eventually
from integration.host_control import Control, control, demo

from manman.v1.types import RestartPolicy

LEGAL = {
    "pending": {"starting", "stopping", "crashed"},
    "starting": {"running", "stopping", "crashed"},
    "running": {"stopping", "crashed"},
    "stopping": {"stopped", "crashed"},
    "stopped": set(),
    "crashed": set(),
}
POLICY = RestartPolicy(policy="on_crash", delay="0.1s", max_delay="0.2s", limit=1000, window="600s")


def by_sequence(it: Control) -> dict[int, list[str]]:
    """The statuses of each session in the order of their numbers, journal by journal; repeats left out."""
    journals = list(dict.fromkeys(journal for journal, _ in it.sequences()))
    messages = {(m.attributes.journal_id, m.attributes.sequence): m for m in it.said if m.attributes}
    words: dict[int, list[str]] = {}
    for (_, _), message in sorted(messages.items(), key=lambda one: (journals.index(one[0][0] or ""), one[0][1] or 0)):
        if message.key.noun == "session":
            said = words.setdefault(message.body.session_id, [])  # type: ignore[union-attr]
            if not said or said[-1] != message.key.word:
                said.append(message.key.word)
    return words


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_any_instant_it_tells_every_step_once_and_agrees_in_the_end(
    seed: int, rabbitmq_url: str, roomy: Path
) -> None:
    chance = random.Random(seed)
    async with control(rabbitmq_url, roomy) as it:
        it.put(demo(5, restart=POLICY))
        it.put(demo(6, restart=POLICY))
        agent = it.start_agent()
        await it.tell("lease", lease=[(500, 699)])
        version = {5: 1, 6: 1}
        await it.start(5, 100, run=1, version=1)
        await it.start(6, 101, run=1, version=1)
        for _ in range(8):
            await asyncio.sleep(chance.random() * 1.2)
            agent.send_signal(signal.SIGKILL)
            agent.wait()
            for pid in chance.sample(it.wrappers(), k=min(1, len(it.wrappers()))):
                if chance.random() < 0.5:
                    os.kill(pid, signal.SIGKILL)
            agent = it.start_agent()
            number = chance.choice([5, 6])
            version[number] += 1
            fresh = version[number] if chance.random() < 0.5 else 0
            await it.wish("restart" if fresh else "wish", number, "running", version[number], fresh)
        version[6] += 1
        await it.wish("stop", 6, "stopped", version[6])
        await it.settled({5: "running", 6: "stopped"})
        await eventually(lambda: len(it.wrappers()) == 1)
        words = by_sequence(it)
        for session, said in words.items():
            assert said[0] == "pending", (session, said)
            assert all(after in LEGAL[before] for before, after in pairwise(said)), (session, said)
        live = [session for session, said in words.items() if said[-1] not in ("stopped", "crashed")]
        assert len(live) == 1, words
        for journal in dict.fromkeys(journal for journal, _ in it.sequences()):
            numbers = sorted({n for j, n in it.sequences() if j == journal})
            assert numbers == list(range(1, len(numbers) + 1))
