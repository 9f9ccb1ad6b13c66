"""The real processor as a process, watched, and spoilt where a test says so: `python -m faults.processor_program '{…}'`.

`broker`, `database`: where they are; all else may be left out. `off`: protections that are switched off. `point`: where it dies.
`poison`: a detail that makes a session's message fail, `deadly` one that kills the process. `slow`: seconds that each transaction
takes longer. `blind`: it loses the database. `settings` are the processor's own.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import msgspec

from faults import points, protections, witness
from manman.errors import OutOfReach, Unavailable
from manman.events import topology
from manman.events.rabbit import bus as rabbit
from manman.events.settings import BrokerSettings
from manman.observability import set_up_logs
from manman.processor import batch, consumer, fold_sessions
from manman.processor.service import Processor
from manman.processor.settings import ProcessorSettings
from manman.processor.transactions import Transactions
from manman.store.settings import DatabaseSettings

OUT_OF_REACH = 6


async def run(told: dict[str, Any]) -> None:
    settings = ProcessorSettings(health_check_port=0, **told.get("settings", {}))
    broker = BrokerSettings(**told.get("broker_settings", {}))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    wanted = topology.processor_base(broker.heartbeat_queue_name, broker.external_exchange)
    bus = await rabbit.connect(told["broker"], name="processor", topology=wanted)
    publishing = await rabbit.connect(told["broker"], name="processor-publishing")
    commands = await rabbit.connect(told["broker"], name="processor-commands")
    try:
        database = DatabaseSettings(database_url=told["database"])
        await Processor(settings, database, bus, broker, publish_bus=publishing, command_bus=commands).run(stop)
    finally:
        await commands.close()
        await publishing.close()
        await bus.close()


def fail_of(poison: str | None, deadly: str | None) -> None:
    """A session's message with this detail breaks its fold, or this process."""
    really = fold_sessions.said

    def said(world: Any, message: Any, body: Any) -> Any:
        if body.detail is not None and body.detail == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if body.detail is not None and body.detail == poison:
            raise ValueError(f"nobody thought of {poison!r}")
        return really(world, message, body)

    fold_sessions.said = said


def go_blind() -> None:
    """The database is away as soon as this process has begun."""

    async def away(*_: Any) -> Any:
        raise Unavailable("the database is away")

    for name in ("apply", "condemn", "note_attempt", "take_back"):
        setattr(Transactions, name, away)


def slow_down(seconds: float) -> None:
    """Each transaction with a session's message takes longer after it has locked and loaded."""
    really = batch.load

    async def load(conn: Any, arrived: Any, rules: Any) -> Any:
        loaded = await really(conn, arrived, rules)
        if any(one.key.startswith("status.") for one in arrived):
            await asyncio.sleep(seconds)
        return loaded

    batch.load = load


def prepare(told: dict[str, Any]) -> None:
    witness.install()
    consumer.SIDE_BY_SIDE_FROM = 2  # few hosts say little: or it would hardly ever be met
    for name in told.get("off", ()):
        protections.OFF[name]()
    if told.get("poison") or told.get("deadly"):
        fail_of(told.get("poison"), told.get("deadly"))
    if told.get("blind"):
        go_blind()
    if told.get("slow"):
        slow_down(told["slow"])
    if told.get("point"):
        points.arm(told["point"])


if __name__ == "__main__":
    set_up_logs("info", service="processor", json=True)
    described = msgspec.json.decode(sys.argv[1])
    prepare(described)
    try:
        asyncio.run(run(described))
    except OutOfReach as error:
        # Nobody answered for as long as one waits at a start: it ends, and whoever watches it starts it again. A refusal is no weather.
        if error.hint is None or not error.hint.startswith("tried for"):
            raise
        sys.exit(OUT_OF_REACH)
