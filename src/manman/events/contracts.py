"""Every body that travels, one frozen struct each: the flat JSON of a message, before and after the wire.

Times are aware `datetime` (UTC on the wire), spans are seconds as a number, ids are positive integers below 2^63.
A reader bears keys that it does not know; a key of the wrong type is refused by name (see `codec`).
Lease ranges are pairs `[first, last]`, both ends included, ascending.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from manman.domain.ids import DeploymentId, HostId, SessionId

# What a column or a range of the database cannot hold is refused at the edge: an inclusive range needs the number above it.
MOST = 2**63 - 2
Number = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Small = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Share = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Host = Annotated[HostId, msgspec.Meta(ge=1, le=MOST)]
SessionKey = Annotated[SessionId, msgspec.Meta(ge=1, le=MOST)]
DeploymentKey = Annotated[DeploymentId, msgspec.Meta(ge=1, le=MOST)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Detail = Annotated[str, msgspec.Meta(max_length=4000)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Range = tuple[Number, Number]

SessionWord = Literal["pending", "starting", "running", "stopping", "stopped", "crashed"]
DeploymentWord = Literal["installing", "ready", "install_failed", "removed", "gave_up"]
Wish = Literal["running", "stopped"]
Verb = Literal[
    "start", "stop", "restart", "kill", "wish", "input", "end", "report", "lease", "tail", "install", "remove", "host"
]


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every body is: frozen, flat, and silent about what is unset."""


# ---- from a host to the processor ----------------------------------------------------------------


class HostOnline(Body, frozen=True, kw_only=True):
    """`status.host.online`: the agent is here. `lease` (what it still holds) makes it the question for a new one."""

    host_id: Host
    status: Literal["online"] | None = None
    agent_version: Word | None = None
    boot: Number | None = None
    lease: list[Range] | None = None
    host_version: Number | None = None


class HostOffline(Body, frozen=True, kw_only=True):
    """`status.host.offline`: the agent says goodbye; it closes its boot."""

    host_id: Host
    status: Literal["offline"] | None = None
    agent_version: Word | None = None
    boot: Number | None = None
    lease: list[Range] | None = None


class SessionSaid(Body, frozen=True, kw_only=True):
    """One session that a host holds, as its report says it. `begun_version`: the wish that it had heard when it
    began."""

    session_id: SessionKey
    deployment_id: DeploymentKey
    status: SessionWord
    run: Number | None = None
    begun_version: Number | None = None
    previous_session_id: SessionKey | None = None
    cause: Word | None = None
    exit_code: Small | None = None
    signal: Small | None = None
    reason: Word | None = None
    detail: Detail | None = None
    launch: Word | None = None
    at: Moment | None = None


class DeploymentSaid(Body, frozen=True, kw_only=True):
    """One deployment as its host holds it: the wish, the versions, the last run that it began, the install status."""

    deployment_id: DeploymentKey
    desired: Wish | None = None
    desired_version: Number | None = None
    fresh_version: Number | None = None
    deployment_version: Number | None = None
    last_run: Number | None = None
    status: Word | None = None
    gave_up: Word | None = None


class HostReport(Body, frozen=True, kw_only=True):
    """`status.host.report`: everything that the host holds, answer to `command.host.<id>.report` or unasked."""

    host_id: Host
    status: Literal["report"] | None = None
    command_id: Word | None = None
    boot: Number | None = None
    agent_version: Word | None = None
    sessions: list[SessionSaid] = []
    deployments: list[DeploymentSaid] = []
    lease: list[Range] = []
    host_version: Number | None = None


class Restart(Body, frozen=True, kw_only=True):
    """What follows a crash: attempt number `attempt` of `of`, due at `at`."""

    attempt: Number
    of: Number | None = None
    at: Moment | None = None


class SessionStatus(Body, frozen=True, kw_only=True):
    """`status.session.<word>`: a session is where the word says. Only `session_id` is required.

    `desired_version` is the wish that the host holds. `run`, `previous_session_id`, `cause` and `launch` come with a
    `pending` that the host began by itself; `tail` (at most 50 lines and 8 KiB, secrets masked) and `restart` with a
    crash.
    """

    session_id: SessionKey
    deployment_id: DeploymentKey | None = None
    host_id: Host | None = None
    status: SessionWord | None = None
    exit_code: Small | None = None
    signal: Small | None = None
    reason: Word | None = None
    detail: Detail | None = None
    progress: Share | None = None
    desired_version: Number | None = None
    begun_version: Number | None = None
    run: Number | None = None
    previous_session_id: SessionKey | None = None
    cause: Word | None = None
    launch: Word | None = None
    tail: Annotated[list[Annotated[str, msgspec.Meta(max_length=8192)]], msgspec.Meta(max_length=50)] | None = None
    restart: Restart | None = None
    players: Count | None = None


class CommandRefused(Body, frozen=True, kw_only=True):
    """`status.command.refused`: the host will not do it, and says which wish it holds."""

    command_id: Word
    reason: Word
    host_id: Host | None = None
    session_id: SessionKey | None = None
    deployment_id: DeploymentKey | None = None
    desired_version: Number | None = None
    detail: Detail | None = None


class DeploymentStatus(Body, frozen=True, kw_only=True):
    """`status.deployment.{installing,ready,install_failed,removed,gave_up}`: progress and results of long work."""

    deployment_id: DeploymentKey
    host_id: Host | None = None
    status: DeploymentWord | None = None
    deployment_version: Number | None = None
    desired_version: Number | None = None
    progress: Share | None = None
    reason: Word | None = None
    detail: Detail | None = None


class DeploymentSeen(Body, frozen=True, kw_only=True):
    """`status.deployment.seen`: a wish arrived that changed no session."""

    deployment_id: DeploymentKey
    desired_version: Number
    host_id: Host | None = None
    status: Literal["seen"] | None = None


class Counts(Body, frozen=True, kw_only=True):
    """How many live sessions a host holds, in all and by status."""

    total: Number = 0
    pending: Number = 0
    starting: Number = 0
    running: Number = 0
    stopping: Number = 0


class Live(Body, frozen=True, kw_only=True):
    """A fingerprint of the ids of the live sessions: how many, and all of them xor-ed."""

    count: Number = 0
    xor: Number = 0


class Heartbeat(Body, frozen=True, kw_only=True):
    """`health.heartbeat`: perishable, never journalled. Only (boot, beat) above the known pair counts.

    `cpu` is a share (0 to 1), `memory` and `disk` are whatever the agent measured, each by name, in bytes.

    `at` is the machine's clock: no verdict uses it, but a host whose clock is off is told.
    """

    host_id: Host
    boot: Number | None = None
    beat: Number | None = None
    at: Moment | None = None
    journal_id: Word | None = None
    sequence: Number | None = None
    sessions: Counts | None = None
    live: Live | None = None
    cpu: Share | None = None
    memory: dict[str, Any] | float | None = None
    disk: dict[str, Any] | float | None = None
    network: dict[str, Any] | None = None
    players: Number | None = None
    agent_version: Word | None = None
    samples: list[dict[str, Any]] | None = None


class Pulse(Body, frozen=True, kw_only=True):
    """`health.pulse`: the processor to itself through the heartbeat queue: that way is open."""

    at: Moment | None = None


class LogLine(Body, frozen=True, kw_only=True):
    """One line of a console: its number (the wrapper's), time, stream and text."""

    n: Number
    text: str
    at: Moment | None = None
    stream: Word | None = None


class LogLines(Body, frozen=True, kw_only=True):
    """`logs.session.<session_id>.<host_id>`: a batch of lines.

    `complete_to` ends the answer to `tail`: every kept line up to this number has been told, and there was none after it.
    """

    lines: list[LogLine]
    complete_to: Number | None = None
    session_id: SessionKey | None = None
    host_id: Host | None = None


# ---- from the control plane to one host ----------------------------------------------------------


class Command(Body, frozen=True, kw_only=True):
    """`command.host.<host_id>.<verb>`: ids and versions, never a configuration. Which fields a verb needs: `NEEDED`.

    `within` is seconds from receipt; `lease` is the host's whole set; `boot` (of `report`) the boot that is known;
    `line` the console input; `from_` and `limit` the lines that `tail` wants; `host_version` and `draining` the
    `host` verb.
    """

    command_id: Word
    host_id: Host | None = None
    session_id: SessionKey | None = None
    deployment_id: DeploymentKey | None = None
    run: Number | None = None
    deployment_version: Number | None = None
    desired: Wish | None = None
    desired_version: Number | None = None
    fresh_version: Number | None = None
    within: float | None = None
    grace: float | None = None
    line: Annotated[str, msgspec.Meta(max_length=4095)] | None = None
    from_: Number | None = msgspec.field(name="from", default=None)
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    lease: list[Range] | None = None
    boot: Number | None = None
    host_version: Number | None = None
    draining: bool | None = None
    reason: Word | None = None
    cause: Word | None = None


_WISH = ("deployment_id", "desired", "desired_version", "fresh_version")

NEEDED: dict[Verb, tuple[str, ...]] = {
    "start": ("session_id", "deployment_id", "run", "desired_version"),
    "stop": _WISH,
    "restart": _WISH,
    "kill": _WISH,
    "wish": _WISH,
    "input": ("session_id", "line"),
    "end": ("session_id",),
    "report": (),
    "lease": ("lease",),
    "tail": ("session_id",),
    "install": ("deployment_id",),
    "remove": ("deployment_id",),
    "host": (),
}

# ---- from the relay to other domains -------------------------------------------------------------


class Endpoint(Body, frozen=True, kw_only=True):
    """Where players join: `join_url` is made of the config's template."""

    name: str
    protocol: str
    address: str
    port: int
    join_url: str | None = None


class HostEvent(Body, frozen=True, kw_only=True, omit_defaults=False):
    """`manman.host.{online,offline,stale}`: `silent_for` in seconds with a return; `last_seen`, `threshold`, `mass`
    with `stale`."""

    host_id: HostId
    host: str
    status: str
    at: Moment
    previous_status: str | None = None
    labels: dict[str, str] = {}
    agent_version: str | None = None
    last_seen: Moment | None = None
    silent_for: float | None = None
    threshold: float | None = None
    mass: bool | None = None
    cause: str | None = None


class SessionEvent(Body, frozen=True, kw_only=True, omit_defaults=False):
    """`manman.session.<status>` (and `unreachable`, `reachable`): everything needed to act without a call back.

    `number` is the session's history number, the event's `sequence`. `reason` … `restart` belong to an end.
    """

    session_id: SessionId
    deployment_id: DeploymentId
    host_id: HostId
    status: str
    at: Moment
    previous_status: str | None = None
    cause: str | None = None
    number: int | None = None
    run: int | None = None
    previous_session_id: int | None = None
    game: str | None = None
    config: str | None = None
    config_revision: int | None = None
    deployment: str | None = None
    host: str | None = None
    labels: dict[str, str] = {}
    endpoints: list[Endpoint] = []
    players: int | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    reason: str | None = None
    detail: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    tail: list[str] | None = None
    restart: Restart | None = None
    last_seen: Moment | None = None


FromHost = (
    HostOnline
    | HostOffline
    | HostReport
    | SessionStatus
    | CommandRefused
    | DeploymentStatus
    | DeploymentSeen
    | Heartbeat
    | Pulse
    | LogLines
)
AnyBody = FromHost | Command | HostEvent | SessionEvent
