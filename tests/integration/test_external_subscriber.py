"""The example as its users run it: a process, a real broker, six events, SIGTERM."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from manman.events import contracts, topology
from manman.events.bus import Outcome, Outgoing
from manman.events.rabbit.bus import RabbitBus, connect

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "external_subscriber"
AT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
EVENTS: dict[str, Any] = {
    f"manman.host.{word}": contracts.HostEvent(host_id=7, host="alpha", status=word, at=AT)  # type: ignore[arg-type]
    for word in ("online", "offline", "stale")
} | {
    f"manman.session.{word}": contracts.SessionEvent(
        session_id=4,  # type: ignore[arg-type]
        deployment_id=9,  # type: ignore[arg-type]
        host_id=7,  # type: ignore[arg-type]
        status=word,
        at=AT,
        game="Teeworlds",
        deployment="dm",
        tail=["last line"],
        endpoints=[contracts.Endpoint(name="game", protocol="udp", address="10.0.0.1", port=8303)],
    )
    for word in ("running", "stopped", "crashed")
}


@contextmanager
def the_example(**environment: str) -> Iterator["subprocess.Popen[str]"]:
    running = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "subscriber.py")],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


async def said(running: "subprocess.Popen[str]", event: str) -> dict[str, Any]:
    """The next line of that name."""
    assert running.stdout is not None
    while text := await asyncio.to_thread(running.stdout.readline):
        line: dict[str, Any] = json.loads(text)
        if line["event"] == event:
            return line
    raise AssertionError(f"it ended without saying {event!r}")


async def announce(bus: RabbitBus, *keys: str) -> None:
    batch = [
        Outgoing(exchange="external", key=key, body=msgspec.json.encode(EVENTS[key]), message_id=f"id-{key}")
        for key in keys
    ]
    assert set(await bus.publish(batch)) == {Outcome.CONFIRMED}


async def test_the_example_says_all_six_events_and_ends_on_sigterm(rabbitmq_url: str) -> None:
    bus = await connect(rabbitmq_url, topology=topology.exchanges())
    with the_example(RABBITMQ_URL=rabbitmq_url, QUEUE_NAME="mine") as running:
        await said(running, "broker_connected")
        await announce(bus, *EVENTS)
        assert (await said(running, "host_online"))["host"] == "alpha"
        await said(running, "host_offline")
        assert (await said(running, "host_stale"))["level"] == "warning"
        assert (await said(running, "session_running"))["addresses"] == ["10.0.0.1:8303"]
        await said(running, "session_stopped")
        crashed = await said(running, "session_crashed")
        assert (crashed["id"], crashed["last_lines"], crashed["deployment"]) == (
            "id-manman.session.crashed",
            ["last line"],
            "dm",
        )
        running.send_signal(signal.SIGTERM)
        await said(running, "stopped")
        assert await asyncio.to_thread(running.wait) == 0
    await bus.close()


async def test_what_happens_while_it_is_down_is_said_when_it_is_back(rabbitmq_url: str) -> None:
    bus = await connect(rabbitmq_url, topology=topology.exchanges())
    settings = {"RABBITMQ_URL": rabbitmq_url, "QUEUE_NAME": "mine", "PATTERNS": "manman.session.*"}
    with the_example(**settings) as running:
        await said(running, "broker_connected")
        running.kill()
    await announce(bus, "manman.host.online", "manman.session.crashed")
    with the_example(**settings) as running:
        await said(running, "session_crashed")
    assert (await bus.depth("mine.dead")).ready == 0
    await bus.close()


async def test_a_missing_setting_and_a_wrong_password_are_one_line_each(rabbitmq_url: str) -> None:
    with the_example() as running:
        _, complaint = await asyncio.to_thread(running.communicate)
        assert running.returncode == 2
        assert "RABBITMQ_URL" in complaint and complaint.count("\n") == 1
    with the_example(RABBITMQ_URL=rabbitmq_url.replace("guest:guest", "guest:wrong")) as running:
        _, complaint = await asyncio.to_thread(running.communicate)
        assert running.returncode == 6
        assert "RABBITMQ_URL" in complaint and complaint.count("\n") == 1
        assert "wrong" not in complaint
