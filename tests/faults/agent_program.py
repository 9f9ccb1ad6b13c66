"""A host's agent as a process: `python -m faults.agent_program '{"url": …, "folder": …, "host": …, "base": …, "kind": …}'`.

SIGTERM makes it say goodbye and go; its games run on. What it is told meanwhile lies in `controls.json` of the folder.
"""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
from harness.real_agent import KINDS, Controls, RealAgent, Wire, file_of, load
from harness.real_time import RealProcess, RealTime

from manman.errors import Transient
from manman.events import topology
from manman.events.rabbit import bus as rabbit
from manman.observability import set_up_logs


async def run(told: dict[str, Any]) -> None:
    folder, host = Path(told["folder"]), int(told["host"])
    path = folder / told["file"] if "file" in told else file_of(folder, host)
    machine = load(path)
    time = RealTime(told["base"], f"{told['seed']} {host} {machine.disk.boot}")
    stop, broken = asyncio.Event(), []

    def broke(said: str) -> None:
        broken.append(said)
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    controls = Controls(folder / "controls.json")
    controls.read()
    bus = await rabbit.connect(told["url"], name=f"host-{host}", patience=None)
    process = RealProcess(time, broke)
    agent = KINDS[told["kind"]](
        machine=machine,
        process=process,  # type: ignore[arg-type]
        bus=None,  # type: ignore[arg-type]
        calm=lambda: bool(controls.get("calm")),
        api_away=lambda: bool(controls.get("api_away")),
        path=path,
        controls=controls,
    )
    agent.bus = Wire(bus, agent.keep_machine, controls, time.chance)  # type: ignore[assignment]
    try:
        await _identified(agent, bus, stop)
        if not stop.is_set():
            agent.start()
            await stop.wait()
            await _goodbye(agent)
    finally:
        await process.end()
        await bus.close()
    if broken or time.failures:
        sys.exit(f"host {host}: {broken} {time.failures}")


async def _identified(agent: RealAgent, bus: Any, stop: asyncio.Event) -> None:
    """Until the queue that only one agent of this host can hold is this one's: before that it says nothing."""
    while not stop.is_set():
        try:
            await bus.wait_connected()
            await bus.declare(topology.agent(agent.machine.host_id))
            return
        except Transient:
            await asyncio.sleep(0.5)


async def _goodbye(agent: RealAgent) -> None:
    await agent.goodbye()
    agent.keep_machine()
    for _ in range(60):
        if not agent.disk.waiting:
            break
        await asyncio.sleep(0.05)
    agent.keep_machine()


if __name__ == "__main__":
    set_up_logs("info", service="agent", json=True)
    asyncio.run(run(msgspec.json.decode(sys.argv[1])))
