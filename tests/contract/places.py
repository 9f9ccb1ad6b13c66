"""Where a bus lives, in a form that a child process can be given."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from manman.events.bus import Bus, Topology

TESTS = Path(__file__).resolve().parent.parent
PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True)
class Place:
    """`kind` is `rabbitmq` or `postgresql`, `url` what that implementation connects to."""

    kind: str
    url: str

    async def connect(self, topology: Topology | None = None, patience: timedelta | None = PATIENCE) -> Bus:
        if self.kind == "rabbitmq":
            from manman.events.rabbit import bus as rabbit

            return await rabbit.connect(self.url, topology=topology, patience=patience)
        from manman.store import bus as postgres
        from manman.store.settings import DatabaseSettings

        return await postgres.connect(DatabaseSettings(database_url=self.url), topology=topology, patience=patience)

    @asynccontextmanager
    async def bus(self, topology: Topology | None = None) -> AsyncIterator[Bus]:
        bus = await self.connect(topology)
        try:
            yield bus
        finally:
            await bus.close()


@contextmanager
def child(place: Place, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another process on the same bus, see `bus_child.py`; killed at the end if it still lives."""
    described = json.dumps({"kind": place.kind, "url": place.url})
    running = subprocess.Popen(
        [sys.executable, "-m", "contract.bus_child", described, *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()


def line_of(running: "subprocess.Popen[str]") -> str:
    """The child's next line; an empty one when it ended."""
    assert running.stdout is not None
    return running.stdout.readline().strip()
