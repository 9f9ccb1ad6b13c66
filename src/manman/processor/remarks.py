"""What is told of single messages: of each that became a dead letter, and of each that came late for its session. A flood makes no more
than `MOST` lines of a kind in a batch; all are counted, and the last line says how many there were."""

from collections.abc import Collection, Sequence

from manman.domain.sessions import Late, Said
from manman.observability import get_logger, metrics
from manman.processor.world import DeadLetter, Journal

log = get_logger(__name__)
MOST = 5


def refused(letters: Sequence[DeadLetter], *, again: int = 0) -> None:
    """Tell of dead letters that are committed; `again` are replays that were refused anew, whose rows stay."""
    if letters:
        metrics.count("dead_letters", len(letters))
    if again:
        metrics.count("replays_refused", again)
    for letter in letters[:MOST]:
        log.warning(
            "dead_letter",
            reason=letter.reason,
            detail=letter.detail,
            key=letter.key,
            host_id=letter.host_id,
            session_id=letter.session_id,
            event_id=letter.event_id,
        )
    if len(letters) > MOST:
        log.warning("dead_letters_more", count=len(letters), untold=len(letters) - MOST)


def came_late(events: Sequence[tuple[Late, Said]]) -> None:
    """Tell of events that changed nothing, with both states."""
    for late, said in events[:MOST]:
        log.info(
            "late_event",
            session_id=late.session.id,
            host_id=late.session.host_id,
            detail=late.detail,
            stray=late.stray,
            event_id=said.event_id,
            trace_id=said.trace_id,
        )
    if len(events) > MOST:
        log.info("late_events_more", count=len(events), untold=len(events) - MOST)


def gave_up_holes(journals: Collection[Journal]) -> None:
    """Tell of journals from which more is missing than is kept account of: the lowest of it would no longer be applied."""
    if journals:
        metrics.count("holes_given_up", len(journals))
    for host_id, journal in sorted(journals)[:MOST]:
        log.warning("holes_given_up", host_id=host_id, journal=journal)
