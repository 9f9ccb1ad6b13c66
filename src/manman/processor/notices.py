"""What is told of deployments: `events` rows that can be watched, and go to no other domain."""

from datetime import datetime

from manman.domain.deployments import DeploymentMoved
from manman.domain.ids import Chance, uuid7
from manman.events.outbox import OutboxRow


def deployment_moved(moved: DeploymentMoved, now: datetime, chance: Chance) -> OutboxRow:
    """`manman.deployment.<word>`: installing, ready, install_failed, removed, gave_up."""
    after = moved.after
    kind = f"manman.deployment.{moved.word}"
    return OutboxRow(
        event_id=str(uuid7(now, chance)),
        type=kind,
        key=kind,
        body={
            "deployment_id": after.id,
            "deployment": after.name,
            "host_id": after.host_id,
            "status": moved.word,
            "previous_status": moved.before.status.value,
            "progress": after.progress,
            "reason": after.gave_up if moved.word == "gave_up" else None,
            "detail": after.detail,
            "at": now.isoformat(),
        },
        host_id=after.host_id,
        deployment_id=after.id,
        sequence=after.number,
    )
