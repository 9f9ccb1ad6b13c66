"""Simulated hosts that hold sessions: they beat, answer for reports and leases, and now and then one session follows another.

`python -m bench.agents RABBITMQ_URL HOSTS SESSIONS SECONDS` (sessions of each host) prints what they said, as JSON. The rows are those
of `bench.hold`: host h holds deployments h, h + HOSTS, …, each with the session of the same number.
"""

import asyncio
import json
import os
import sys
import uuid
from collections import Counter, deque
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
    """All of them on one connection."""

    bus: rabbit.RabbitBus
    agents: list[Agent]
    said: Counter[str] = field(default_factory=Counter)
    due: deque[Outgoing] = field(default_factory=deque)

    async def beat(self, seconds: float) -> None:
        """Each host beats once a round, the hosts spread over it; with the beats goes whatever else is due."""
        clock = asyncio.get_running_loop().time
        began, tick = clock(), 0
        while clock() - began < seconds:
            beats = [agent.heartbeat() for agent in self.agents[tick % TICKS :: TICKS]]
            self.said["beats"] += len(beats)
            await self.bus.publish([*self._journalled(tick), *beats])
            tick += 1
            await asyncio.sleep(max(0.0, began + tick * BEATS_EVERY / TICKS - clock()))

    def _journalled(self, tick: int) -> list[Outgoing]:
        if tick > 2 * TICKS and tick % (TICKS // (int(BEATS_EVERY) * TURNS_A_SECOND) or 1) == 0:
            agent = self.agents[(tick * 7919) % len(self.agents)]
            self.due.extend(agent.turn(list(agent.held)[tick % len(agent.held)]))
            self.said["turns"] += 1
        messages = list(self.due)
        self.due.clear()
        return messages

    async def obey(self) -> None:
        """Answer what the control plane asks; what else it says is counted."""
        async with self.bus.consume(COMMANDS, 500) as consumer:
            while True:
                deliveries = await consumer.get_batch(500, wait=timedelta(seconds=1))
                for delivery in deliveries:
                    _, _, host, verb = delivery.key.split(".")
                    self.said[verb] += 1
                    if verb == "report":
                        self.due.append(self.agents[int(host) - 1].report())
                if deliveries:
                    await consumer.ack(deliveries[-1])


def agent(host: int, hosts: int, sessions: int) -> Agent:
    """A host of `bench.hold`."""
    held = {host + n * hosts: host + n * hosts for n in range(sessions)}
    return Agent(host, held, dict.fromkeys(held, 1), host * IDS_PER_HOST)


async def main(broker: str, hosts: int, sessions: int, seconds: int) -> None:
    """Say hello, then hold."""
    bus = await rabbit.connect(broker, topology=LISTENS)
    fleet = Fleet(bus, [agent(host, hosts, sessions) for host in range(1, hosts + 1)])
    fleet.due.extend(one.say("host", "online", boot=2, agent_version="bench") for one in fleet.agents)
    obeying = asyncio.create_task(fleet.obey())
    await fleet.beat(seconds)
    obeying.cancel()
    print(json.dumps({**fleet.said, "pid": os.getpid()}))
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
