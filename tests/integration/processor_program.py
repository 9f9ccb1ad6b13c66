"""A processor as a process: `python -m integration.processor_program '{"kind": …, "url": …, "database": …, "port": …}' [deadly]`.

`"settings": {…}` beside them replaces settings of the processor.

With `deadly` a session message whose detail is "deadly" ends the process as `kill -9` does.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import msgspec
from contract.places import Place
from integration.processor_house import settings_of

from manman.events import topology
from manman.events.settings import BrokerSettings
from manman.observability import set_up_logs
from manman.processor import fold_sessions
from manman.processor.service import Processor
from manman.store.settings import DatabaseSettings


async def run(told: dict[str, Any]) -> None:
    place = Place(told["kind"], told["url"])
    settings = msgspec.structs.replace(settings_of(), health_check_port=told["port"], **told.get("settings", {}))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with place.bus(topology.exchanges()) as bus:
        await Processor(settings, DatabaseSettings(database_url=told["database"]), bus, BrokerSettings()).run(stop)


def die_of(detail: str) -> None:
    really = fold_sessions.said

    def said(world: Any, message: Any, body: Any) -> Any:
        if body.detail == detail:
            os.kill(os.getpid(), signal.SIGKILL)
        return really(world, message, body)

    fold_sessions.said = said


if __name__ == "__main__":
    set_up_logs("info", service="processor", json=True)
    if "deadly" in sys.argv[2:]:
        die_of("deadly")
    asyncio.run(run(msgspec.json.decode(sys.argv[1])))
