"""How a session's end is told, and what follows it: the events of the end and the policy's verdict in one write."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from manman.domain.restarts import Ending, GaveUp
from manman.events import contracts
from manman.host import following
from manman.host.deployments import HeldDeployment
from manman.host.means import Means
from manman.host.runtimes import Found
from manman.host.sessions import HeldSession
from manman.observability import acts, observe
from manman.wrapper import spool_reader

MASK = "***"
SHORTEST_SECRET = 4  # a shorter one would mask half of the alphabet


def exited(means: Means, held: HeldSession, found: Found, said: dict[str, Any], at: datetime, offset: int) -> None:
    """Tells the exit that the wrapper recorded."""
    held = msgspec.structs.replace(
        held,
        offset=offset,
        exit_code=said.get("exit_code"),
        signal=said.get("signal"),
        reason=said.get("reason") or "unknown",
        detail=said.get("detail"),
    )
    if said.get("outcome") == "stopped":
        asked = held.asked or said.get("asked_by") in ("command", "folder")
        with_agent = held.with_agent or (not asked and said.get("asked_by") == "signal")
        ending = Ending.CARRIED if with_agent else Ending.ASKED if asked else Ending.EXPECTED
        _finish(means, held, "stopped", ending, at, with_agent=with_agent)
    else:
        # What was asked to end is not restarted, however badly it ended.
        ending = Ending.ASKED if held.asked and not held.with_agent else Ending.CRASHED
        _finish(means, held, "crashed", ending, at, tail=_tail(means, held, found))


def lost(means: Means, held: HeldSession) -> None:
    """Tells the end of a session whose wrapper is gone without an exit record."""
    restarted = held.machine != means.machine
    held = msgspec.structs.replace(
        held,
        reason="host_restarted" if restarted else "unknown",
        detail="the machine was restarted" if restarted else "its wrapper is gone without a word",
    )
    _finish(means, held, "crashed", Ending.CARRIED if restarted else Ending.CRASHED, means.now())


def never_began(means: Means, held: HeldSession, reason: str, detail: str) -> None:
    """Tells that a session could not begin."""
    held = msgspec.structs.replace(held, reason=reason, detail=detail)
    _finish(means, held, "crashed", Ending.CRASHED, means.now())


def not_begun(means: Means, held: HeldSession, reason: str = "superseded") -> None:
    """Tells the end of a session that was ended before its game began."""
    held = msgspec.structs.replace(held, asked=True, reason=reason, detail="ended before its game was started")
    _finish(means, held, "stopped", Ending.ASKED, means.now())


def _finish(
    means: Means,
    held: HeldSession,
    word: contracts.SessionWord,
    ending: Ending,
    at: datetime,
    *,
    tail: list[str] | None = None,
    with_agent: bool = False,
) -> None:
    """One write: the legal steps to the final state, the deployment as the policy leaves it, and a give-up."""
    telling = observe(
        acts.SESSION_END, session_id=held.session_id, how=ending.value, reason=held.reason, detail=held.detail
    )
    with telling, means.journal.write():
        before = means.holdings.deployment(held.deployment_id)
        deployment = following.after_end(means, held, ending, at, with_agent=with_agent)
        means.holdings.keep(deployment)
        if word == "crashed":
            due = deployment.due
            restart = contracts.Restart(attempt=due.attempt, of=due.of, at=due.at) if due is not None else None
            means.tell(msgspec.structs.replace(held, status=word, at=at), tail=tail, restart=restart)
        else:
            if held.status != "stopping":
                # The end is told in two steps, because the outside knows only legal ones.
                means.move(msgspec.structs.replace(held, exit_code=None, signal=None, reason=None), "stopping", at)
            means.move(held, word, at)
        if deployment.gave_up is not None and deployment.gave_up != before.gave_up:
            _gave_up(means, deployment)


def give_up(means: Means, deployment: HeldDeployment, reason: GaveUp) -> None:
    """Keep the deployment with nothing that follows, and tell why; in the caller's write."""
    deployment = msgspec.structs.replace(deployment, due=None, gave_up=reason.value)
    means.holdings.keep(deployment)
    _gave_up(means, deployment)


def _gave_up(means: Means, deployment: HeldDeployment) -> None:
    body = contracts.DeploymentStatus(
        deployment_id=deployment.deployment_id,
        host_id=means.journal.host_id,
        reason=deployment.gave_up,
        deployment_version=deployment.deployment_version,
        desired_version=deployment.desired_version,
    )
    means.say("deployment", "gave_up", body)


def _tail(means: Means, held: HeldSession, found: Found) -> list[str]:
    launch = means.launches.begun(held.deployment_id)
    secrets = sorted((one for one in (launch.secrets if launch else []) if len(one) >= SHORTEST_SECRET), key=len)
    return [masked(record.text.replace("\0", ""), secrets[::-1]) for record in spool_reader.last_lines(found.folder)]


def masked(text: str, secrets: list[str]) -> str:
    """The text without these values; longer ones come first, or what is left of one would show."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
