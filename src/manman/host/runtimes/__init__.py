"""Runtimes: what starts a session's wrapper and knows which sessions are on this machine. All else goes through the wrapper.

One behaviour suite holds every runtime to `Runtime`: games outlive the agent, a name is used once, what carries no label is
never touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from manman.domain.ids import DeploymentId, SessionId
from manman.errors import Permanent


class NotLaunched(Permanent):
    """The session cannot begin; `reason` is a word of a session's reasons, the detail one line for a person."""

    code = "config_invalid"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What to start: everything rendered and on disk. `data` is the game's folder, `owner` its (uid, gid), None: the
    agent's own. `readiness` and `stop` as the wrapper's launch file has them."""

    session_id: SessionId
    deployment_id: DeploymentId
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    owner: tuple[int, int] | None = None
    terminal: bool = True
    readiness: Mapping[str, Any] = field(default_factory=dict)
    stop: Mapping[str, Any] = field(default_factory=dict)
    expected_exit_codes: Sequence[int] = (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A session that the runtime knows. `folder` is the wrapper's; `wrapper` its pid while it lives; `machine` the boot
    of the machine that it began in."""

    session_id: SessionId
    deployment_id: DeploymentId
    folder: Path
    is_alive: bool
    wrapper: int | None = None
    machine: str | None = None


class Runtime(Protocol):
    """How sessions begin on this machine. Everything is repeatable."""

    async def launch(self, work: Work) -> Found:
        """Starts the wrapper of a session; one that was started before is found, not started again. Raises
        `NotLaunched`."""
        ...

    async def list(self) -> list[Found]:
        """Every labelled session of this host, living or over, by id."""
        ...

    async def inspect(self, session_id: SessionId) -> Found | None:
        """One session, None when the runtime knows none of that name."""
        ...

    async def kill(self, session_id: SessionId) -> None:
        """Ends wrapper and game at once; harmless when they are gone."""
        ...

    async def remove(self, session_id: SessionId) -> None:
        """Removes what is left of a session that is over; refuses a living one with `NotLaunched`."""
        ...
