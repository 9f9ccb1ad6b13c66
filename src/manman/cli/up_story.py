"""What `manman up` prints while it runs: one line for each transition, and what else a person should know, live."""

import asyncio
import sys
from typing import Any

from manman.cli import words
from manman.client import Client
from manman.errors import ManManError
from manman.v1 import types

COLOURS = {"running": "32", "crashed": "31", "stopped": "90", "stale": "33", "unreachable": "33"}


async def tell(client: Client, stop: asyncio.Event) -> None:
    """Print events as they come, from now on, until `stop`."""
    telling = asyncio.create_task(_tell(client))
    await stop.wait()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)


async def _tell(client: Client) -> None:
    while True:
        try:
            async for said in client.watch_events():
                if said.event is not None and (text := line(said.event)) is not None:
                    print(text, flush=True)
        except ManManError:
            await asyncio.sleep(1)


def line(event: types.Event) -> str | None:
    """An event in one line: when, what, from → to, why; None for what a person at a terminal need not read."""
    body: dict[str, Any] = event.body or {}
    noun, _, word = event.type.removeprefix("manman.").partition(".")
    if noun == "session":
        what = f"{body.get('deployment') or 'deployment'}  session {event.session_id}"
        change = f"{body.get('previous_status') or 'new'} → {word}"
        return _line(event, what, change, word, _why(body))
    if noun == "host":
        return _line(event, f"host {body.get('host') or event.host_id}", word, word, str(body.get("cause") or ""))
    if noun == "deployment":
        return _line(
            event,
            str(body.get("deployment") or event.deployment_id),
            _progress(word, body),
            word,
            str(body.get("detail") or ""),
        )
    return None


def _line(event: types.Event, what: str, change: str, word: str, why: str) -> str:
    colour = COLOURS.get(word)
    shown = f"\x1b[{colour}m{change}\x1b[0m" if colour and sys.stdout.isatty() else change
    return f"{words.clock(event.at)}  {what}  {shown}{'  ' + why if why else ''}"


def _why(body: dict[str, Any]) -> str:
    """The end's reason, or the cause, and what follows a crash."""
    parts = [body.get("reason") or body.get("cause") or ""]
    if body.get("signal") is not None:
        parts.append(f"signal {body['signal']}")
    elif body.get("exit_code") is not None:
        parts.append(f"exit code {body['exit_code']}")
    if body.get("detail"):
        parts.append(str(body["detail"]))
    plan = body.get("restart")
    if plan:
        of = f" of {plan['of']}" if plan.get("of") else ""
        parts.append(f"restart {plan['attempt']}{of} follows")
    return ", ".join(str(p) for p in parts if p)


def _progress(word: str, body: dict[str, Any]) -> str:
    progress = body.get("progress")
    return (
        f"{word} {float(progress) * 100:.0f} %"
        if word == "installing" and progress is not None
        else word.replace("_", " ")
    )
