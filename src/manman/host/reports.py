"""Everything that this host holds, in one message: the answer to `report`, and the question for a lease."""

from __future__ import annotations

from importlib import metadata

from manman.events import contracts
from manman.host.means import Means


def version() -> str:
    """The version of this agent."""
    try:
        return metadata.version("manmanv2")
    except metadata.PackageNotFoundError:
        return "0"


def say(means: Means, command_id: str | None = None) -> None:
    """Writes a report of sessions, deployments and lease."""
    body = contracts.HostReport(
        host_id=means.journal.host_id,
        command_id=command_id,
        boot=means.journal.boot,
        agent_version=version(),
        sessions=[held.said() for held in means.holdings.sessions()],
        deployments=[held.said() for held in means.holdings.deployments()],
        lease=list(means.holdings.lease),
        host_version=means.journal.fact("host_version"),
    )
    means.say("host", "report", body)


def online(means: Means) -> None:
    """Says that the agent is here, and asks for a lease by naming the one that it holds."""
    body = contracts.HostOnline(
        host_id=means.journal.host_id,
        agent_version=version(),
        boot=means.journal.boot,
        lease=list(means.holdings.lease),
        host_version=means.journal.fact("host_version"),
    )
    means.say("host", "online", body)


def offline(means: Means) -> None:
    """Says goodbye; games run on."""
    body = contracts.HostOffline(
        host_id=means.journal.host_id,
        agent_version=version(),
        boot=means.journal.boot,
        lease=list(means.holdings.lease),
    )
    means.say("host", "offline", body)
