"""What follows the end of a session: the wish first, then the restart policy, both by the rules of `domain`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from manman.domain import restarts
from manman.domain.restarts import Again, Ending, GiveUp, Nothing
from manman.host.deployments import Due, HeldDeployment
from manman.host.means import Means
from manman.host.sessions import HeldSession

MOST_KEPT = 100


def after_end(
    means: Means, session: HeldSession, ending: Ending, at: datetime, *, with_agent: bool = False
) -> HeldDeployment:
    """The deployment once this session is over: with a session that is due, or given up with a reason, or as the wish
    alone decides. `with_agent`: whatever stopped it is about to take the agent too, so it begins with the next one."""
    held = means.holdings.deployment(session.deployment_id)
    if session.by_end:
        # The id was bad, not the wish: its version may begin once more.
        return msgspec.structs.replace(held, begun_version=min(held.begun_version, max(0, held.desired_version - 1)))
    if held.session != session.session_id or held.begun_version < held.desired_version:
        return held
    launch = means.launches.newest(held.deployment_id)
    policy = restarts.policy_of(launch.restart if launch else None, launch.start_on_boot if launch else True)
    ran_for = at - session.ready_at if session.ready_at is not None else timedelta(0)
    before = [] if ran_for >= restarts.FORGOTTEN_AFTER else held.restarts
    follows = restarts.next_after(
        policy, ending, wanted=held.desired == "running", ran_for=ran_for, restarts=before, now=at
    )
    match follows:
        case Nothing():
            return held
        case GiveUp(reason):
            return msgspec.structs.replace(held, due=None, gave_up=reason.value)
        case Again() if with_agent:
            return msgspec.structs.replace(held, resume=True)
        case Again(after=after, attempt=attempt, of=of):
            by_policy = ending is not Ending.CARRIED
            cause = restarts_cause(by_policy)
            due = Due(at=at + after, cause=cause, previous=session.session_id, attempt=attempt, of=of)
            kept = [*before, at + after][-MOST_KEPT:] if by_policy else before
            return msgspec.structs.replace(held, due=due, gave_up=None, restarts=kept)
        case _:
            assert_never(follows)


def restarts_cause(by_policy: bool) -> str:
    """The word for why a session follows."""
    return "restart_policy" if by_policy else "host_boot"
