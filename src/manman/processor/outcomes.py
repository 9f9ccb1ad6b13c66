"""What became of a message."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The word that is counted; every one of them is acked after the commit."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    LATE = "late"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message becomes a dead letter. `ask_report`: its host is asked what really is."""

    reason: str
    detail: str
    ask_report: bool = False
