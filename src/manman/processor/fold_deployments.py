"""What hosts say of deployments, folded: how far an install is, which wish is held, that the host gave up."""

from msgspec.structs import replace

from manman.domain import deployments
from manman.domain.deployments import Deployment, DeploymentMoved
from manman.events import contracts
from manman.events.codec import Message
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import World, event_id_of


def said(world: World, message: Message, body: contracts.DeploymentStatus) -> Outcome | Refusal:
    """`status.deployment.{installing,ready,install_failed,removed,gave_up}`."""
    deployment = world.deployments.get(body.deployment_id)
    if deployment is None:
        return Refusal("unknown_deployment", f"there is no deployment {body.deployment_id}")
    if message.host_id is not None and message.host_id != deployment.host_id:
        return Refusal(
            "foreign", f"deployment {deployment.id} is on host {deployment.host_id}, not on host {message.host_id}"
        )
    word = body.status or message.key.word
    before = deployments.seen(deployment, body.desired_version)
    if word == "gave_up":
        return _gave_up(world, message, before, body)
    after = deployments.installed(
        before, word, body.progress, body.detail or body.reason or "", body.deployment_version
    )
    world.keep_deployment(after)
    if after.removed == before.removed and after.status is before.status:
        return Outcome.UNCHANGED
    move(world, message, deployment, after, word, cause="host")
    return Outcome.APPLIED


def _gave_up(world: World, message: Message, before: Deployment, body: contracts.DeploymentStatus) -> Outcome:
    after = deployments.gave_up(before, body.reason or "limit", body.desired_version)
    world.keep_deployment(after)
    if after == before:
        return Outcome.UNCHANGED
    move(world, message, before, after, "gave_up", cause=f"gave up: {after.gave_up}")
    return Outcome.APPLIED


def seen(world: World, message: Message, body: contracts.DeploymentSeen) -> Outcome | Refusal:
    """`status.deployment.seen`: the wish that its host holds; above the row's, its host is asked for a report."""
    deployment = world.deployments.get(body.deployment_id)
    if message.host_id is not None and (deployment is None or message.host_id != deployment.host_id):
        # It was taken from this host, which has now seen the stop; who never had it says nothing that matters.
        world.released[message.host_id, body.deployment_id] = body.desired_version
        return Outcome.LATE
    if deployment is None:
        return Outcome.LATE
    if body.desired_version > deployment.desired_version:
        world.ask_report(deployment.host_id)
    if body.desired_version == deployment.seen_version:
        return Outcome.UNCHANGED
    world.keep_deployment(deployments.seen(deployment, body.desired_version))
    return Outcome.APPLIED


def move(world: World, message: Message, before: Deployment, after: Deployment, word: str, *, cause: str) -> None:
    """Take a deployment that moved, with its history row and its notice."""
    numbered = replace(after, number=after.number + 1)
    world.keep_deployment(numbered)
    attributes = message.attributes
    world.deployments_moved.append(
        DeploymentMoved(
            before=before,
            after=numbered,
            word=word,
            cause=cause,
            event_id=event_id_of(message),
            trace_id=attributes.traceparent if attributes is not None else None,
        )
    )
