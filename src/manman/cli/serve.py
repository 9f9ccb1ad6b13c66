"""Builds and runs each service's process: logs, signals, settings; one line and an exit code when it cannot be."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from manman import config
from manman.cli import output
from manman.errors import BadSetting
from manman.events.settings import BrokerSettings
from manman.observability import get_logger, set_up_logs
from manman.observability.tracing import set_up_traces

S = TypeVar("S", bound=msgspec.Struct)
log = get_logger(__name__)
COLLECT = (50_000, 20, 100)
Main = Callable[[asyncio.Event], Awaitable[None]]
MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def run_service(
    name: str, main: Main, *, level: str = "info", traces: str | None = None, loop: MakeLoop | None = None
) -> None:
    """Run `main(stop)` until it ends; SIGTERM and SIGINT set `stop`, a second one ends the process at once."""
    set_up_logs(level, service=name)
    set_up_traces(traces, service=name)
    # What is loaded by now stays; batches make many short-lived values, so look for cycles less often than by default.
    gc.freeze()
    gc.set_threshold(*COLLECT)
    output.run(_until_signal(main), loop)


def quick_loop() -> MakeLoop | None:
    """uvloop's event loop where it is there, else the standard library's. The processor spends some 4 µs less on an event with it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_signal(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(number: int) -> None:
        if stop.is_set():
            sys.exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    await main(stop)


def settings_of(kind: type[S]) -> S:
    """A room's settings from the environment; a bad one is said in one line, exit code 2."""
    try:
        return config.load(kind)
    except BadSetting as error:
        output.fail(error)


def warn_of_names(*kinds: type[msgspec.Struct]) -> None:
    """Warn of variables that resemble a setting but are none."""
    for sentence in config.problems_with_names(all_settings().values()):
        log.warning("unknown_setting", detail=sentence)


def all_settings() -> dict[str, type[msgspec.Struct]]:
    """Every room's settings class, by the service that reads it."""
    from manman.api.settings import ApiSettings
    from manman.cli.place import PlaceSettings
    from manman.host.settings import Settings as HostSettings
    from manman.processor.settings import ProcessorSettings
    from manman.store.settings import DatabaseSettings
    from manman.ui.settings import Settings as UiSettings

    return {
        "all but host and ui": DatabaseSettings,
        "broker": BrokerSettings,
        "api": ApiSettings,
        "processor": ProcessorSettings,
        "host": HostSettings,
        "ui": UiSettings,
        "commands": PlaceSettings,
    }


def broker() -> BrokerSettings:
    """The broker's settings, which every service but `manman up` requires."""
    settings = settings_of(BrokerSettings)
    if settings.rabbitmq_url is None:
        output.fail(
            BadSetting(
                "RABBITMQ_URL is not set; it must be the broker's URL, as amqp://user:password@host:5672/%2Fdev",
                hint="without a broker everything runs in one process: manman up",
            )
        )
    return settings


async def ended_together(stop: asyncio.Event, *services: Awaitable[Any]) -> None:
    """Run services side by side; when one ends, the others are told to."""

    async def one(service: Awaitable[Any]) -> None:
        try:
            await service
        finally:
            stop.set()

    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(one(service))
