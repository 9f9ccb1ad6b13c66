"""The restart policy of a launch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from manman.host.deployments import Ended
from manman.host.launches import seconds
from manman.v1.types import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    policy: str = "on_crash"
    delay: float = 5.0
    max_delay: float = 300.0
    limit: int = 5
    window: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    after: float = 0.0
    attempt: int = 1
    of: int | None = None
    gave_up: str | None = None


def policy_of(launch: Launch | None) -> Policy:
    said = launch.restart if launch is not None else None
    if said is None:
        return Policy()
    return Policy(
        policy=said.policy or "on_crash",
        delay=seconds(said.delay, 5.0),
        max_delay=seconds(said.max_delay, 300.0),
        limit=said.limit if said.limit is not None else 5,
        window=seconds(said.window, 600.0),
    )


def verdict(policy: Policy, crashes: Sequence[Ended], *, crashed: bool, now: datetime) -> Verdict:
    if policy.policy == "never":
        return Verdict(gave_up="never")
    if not crashed:
        return Verdict(after=policy.delay, of=policy.limit) if policy.policy == "always" else Verdict(gave_up="ended")
    recent: list[Ended] = []
    for one in reversed(crashes):
        if one.at < now - timedelta(seconds=policy.window):
            break
        recent.append(one)
        if one.ran >= policy.window:
            break
    attempt = len(recent)
    if attempt > policy.limit:
        return Verdict(gave_up="limit")
    return Verdict(after=min(policy.max_delay, policy.delay * 2 ** (attempt - 1)), attempt=attempt, of=policy.limit)
