"""The control plane as far as an agent sees it: commands through a real broker, and what the agent said, in order."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from contract.places import Place
from harness import free_port

from manman.domain.ids import HostId, SessionId
from manman.errors import Unavailable
from manman.events import codec, outbox, topics, topology
from manman.events.bus import Bus, Consumer, Outgoing
from manman.events.codec import Message
from manman.events.contracts import LogLine, LogLines
from manman.v1.types import Launch, LaunchPort, Readiness, RestartPolicy, StopSpec

TESTS = Path(__file__).resolve().parent.parent
PATIENCE = 15.0
HOST = HostId(1)
FINAL = ("stopped", "crashed")


def demo(deployment_id: int, *, version: int = 1, **changed: Any) -> Launch:
    """A launch of the demo game on a free port, ready when its line says so."""
    port = free_port()
    fields: dict[str, Any] = {
        "deployment_id": deployment_id,
        "version": version,
        "digest": f"digest-{version}",
        "name": "arena",
        "runtime": "process",
        "argv": ["manman-demo", "--port", str(port), "--save-file", "scores.json"],
        "ports": [LaunchPort(name="game", protocol="tcp", address="127.0.0.1", port=port)],
        "readiness": Readiness(kind="line", pattern="Ready on", timeout="60s"),
        "stop": StopSpec(command="stop", grace="20s"),
        "restart": RestartPolicy(policy="on_crash", delay="1s", max_delay="5s", limit=5, window="600s"),
        "start_on_boot": True,
        "expected_exit_codes": [0],
        "terminal": True,
    }
    return Launch(**(fields | changed))


class Control:
    """One host's other side. `said` holds every status message, oldest first."""

    def __init__(self, bus: Bus, consumer: Consumer, on: Place, place: Path) -> None:
        self.bus, self._consumer, self._on = bus, consumer, on
        self.state, self.launches = place / "host", place / "launches"
        self.launches.mkdir(exist_ok=True)
        self.said: list[Message] = []
        self._agents: list[subprocess.Popen[bytes]] = []
        self._logs = place / "agent.log"

    # ---- the agent's process ----

    def start_agent(
        self, *, state: Path | None = None, url: str | None = None, within: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        """The agent as a process of its own; `within` is a command that runs it, such as one in other namespaces."""
        told = {
            "kind": self._on.kind,
            "url": url or self._on.url,
            "launches": str(self.launches),
            "host_id": HOST,
            "state": str(state or self.state),
        }
        with self._logs.open("ab") as log:
            agent = subprocess.Popen(
                [*within, sys.executable, "-m", "integration.host_program", json.dumps(told | more)],
                cwd=TESTS,
                stdout=log,
                stderr=log,
            )
        self._agents.append(agent)
        return agent

    def log(self) -> str:
        return self._logs.read_text(errors="replace")

    def end(self) -> None:
        """Ends agents and, by their wrappers, every game of this place."""
        for agent in self._agents:
            agent.kill()
            agent.wait()
        for pid in self.wrappers():
            os.kill(pid, 9)

    def wrappers(self, state: Path | None = None) -> list[int]:
        from manman.wrapper import launch, spool_reader

        folders = [folder for folder in ((state or self.state) / "sessions").glob("*") if launch.is_alive(folder)]
        return [head["wrapper"] for folder in folders if (head := spool_reader.head_of(folder))]

    def game(self, session_id: int) -> int:
        """The pid of a session's game."""
        from manman.wrapper import spool_reader
        from manman.wrapper.spool import STATE

        records = spool_reader.read_from(self.state / "sessions" / str(session_id), 0).records
        pid: int = next(r.said["game"] for r in records if r.kind == STATE and r.said["state"] == "starting")
        return pid

    @asynccontextmanager
    async def listening_again(self) -> AsyncIterator[None]:
        """Hears again, after the broker was away."""
        async with AsyncExitStack() as stack:
            while True:
                await self.bus.wait_connected()
                try:
                    self._consumer = await stack.enter_async_context(self.bus.consume("processor-events", 100))
                except Unavailable:  # the loss was not noticed yet
                    await asyncio.sleep(0.05)
                else:
                    break
            yield

    def lines(self, session_id: int) -> list[str]:
        """The last lines of a session's console."""
        from manman.wrapper import spool_reader

        return [line.text for line in spool_reader.last_lines(self.state / "sessions" / str(session_id))]

    def user_of(self, pid: int) -> int:
        """The number that a process runs under."""
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:")))

    # ---- words ----

    def put(self, launch: Launch) -> None:
        (self.launches / f"{launch.deployment_id}.json").write_bytes(msgspec.json.encode(launch))

    async def tell(self, verb: Any, *, ttl: timedelta | None = None, **fields: Any) -> None:
        row = outbox.command(HOST, verb, now=datetime.now(UTC), chance=os.urandom, ttl=ttl, **fields)
        await self.bus.publish([outbox.outgoing(row)])

    async def raw(self, key: str, body: bytes) -> None:
        """Bytes under a key, whatever they are."""
        await self.bus.publish([Outgoing(exchange=topics.INTERNAL, key=key, body=body)])

    async def start(self, deployment_id: int, session_id: int, *, run: int, version: int, **more: Any) -> None:
        await self.tell(
            "start",
            session_id=session_id,
            deployment_id=deployment_id,
            run=run,
            desired="running",
            desired_version=version,
            fresh_version=0,
            within=60.0,
            **more,
        )

    async def wish(
        self, verb: str, deployment_id: int, desired: str, version: int, fresh: int = 0, **more: Any
    ) -> None:
        await self.tell(
            verb, deployment_id=deployment_id, desired=desired, desired_version=version, fresh_version=fresh, **more
        )

    async def hear(self, wanted: Callable[[Message], bool], patience: float = PATIENCE) -> Message:
        """The first message that is wanted, past ones included."""
        for message in self.said:
            if wanted(message):
                return message
        deadline = asyncio.get_running_loop().time() + patience
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            for delivery in await self._consumer.get_batch(100, wait=timedelta(seconds=left)):
                self.said.append(codec.decode(delivery.key, delivery.headers, delivery.body, delivery.user_id))
                await self._consumer.ack(delivery)
            for message in self.said:
                if wanted(message):
                    return message
        words = [f"{m.key.noun}.{m.key.word} {getattr(m.body, 'session_id', '')}" for m in self.said]
        raise AssertionError(f"never heard; heard {words}\n{self.log()[-6000:]}")

    async def session(self, session_id: int, word: str) -> Any:
        """The body of a session's status, waited for."""
        message = await self.hear(
            lambda m: m.key.noun == "session" and m.key.word == word and m.body.session_id == session_id  # type: ignore[union-attr]
        )
        return message.body

    @asynccontextmanager
    async def viewer(self, session_id: int) -> AsyncIterator[Callable[[str], Awaitable[list[LogLine]]]]:
        """A live view of a console: waits for a line with a text and gives all lines so far."""
        name = f"viewer-{session_id}"
        await self.bus.declare(topology.live_view(name, SessionId(session_id), HOST))
        seen: list[LogLine] = []
        async with self.bus.consume(name, 100) as consumer:

            async def lines(text: str) -> list[LogLine]:
                while not any(text in line.text for line in seen):
                    batch = await consumer.get_batch(100, wait=timedelta(seconds=PATIENCE))
                    assert batch, f"no line with {text!r}; {[line.text for line in seen]}\n{self.log()[-4000:]}"
                    for delivery in batch:
                        body = codec.decode(delivery.key, delivery.headers, delivery.body).body
                        assert isinstance(body, LogLines)
                        seen.extend(body.lines)
                return seen

            yield lines

    @asynccontextmanager
    async def answers(self, session_id: int) -> AsyncIterator[Callable[[], Awaitable[list[LogLine | int]]]]:
        """A view that gives the lines up to the end of an answer to `tail`, and the number that the end names."""
        name = f"answers-{session_id}"
        await self.bus.declare(topology.live_view(name, SessionId(session_id), HOST))
        async with self.bus.consume(name, 100) as consumer:

            async def answer() -> list[LogLine | int]:
                seen: list[LogLine | int] = []
                while not seen or not isinstance(seen[-1], int):
                    (delivery,) = await consumer.get_batch(1, wait=timedelta(seconds=PATIENCE))
                    body = codec.decode(delivery.key, delivery.headers, delivery.body).body
                    assert isinstance(body, LogLines)
                    seen += body.lines
                    if body.complete_to is not None:
                        seen.append(body.complete_to)
                return seen

            yield answer

    async def host(self, word: str) -> Any:
        return (await self.hear(lambda m: m.key.noun == "host" and m.key.word == word)).body

    async def deployment(self, word: str) -> Any:
        return (await self.hear(lambda m: m.key.noun == "deployment" and m.key.word == word)).body

    async def settled(self, wanted: dict[int, str]) -> None:
        """Waits for a report in which each deployment has one live session that runs, or none."""
        for attempt in range(120):
            name = f"settled-{attempt}"
            await self.tell("report", command_id=name)
            report = (await self.hear(lambda m, name=name: getattr(m.body, "command_id", None) == name)).body  # type: ignore[misc]
            live = {said.deployment_id: said.status for said in report.sessions if said.status not in FINAL}  # type: ignore[union-attr]
            if live == {number: word for number, word in wanted.items() if word not in FINAL}:
                return
            await asyncio.sleep(0.25)
        raise AssertionError(f"never settled: {live}\n{self.log()[-4000:]}")

    def words(self, session_id: int) -> list[str]:
        """The statuses of a session in the order in which they were heard, repeats left out."""
        words = [m.key.word for m in self.said if m.key.noun == "session" and m.body.session_id == session_id]  # type: ignore[union-attr]
        return [word for n, word in enumerate(words) if n == 0 or words[n - 1] != word]

    def sequences(self) -> list[tuple[str, int]]:
        return [(m.attributes.journal_id or "", m.attributes.sequence or 0) for m in self.said if m.attributes]


@asynccontextmanager
async def control(on: Place | str, place: Path) -> AsyncIterator[Control]:
    """The control plane of host 1 on a bus (a text: a broker); whatever runs in `place` is ended afterwards."""
    on = Place("rabbitmq", on) if isinstance(on, str) else on
    async with (
        on.bus(topology.processor() + topology.host(HOST)) as bus,
        bus.consume("processor-events", 100) as consumer,
    ):
        it = Control(bus, consumer, on, place)
        try:
            yield it
        finally:
            it.end()
