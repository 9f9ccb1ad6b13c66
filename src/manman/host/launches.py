"""Launches: what a deployment runs, rendered by the control plane, fetched with the host's key and kept for when it is
away (mode 600).

Two copies a deployment: `newest.json`, the last that was fetched, whose policy and `start_on_boot` hold at once; and
`begun.json`, what the last session began with, which a crash or a reboot begins again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from manman.domain import durations
from manman.domain.ids import DeploymentId, SessionId
from manman.errors import Malformed, ManManError, TimedOut
from manman.host import files
from manman.v1.types import Launch

NEWEST, BEGUN = "newest.json", "begun.json"
FETCH_DEADLINE = timedelta(seconds=8)


class Source(Protocol):
    """Where launches come from; `manman.client.Client` is one."""

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> Launch:
        """The launch; raises `Unavailable` and `TimedOut` when nobody answers, `ApiError` when it is refused."""
        ...


class Launches:
    """Fetched and kept launches of this host."""

    def __init__(self, source: Source, state: Path) -> None:
        self._source, self._state = source, state

    async def fetch(self, deployment_id: DeploymentId, session_id: SessionId | None = None) -> Launch:
        """Asks for the newest and keeps it. Raises what the source raises."""
        try:
            async with asyncio.timeout(FETCH_DEADLINE.total_seconds()):
                launch = await self._source.get_launch(deployment_id, session=session_id)
        except TimeoutError:
            raise TimedOut("the API took too long to give the launch") from None
        if session_id is None:
            self._keep(deployment_id, NEWEST, launch)
        elif (known := self.newest(deployment_id)) is None or known.version <= launch.version:
            # Its policy is the deployment's also where the session has parameters of its own.
            self._keep(deployment_id, NEWEST, launch)
        return launch

    async def obtain(
        self, deployment_id: DeploymentId, version: int | None, session_id: SessionId | None = None
    ) -> Launch:
        """The launch from the API, or, with the API away, the kept one if it is of that version (None: of any). Raises
        the API's answer otherwise."""
        try:
            return await self.fetch(deployment_id, session_id)
        except ManManError as error:
            kept = self.newest(deployment_id)
            if kept is None or not _is_away(error) or (version is not None and kept.version != version):
                raise
            return kept

    def newest(self, deployment_id: DeploymentId) -> Launch | None:
        """The last one that was fetched."""
        return self._read(deployment_id, NEWEST)

    def begun(self, deployment_id: DeploymentId) -> Launch | None:
        """The one that the last session began with."""
        return self._read(deployment_id, BEGUN)

    def begin(self, deployment_id: DeploymentId, launch: Launch) -> None:
        """A session begins with this one."""
        self._keep(deployment_id, BEGUN, launch)

    def _keep(self, deployment_id: DeploymentId, name: str, launch: Launch) -> None:
        files.private(folder_of(self._state, deployment_id) / name, msgspec.json.encode(launch))

    def _read(self, deployment_id: DeploymentId, name: str) -> Launch | None:
        try:
            return msgspec.json.decode((folder_of(self._state, deployment_id) / name).read_bytes(), type=Launch)
        except (OSError, msgspec.DecodeError):
            return None


def folder_of(state: Path, deployment_id: DeploymentId) -> Path:
    """The folder of a deployment: launches, `data` (the game's own) and `game` (unpacked packages)."""
    return state / "deployments" / str(deployment_id)


def seconds(text: str | None, default: float) -> float:
    """Seconds of a duration such as "90s" or "1m30s"; raises `Malformed`."""
    try:
        return durations.parse(text, timedelta(seconds=default)).total_seconds()
    except ValueError as error:
        raise Malformed("duration", str(error)) from None


def _is_away(error: ManManError) -> bool:
    return error.code in ("unavailable", "timeout")
