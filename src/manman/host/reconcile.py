"""At the agent's start, before it begins anything: what ran on, what ended meanwhile, what the machine's boot took along;
and later the grace after which the traces of ended sessions go."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from manman.host.deployments import Due
from manman.host.means import Means
from manman.observability import acts, get_logger, observe

log = get_logger(__name__)
GRACE = timedelta(minutes=5)


async def take_stock(means: Means) -> None:
    """Looks at what the runtime knows. Sessions that are held are followed by their tasks, which tell real exits; what
    is labelled and not held is listed and never touched: a restored journal must not end games."""
    with observe(acts.AGENT_ADOPT) as seen:
        found = {one.session_id: one for one in await means.runtime.list()}
        held = {one.session_id for one in means.holdings.sessions()}
        seen.add(adopted=sum(1 for number, one in found.items() if number in held and one.is_alive))
        for number, one in found.items():
            if number not in held:
                log.warning("unknown_session", session_id=number, folder=str(one.folder), alive=one.is_alive)
    resume(means)


def resume(means: Means) -> None:
    """Games that were stopped with the agent, or by the machine's shutdown, are due where `start_on_boot` says so."""
    for held in means.holdings.deployments():
        if held.resume and held.desired == "running":
            due = Due(at=means.now(), cause="host_boot", previous=held.session)
            means.holdings.keep(msgspec.structs.replace(held, resume=False, due=due))


async def tidy(means: Means) -> int:
    """Removes what belongs to sessions that ended here longer than 5 minutes ago, once everything was sent; how many."""
    if means.journal.waiting_count():
        return 0
    gone = 0
    for held in means.holdings.sessions():
        if held.is_live or held.at is None or means.now() - held.at < GRACE:
            continue
        await means.runtime.remove(held.session_id)
        means.holdings.forget_session(held.session_id)
        gone += 1
    left = {held.deployment_id for held in means.holdings.sessions()}
    for deployment in means.holdings.deployments():
        if deployment.status == "removed" and deployment.deployment_id not in left:
            means.holdings.forget_deployment(deployment.deployment_id)
    return gone
