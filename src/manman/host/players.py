"""Asking a session's game by its own protocol: whether it is ready, and how many play."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from manman.domain.ids import SessionId
from manman.errors import Malformed
from manman.host import launches, places, queries
from manman.host.means import Means
from manman.host.runtimes import NotLaunched
from manman.observability import get_logger
from manman.v1.types import Launch

log = get_logger(__name__)
WHILE_STARTING, WHILE_RUNNING = 0.3, 5.0
DEADLINE = timedelta(seconds=1)


def grace_of(launch: Launch | None) -> float:
    """Seconds that the game gets to stop in."""
    if launch is None or launch.stop is None:
        return places.GRACE
    return launches.seconds(launch.stop.grace, places.GRACE)


async def watch(
    means: Means,
    session_id: SessionId,
    launch: Launch | None,
    status: Callable[[], str],
    ready: Callable[[], Awaitable[None]],
) -> None:
    """Asks again and again; calls `ready` when a game that is waited for answers, and notes its players."""
    if launch is None or launch.query is None or not launch.query.protocol:
        return
    by_query = launch.readiness is not None and launch.readiness.kind == "query"
    try:
        port = places.port_of(launch, launch.query.port)
    except NotLaunched as error:
        log.warning("query_impossible", session_id=session_id, reason=str(error))
        return
    address = port.address if port.address not in ("", "0.0.0.0", "::") else "127.0.0.1"
    while True:
        try:
            answer = await queries.ask(launch.query.protocol, address, port.port, timeout=DEADLINE, chance=means.chance)
        except Malformed as error:
            log.warning("query_impossible", session_id=session_id, reason=str(error))
            return
        if answer is not None:
            if answer.players is not None:
                means.players[session_id] = answer.players
            if by_query and status() == "starting" and _is_ours(answer, launch):
                await ready()
        await asyncio.sleep(WHILE_STARTING if status() == "starting" else WHILE_RUNNING)


def _is_ours(answer: queries.Answer, launch: Launch) -> bool:
    """Whether the name that answers is the one that the config expects: another game may sit on that port."""
    pattern = launch.readiness.pattern if launch.readiness is not None else ""
    return not pattern or (answer.name is not None and re.search(pattern, answer.name) is not None)
