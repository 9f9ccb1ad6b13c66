"""The fold: one message after another over the rows of a batch. Pure; what it decides is in the `World`.

The way through: settled already → duplicate; malformed → refused; else the rule of its kind; then its number is settled, whatever
became of it (of a dead letter that comes again the row is closed instead). A message refused for good is a row of `dead_letters` in the
same transaction.
"""

from typing import assert_never

from manman.events import contracts
from manman.events.codec import Message
from manman.processor import fold_deployments, fold_hosts, fold_reports, fold_sessions
from manman.processor.outcomes import Outcome, Refusal
from manman.processor.world import Arrived, DeadLetter, World


def fold(world: World, batch: list[Arrived]) -> list[Outcome]:
    """Apply a batch in order; one outcome for each message."""
    return [apply(world, arrived) for arrived in batch]


def apply(world: World, arrived: Arrived) -> Outcome:
    """Apply one message; never raises for anything that a message may say."""
    outcome = _apply(world, arrived)
    world.count(outcome.value)
    return outcome


def _apply(world: World, arrived: Arrived) -> Outcome:
    if _is_settled(world, arrived):
        return Outcome.DUPLICATE
    return conclude(world, arrived, _rule(world, arrived))


def _is_settled(world: World, arrived: Arrived) -> bool:
    """Whether its number is of the set; of a dead letter that comes again, whether its row is closed."""
    if arrived.replays is not None:
        return arrived.is_over or world.closed.get(arrived.replays, "") is None
    journal, sequence = arrived.journal, arrived.sequence
    return journal is not None and sequence is not None and world.is_settled(journal, sequence)


def conclude(world: World, arrived: Arrived, said: Outcome | Refusal) -> Outcome:
    """What follows from what was decided of a message. A refusal is a dead letter, and the number is settled either way; a dead letter
    that came again closes its row, or keeps it open with what was said this time."""
    message = arrived.message
    is_applied_report = (
        said is Outcome.APPLIED and message is not None and isinstance(message.body, contracts.HostReport)
    )
    outcome = Outcome.DEAD if isinstance(said, Refusal) else said
    if arrived.replays is not None:
        world.closed[arrived.replays] = f"{said.reason}: {said.detail}" if isinstance(said, Refusal) else None
    elif isinstance(said, Refusal):
        _refuse(world, arrived, said)
    journal, sequence = arrived.journal, arrived.sequence
    if journal is None or sequence is None or journal[0] not in world.hosts:
        return outcome
    if is_applied_report:
        world.settle(journal, sequence, all_below=True)
        world.close_holes(journal)
    elif arrived.replays is None:
        world.settle(journal, sequence)
    return outcome


def _rule(world: World, arrived: Arrived) -> Outcome | Refusal:
    message = arrived.message
    if message is None:
        return Refusal("malformed", arrived.malformed or "it cannot be decoded")
    return _doubt(world, arrived, message) or _kind(world, arrived, message)


def _doubt(world: World, arrived: Arrived, message: Message) -> Refusal | None:
    """Why it is not even looked into."""
    if message.dead_letter is not None and arrived.replays is None:
        return Refusal("foreign", "only the control plane may replay a dead letter")
    if message.host_id is not None and message.host_id not in world.hosts:
        return Refusal("unknown_host", f"there is no host {message.host_id}")
    named = getattr(message.body, "host_id", None)
    if named is not None and named != message.host_id:
        return Refusal("foreign", f"it was sent by host {message.host_id}, and speaks of host {named}")
    return None


def _kind(world: World, arrived: Arrived, message: Message) -> Outcome | Refusal:
    match message.body:
        case contracts.SessionStatus():
            return fold_sessions.said(world, message, message.body)
        case contracts.CommandRefused():
            return fold_sessions.refused(world, message, message.body)
        case contracts.DeploymentStatus():
            return fold_deployments.said(world, message, message.body)
        case contracts.DeploymentSeen():
            return fold_deployments.seen(world, message, message.body)
        case contracts.HostOnline() | contracts.HostOffline() | contracts.HostReport():
            return _host_rule(world, arrived, message, message.body)
        case (
            contracts.Heartbeat()
            | contracts.Pulse()
            | contracts.LogLines()
            | contracts.Command()
            | contracts.HostEvent()
            | contracts.SessionEvent()
        ):
            return Refusal("misrouted", f"{message.key.text} does not belong into this queue")
        case _:
            assert_never(message.body)


def _host_rule(
    world: World,
    arrived: Arrived,
    message: Message,
    body: contracts.HostOnline | contracts.HostOffline | contracts.HostReport,
) -> Outcome | Refusal:
    match body:
        case contracts.HostOnline():
            return fold_hosts.online(world, message, body, got_at=world.got_at(arrived))
        case contracts.HostOffline():
            return fold_hosts.offline(world, message, body)
        case contracts.HostReport():
            return fold_reports.report(world, message, body)
        case _:
            assert_never(body)


def _refuse(world: World, arrived: Arrived, why: Refusal) -> None:
    """Make a dead letter of a message, and ask its host what really is where the refusal wants that: by another message than this one."""
    message, attributes = arrived.message, arrived.attributes
    session = (
        message.body.session_id if message is not None and isinstance(message.body, contracts.SessionStatus) else None
    )
    world.dead.append(
        DeadLetter(
            key=arrived.key,
            headers=arrived.headers,
            body=arrived.body,
            reason=why.reason,
            detail=why.detail,
            host_id=arrived.host_id,
            session_id=session,
            journal=attributes.journal_id if attributes is not None else None,
            sequence=attributes.sequence if attributes is not None else None,
            event_id=attributes.id if attributes is not None else None,
        )
    )
    if why.ask_report and not (message is not None and isinstance(message.body, contracts.HostReport)):
        world.ask_report(arrived.host_id)
