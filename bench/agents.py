"""Simulated hosts that hold sessions: they beat, answer for reports and leases, and now and then one session follows another.

`python -m bench.agents RABBITMQ_URL HOSTS SESSIONS SECONDS` (sessions of each host) prints what they said, as JSON. The rows are those
of `bench.hold`: host h holds deployments h, h + HOSTS, …, each with the session of the same number.
"""

import asyncio
import json
import os
import sys
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from typing import Any

import msgspec

from bench.world import IDS_PER_HOST
from manman.domain.ids import HostId
from manman.events import envelope, topics
from manman.events.bus import Binding, Kind, Outgoing, Queue, Topology
from manman.events.rabbit import bus as rabbit

COMMANDS = "bench-commands"
BEATS_EVERY = 3.0
TICKS = 30  # in one round of beats
TOGETHER = 500  # messages that are published, or commands that are taken, at once
TURNS_A_SECOND = 4  # sessions that end and are followed by the next
LISTENS = Topology(
    exchanges=(topics.INTERNAL,),
    queues=(Queue(name=COMMANDS, kind=Kind.CLASSIC),),
    bindings=(Binding(queue=COMMANDS, exchange=topics.INTERNAL, pattern="command.host.#"),),
)


@dataclass(slots=True)
class Agent:
    """One host. `held` are its live sessions by deployment, `runs` the last run of each."""

    id: int
    held: dict[int, int]
    runs: dict[int, int]
    next_id: int
    sequence: int = 0
    beat: int = 1
    journal: str = field(default_factory=lambda: uuid.uuid4().hex)

    def say(self, noun: str, word: str, **body: Any) -> Outgoing:
        """The next numbered message."""
        self.sequence += 1
        event = envelope.attributes(
            id=str(uuid.uuid4()),
            source=envelope.journal_source(HostId(self.id), self.journal),
            type=f"manman.status.{noun}.{word}",
            time=datetime.now(UTC),
            sequence=self.sequence,
        )
        return Outgoing(
            exchange=topics.INTERNAL,
            key=topics.status(noun, word, HostId(self.id)),
            body=msgspec.json.encode({"host_id": self.id, **body}),
            headers=envelope.to_headers(event) | {envelope.HOST: str(self.id)},
            message_id=event.id,
        )

    def heartbeat(self) -> Outgoing:
        """The next beat, with the fingerprint of what it holds."""
        self.beat += 1
        many = len(self.held)
        counts = {"total": many, "pending": 0, "starting": 0, "running": many, "stopping": 0}
        body = {"host_id": self.id, "boot": 2, "beat": self.beat, "sessions": counts, "cpu": 0.1}
        body |= {"live": {"count": many, "xor": reduce(xor, self.held.values(), 0)}}
        body |= {"journal_id": self.journal, "sequence": self.sequence}
        return Outgoing(
            exchange=topics.INTERNAL,
            key=topics.heartbeat(HostId(self.id)),
            body=msgspec.json.encode(body),
            headers={envelope.HOST: str(self.id)},
            perishable=True,
        )

    def report(self) -> Outgoing:
        """All that it holds."""
        sessions = [
            {"session_id": s, "deployment_id": d, "status": "running", "run": self.runs[d]}
            for d, s in self.held.items()
        ]
        wish = {
            "desired": "running",
            "desired_version": 1,
            "fresh_version": 0,
            "deployment_version": 1,
            "status": "ready",
        }
        deployments = [{"deployment_id": d, "last_run": self.runs[d], **wish} for d in self.held]
        return self.say("host", "report", boot=2, sessions=sessions, deployments=deployments)

    def turn(self, deployment: int) -> list[Outgoing]:
        """The session of a deployment ends, and the next one comes up under an id of the lease."""
        old, new = self.held[deployment], self.next_id
        self.next_id += 1
        self.runs[deployment] += 1
        self.held[deployment] = new
        about = {"deployment_id": deployment}
        begun = {
            **about,
            "session_id": new,
            "previous_session_id": old,
            "run": self.runs[deployment],
            "cause": "restart_policy",
        }
        return [
            self.say("session", "stopping", session_id=old, **about),
            self.say("session", "stopped", session_id=old, exit_code=0, reason="exited", **about),
            self.say("session", "pending", **begun),
            self.say("session", "starting", session_id=new, **about),
            self.say("session", "running", session_id=new, **about),
        ]


@dataclass(slots=True)
class Fleet:
    """All of them, on two connections: `air` for beats, which wait for nothing that is said in order, as those of an agent do not."""

    bus: rabbit.RabbitBus
    air: rabbit.RabbitBus
    agents: list[Agent]
    said: Counter[str] = field(default_factory=Counter)
    due: asyncio.Queue[Outgoing] = field(default_factory=asyncio.Queue)

    async def hold(self, seconds: float) -> None:
        """Say hello, beat and answer for so long; what was said by then is confirmed."""
        self._say([one.say("host", "online", boot=2, agent_version="bench") for one in self.agents])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._obey()), group.create_task(self._speak())]
            await self._beat(seconds)
            await self.due.join()
            for task in tasks:
                task.cancel()

    async def _beat(self, seconds: float) -> None:
        """Each host beats once a round, the hosts spread over it; now and then a session ends and the next begins."""
        clock = asyncio.get_running_loop().time
        began, tick = clock(), 0
        while clock() - began < seconds:
            beats = [agent.heartbeat() for agent in self.agents[tick % TICKS :: TICKS]]
            self.said["beats"] += len(beats)
            await self.air.publish(beats)
            self._turn(tick)
            tick += 1
            await asyncio.sleep(max(0.0, began + tick * BEATS_EVERY / TICKS - clock()))

    def _turn(self, tick: int) -> None:
        if tick > 2 * TICKS and tick % (TICKS // (int(BEATS_EVERY) * TURNS_A_SECOND) or 1) == 0:
            agent = self.agents[(tick * 7919) % len(self.agents)]
            self._say(agent.turn(list(agent.held)[tick % len(agent.held)]))
            self.said["turns"] += 1

    def _say(self, messages: Iterable[Outgoing]) -> None:
        for message in messages:
            self.due.put_nowait(message)

    async def _speak(self) -> None:
        """Send what is due, in order."""
        while True:
            messages = [await self.due.get()]
            while len(messages) < TOGETHER and not self.due.empty():
                messages.append(self.due.get_nowait())
            await self.bus.publish(messages)
            for _ in messages:
                self.due.task_done()

    async def _obey(self) -> None:
        """Answer what the control plane asks; what else it says is counted."""
        async with self.bus.consume(COMMANDS, TOGETHER) as consumer:
            while True:
                deliveries = await consumer.get_batch(TOGETHER, wait=timedelta(seconds=1))
                for delivery in deliveries:
                    _, _, host, verb = delivery.key.split(".")
                    self.said[verb] += 1
                    if verb == "report":
                        self._say([self.agents[int(host) - 1].report()])
                        await asyncio.sleep(0)  # a beat may be due
                if deliveries:
                    await consumer.ack(deliveries[-1])


def agent(host: int, hosts: int, sessions: int) -> Agent:
    """A host of `bench.hold`."""
    held = {host + n * hosts: host + n * hosts for n in range(sessions)}
    return Agent(host, held, dict.fromkeys(held, 1), host * IDS_PER_HOST)


async def main(broker: str, hosts: int, sessions: int, seconds: int) -> None:
    """Hold, and tell what was said."""
    bus, air = await rabbit.connect(broker, topology=LISTENS), await rabbit.connect(broker)
    fleet = Fleet(bus, air, [agent(host, hosts, sessions) for host in range(1, hosts + 1)])
    await fleet.hold(seconds)
    print(json.dumps({**fleet.said, "pid": os.getpid()}))
    await air.close()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
