"""An agent as a program of its own, so that tests can kill it: `python -m integration.host_program DESCRIPTION`.

Launches come from files `<launches>/<deployment>.json`; a missing folder is an API that is away.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
from contract.places import Place

from manman.domain.ids import HostId
from manman.errors import Unavailable
from manman.host.agent import Agent
from manman.host.settings import Settings
from manman.observability import set_up_logs
from manman.v1.types import Launch


class Files:
    """Where launches come from: files that the test writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> Launch:
        try:
            return msgspec.json.decode((self._folder / f"{deployment_id}.json").read_bytes(), type=Launch)
        except FileNotFoundError:
            raise Unavailable("the API is away") from None


async def main(told: dict[str, Any]) -> None:
    set_up_logs("debug", service="host", json=True)
    bus = await Place(told["kind"], told["url"]).connect(patience=None)
    agent = Agent(
        Settings(stale_host_threshold_seconds=2),
        bus,
        Files(Path(told["launches"])),
        host_id=HostId(told["host_id"]),
        state=Path(told["state"]),
        machine=told.get("machine"),
        marks=told.get("marks"),
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    async def end_games() -> None:
        await agent.stop_games()
        stop.set()

    tasks = set()
    loop.add_signal_handler(signal.SIGUSR1, lambda: tasks.add(loop.create_task(end_games())))
    await agent.run(stop)
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
