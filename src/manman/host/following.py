"""What follows the end of a session, decided here and by nobody else: the wish, then the restart policy."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

import msgspec

from manman.host.deployments import Due, Ended, HeldDeployment
from manman.host.means import Means
from manman.host.policies import policy_of, verdict
from manman.host.sessions import HeldSession

MOST_CRASHES_KEPT = 100


class End(StrEnum):
    """How a session ended, as far as it matters for what follows."""

    CRASHED = "crashed"
    EXPECTED = "expected"
    ASKED = "asked"
    WITH_MACHINE = "with_machine"
    MACHINE = "machine"


def after_end(means: Means, session: HeldSession, end: End, at: datetime) -> HeldDeployment:
    """The deployment once this session is over: with a session that is due, or given up with a reason, or as the wish
    alone decides. Pure but for what it reads of `means`."""
    held = means.holdings.deployment(session.deployment_id)
    if session.by_end and held.desired == "running":
        # The id was bad, not the wish: its version may begin once more.
        return msgspec.structs.replace(held, begun_version=max(0, held.desired_version - 1))
    follows = held.session == session.session_id and held.desired == "running"
    if not follows or held.begun_version < held.desired_version:
        return held
    launch = means.launches.newest(held.deployment_id)
    match end:
        case End.ASKED:
            return held
        case End.WITH_MACHINE | End.MACHINE:
            if launch is not None and not launch.start_on_boot:
                return msgspec.structs.replace(held, gave_up="not_on_boot", due=None)
            if end is End.WITH_MACHINE:
                # Whatever stopped it is about to take the agent too, or was told by the agent itself.
                return msgspec.structs.replace(held, resume=True)
            return msgspec.structs.replace(held, due=Due(at=at, cause="host_boot", previous=session.session_id))
        case End.CRASHED | End.EXPECTED:
            return _by_policy(means, held, session, end, at)
        case _:
            assert_never(end)


def _by_policy(means: Means, held: HeldDeployment, session: HeldSession, end: End, at: datetime) -> HeldDeployment:
    policy = policy_of(means.launches.newest(held.deployment_id))
    ran = (at - session.ready_at).total_seconds() if session.ready_at is not None else 0.0
    crashes = held.crashes
    if end is End.CRASHED:
        crashes = [*held.crashes, Ended(at=at, ran=max(0.0, ran))][-MOST_CRASHES_KEPT:]
    said = verdict(policy, crashes, crashed=end is End.CRASHED, now=at)
    if said.gave_up is not None:
        return msgspec.structs.replace(held, crashes=crashes, due=None, gave_up=said.gave_up)
    due = Due(
        at=at + timedelta(seconds=said.after),
        cause="restart_policy",
        previous=session.session_id,
        attempt=said.attempt,
        of=said.of,
    )
    return msgspec.structs.replace(held, crashes=crashes, due=due, gave_up=None)
