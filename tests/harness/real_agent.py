"""The simulated host as a process of its own over a real broker: what it knows is on a disk that survives `kill -9`.

Games are functions of time, so they run on while the agent is dead. The whole machine is one file, replaced by a rename before
anything is sent or acknowledged: an entry is on disk before it goes out, a command before its ack.
"""

import json
import os
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.sim_agent import Entry, Machine, SimAgent
from manman.events import contracts
from manman.events.bus import Bus, Outcome, Outgoing


def file_of(folder: Path, host: int) -> Path:
    """Where a machine lies."""
    return folder / f"host-{host}.machine"


def load(path: Path) -> Machine:
    machine: Machine = pickle.loads(path.read_bytes())
    return machine


def save(path: Path, machine: Machine) -> None:
    """All or nothing."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(pickle.dumps(machine))
    fresh.rename(path)


@dataclass
class Controls:
    """What the director of a run wants of all agents, read from a file: `calm` games do not end by themselves, `hasty` ones are ready at
    once; the launch comes slowly while `api_away`; a share of messages comes twice (`doubles`) or out of order (`reorders`); games of
    a host that began before the moment `crashes-<host>` crash then; a host that is `mute` never hears that it should report."""

    path: Path
    said: dict[str, Any] = field(default_factory=dict)

    def read(self) -> None:
        try:
            self.said = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return

    def write(self, **said: Any) -> None:
        self.said |= said
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(self.said))
        fresh.rename(self.path)

    def get(self, name: str) -> float:
        return float(self.said.get(name, 0))


class Wire:
    """The bus as an agent has it: what is sent is on disk first; messages are doubled and reordered as the controls say."""

    def __init__(self, bus: Bus, keep: Any, controls: Controls, chance: Any) -> None:
        self.bus, self.keep, self.controls, self.chance = bus, keep, controls, chance
        self.again: list[Outgoing] = []

    async def publish(self, batch: list[Outgoing]) -> list[Outcome]:
        self.keep()
        numbered = [m for m in batch if m.message_id is not None]
        if len(numbered) > 1 and self.chance.random() < self.controls.get("reorders"):
            await self.bus.publish(numbered[1:])
            return [Outcome.NACKED] * len(batch)
        again, self.again = self.again, []
        outcomes = await self.bus.publish([*batch, *again])
        self.again = [m for m in numbered if self.chance.random() < self.controls.get("doubles")]
        return outcomes[: len(batch)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)


@dataclass(eq=False)
class RealAgent(SimAgent):
    """One life of an agent, in a process of its own. `keep` writes the machine down."""

    path: Path = Path()
    controls: Controls = field(default_factory=lambda: Controls(Path()))

    def keep_machine(self) -> None:
        save(self.path, self.machine)

    def take(self, verb: str, command: contracts.Command) -> None:
        self.controls.read()
        if verb == "report" and self.controls.get("mute"):
            return
        super().take(verb, command)
        self.keep_machine()

    def _tidy(self) -> None:
        super()._tidy()
        self.controls.read()
        crashed = self.controls.get(f"crashes-{self.machine.host_id}")
        for game in self.machine.games.values():
            if game.ended is None and self.calm():
                game.ends = 1e12
            if self.controls.get("hasty"):
                game.ready = min(game.ready, game.began)
            if game.ended is None and game.began < crashed:
                game.ends, game.how = min(game.ends, crashed), "crash"
        self.keep_machine()


class Unconfirmed(RealAgent):
    """Deletes an entry when it was sent, whatever the broker says."""

    async def send(self) -> None:
        while True:
            if not self.disk.waiting:
                await self.time.wait(self.mail, 5.0)
                continue
            entry = self.disk.waiting.pop(0)
            self.machine.confirmed.setdefault(entry.journal, set()).add(entry.sequence)
            try:
                await self.bus.publish([entry.message])
            except Exception:
                await self.time.sleep(1.0)


class Shuffled(RealAgent):
    """Sends again whatever comes to hand."""

    def resent(self, waiting: list[Entry]) -> list[Entry]:
        return self.time.chance.sample(waiting, len(waiting))


class ByVersion(RealAgent):
    """Takes every start with a new version, though it has begun that run, or a later one, by itself."""

    def _start(self, command: contracts.Command) -> None:
        held = self.held(command.deployment_id or 0)
        self.keep(msgspec.structs.replace(held, last_run=min(held.last_run, (command.run or 0) - 1)))
        super()._start(command)


KINDS: dict[str, type[RealAgent]] = {
    "sound": RealAgent,
    "unconfirmed": Unconfirmed,
    "shuffled": Shuffled,
    "by version": ByVersion,
}
