"""What follows an end: the host's rule, pure. Also shown by Preview."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from manman.domain import durations
from manman.v1.types import RestartPolicy

FORGOTTEN_AFTER = timedelta(minutes=10)  # of running: what went wrong before no longer counts


class When(StrEnum):
    """When a session is followed by another without being asked for."""

    ON_CRASH = "on_crash"
    ALWAYS = "always"
    NEVER = "never"


class Ending(StrEnum):
    """How a session ended, as far as its successor is concerned.

    `stopped`: it was asked to. `carried`: the machine restarted, or games were stopped with the agent: the wish is alone.
    """

    CRASHED = "crashed"
    EXPECTED = "expected"
    ASKED = "asked"
    CARRIED = "carried"


class GaveUp(StrEnum):
    """Why nothing follows; only `limit` alarms."""

    LIMIT = "limit"
    ENDED = "ended"
    NEVER = "never"
    NOT_ON_BOOT = "not_on_boot"
    START_TIMEOUT = "start_timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A restart policy in numbers: the first delay doubles up to `max_delay`; `limit` restarts within `window`, None: no limit."""

    when: When = When.ON_CRASH
    delay: timedelta = timedelta(seconds=5)
    max_delay: timedelta = timedelta(minutes=5)
    limit: int | None = 5
    window: timedelta = timedelta(minutes=10)
    start_on_boot: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The next session begins `after` the end; it is attempt `attempt` of `of`."""

    after: timedelta
    attempt: int
    of: int | None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing follows until the next power command."""

    reason: GaveUp


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing follows, and nobody needs to be told: it was asked to end."""


Next = Again | GiveUp | Nothing


def policy_of(restart: RestartPolicy | None, start_on_boot: bool = True) -> Policy:
    """The policy of a launch; what is unset has the defaults. Raises `ValueError` for a duration that is none."""
    given = restart or RestartPolicy()
    return Policy(
        when=When(given.policy or When.ON_CRASH),
        delay=durations.parse(given.delay, timedelta(seconds=5)),
        max_delay=durations.parse(given.max_delay, timedelta(minutes=5)),
        limit=5 if given.limit is None else given.limit,
        window=durations.parse(given.window, timedelta(minutes=10)),
        start_on_boot=start_on_boot,
    )


def next_after(
    policy: Policy, ending: Ending, *, wanted: bool, ran_for: timedelta, restarts: Sequence[datetime], now: datetime
) -> Next:
    """What follows an end. `wanted`: the wish still says running; `restarts`: when this policy restarted it before, any order."""
    if ending is Ending.ASKED or not wanted:
        return Nothing()
    if ending is Ending.CARRIED:
        return Again(after=timedelta(0), attempt=1, of=None) if policy.start_on_boot else GiveUp(GaveUp.NOT_ON_BOOT)
    if policy.when is When.NEVER:
        return GiveUp(GaveUp.NEVER)
    if ending is Ending.EXPECTED and policy.when is not When.ALWAYS:
        return GiveUp(GaveUp.ENDED)
    counted = [] if ran_for >= FORGOTTEN_AFTER else [at for at in restarts if now - at < policy.window]
    if policy.limit is not None and len(counted) >= policy.limit:
        return GiveUp(GaveUp.LIMIT)
    return Again(after=delay_of(policy, len(counted)), attempt=len(counted) + 1, of=policy.limit)


def delay_of(policy: Policy, before: int) -> timedelta:
    """The wait before the restart that `before` others preceded: doubling, bounded."""
    doubled: timedelta = policy.delay * 2 ** min(before, 20)
    return min(doubled, policy.max_delay)
