"""The wish of a deployment as its host holds it: a level, versioned; and what the host does to agree with it.

Commands may be lost, doubled and overtaken; the highest version counts. A version is good for one begin; what follows is the
restart policy's. A start is fenced by its run and its version, so no tombstones are needed.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from manman.domain.ids import SessionId
from manman.domain.sessions import Desired

EPOCH = 1 << 32
"""Versions are epoch x 2^32 + number, so a wish of today beats every one of before a restore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What people want of a deployment. The live session must have begun at `fresh_version` or later: that is what Restart is."""

    desired: Desired
    version: int
    fresh_version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The session that lives there: its id, its run, and the version that its host had heard when it began."""

    session_id: SessionId
    run: int
    begun_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a host holds of one deployment. `begun_version` is the last version that was good for a begin already."""

    wish: Wish | None = None
    last_run: int = 0
    begun_version: int = 0
    live: Live | None = None

    @property
    def version(self) -> int:
        """The highest wish heard; 0 when none."""
        return 0 if self.wish is None else self.wish.version


class Cause(StrEnum):
    """Why a host begins a session by itself; the word in its `pending` and in the history."""

    RESTART_POLICY = "restart_policy"
    RESTART = "restart"
    HOST_BOOT = "host_boot"
    WISH = "wish"


@dataclass(frozen=True, slots=True)
class EndLive:
    """End what lives there as its config says; then look again."""

    live: Live


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a session from the lease."""

    cause: Cause


@dataclass(frozen=True, slots=True)
class Agreed:
    """Nothing to do. `forget`: a restart that is due is forgotten (the wish says stopped)."""

    forget: bool


@dataclass(frozen=True, slots=True)
class TakeStart:
    """The start counts: end `ends` first where something lives, then begin under its id and run."""

    held: Held
    ends: Live | None


@dataclass(frozen=True, slots=True)
class RefuseStart:
    """The start is refused with a reason (`superseded`), though its wish is heard: `held` is what the host holds now."""

    held: Held
    reason: str
    detail: str


def heard(held: Held, said: Wish) -> Held:
    """The host after it heard a wish: the higher version wins, a lower or equal one changes nothing."""
    return replace(held, wish=said) if said.version > held.version else held


def agree(held: Held) -> EndLive | Begin | Agreed:
    """What the host does so that it agrees with the wish it holds."""
    wish, live = held.wish, held.live
    if wish is None:
        return Agreed(forget=False)
    if wish.desired is Desired.STOPPED:
        return EndLive(live) if live is not None else Agreed(forget=True)
    if live is not None:
        return EndLive(live) if live.begun_version < wish.fresh_version else Agreed(forget=False)
    if wish.version > held.begun_version:
        return Begin(Cause.RESTART if wish.fresh_version == wish.version else Cause.WISH)
    return Agreed(forget=False)


def judge_start(held: Held, said: Wish, run: int) -> TakeStart | RefuseStart:
    """A start command against what the host holds: above its last run and its version it counts, else it is refused."""
    after = heard(held, said)
    if said.version <= held.version:
        detail = f"wish {held.version} is newer than the start's {said.version}"
        return RefuseStart(held=after, reason="superseded", detail=detail)
    if run <= held.last_run:
        return RefuseStart(
            held=after, reason="superseded", detail=f"run {held.last_run} has begun already, the start is run {run}"
        )
    return TakeStart(held=after, ends=held.live)


def begun(held: Held, session_id: SessionId, run: int) -> Held:
    """The host after a begin: the version it holds is used up, the run is taken."""
    live = Live(session_id=session_id, run=run, begun_version=held.version)
    return replace(held, live=live, last_run=max(held.last_run, run), begun_version=held.version)


def ended(held: Held) -> Held:
    """The host after what lived there ended."""
    return replace(held, live=None)


def given_back(held: Held) -> Held:
    """The host after `end`: the version is good for a begin again, for the wish it is about still holds."""
    return replace(held, begun_version=min(held.begun_version, held.version - 1)) if held.version else held
