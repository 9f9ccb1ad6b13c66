"""What decisions make others hear: rows of the outbox, from decided values and names joined once a batch. Pure.

Every accepted transition becomes an `events` row that can be watched; only the public ones carry an exchange. Bodies can be
acted on without a call back. Whoever saves decisions calls this within the transaction that saves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from manman.domain.deployments import Deployment, Install
from manman.domain.ids import Chance, HostId, SessionId, uuid7_text, uuid7_texts
from manman.domain.sessions import Moved, Session, Status
from manman.events import contracts, envelope, topics
from manman.events.codec import encode_body
from manman.events.contracts import Endpoint, HostEvent, SessionEvent
from manman.events.outbox import CONTROL_SOURCE, OutboxRow


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNames:
    """What a host is called."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    agent_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNames:
    """What a session's nouns are called and where players join. `withhold_tail`: its config keeps the last lines private."""

    game: str | None = None
    config: str | None = None
    config_revision: int | None = None
    deployment: str | None = None
    host: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[Endpoint, ...] = ()
    withhold_tail: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names that one batch needs; a noun that is missing is announced without them."""

    hosts: Mapping[HostId, HostNames] = field(default_factory=dict)
    sessions: Mapping[SessionId, SessionNames] = field(default_factory=dict)


NOBODY = SessionNames()


def announce(decisions: Iterable[Moved], names: Names, now: datetime, chance: Chance) -> list[OutboxRow]:
    """One row for each accepted transition of a session, in the order given."""
    moves = list(decisions)
    ids = uuid7_texts(now, chance, len(moves))
    called = names.sessions
    return [_moved(moved, called.get(moved.after.id, NOBODY), id) for moved, id in zip(moves, ids, strict=True)]


def session_moved(moved: Moved, names: SessionNames, now: datetime, chance: Chance) -> OutboxRow:
    """`manman.session.<status>`; a crash carries its last lines (unless withheld) and the restart that its host plans."""
    return _moved(moved, names, uuid7_text(now, chance))


def _moved(moved: Moved, names: SessionNames, event_id: str) -> OutboxRow:
    said, after, before = moved.said, moved.after, moved.before
    crashed = after.status is Status.CRASHED
    restart = said.restart if crashed else None
    told = contracts.Restart(attempt=restart.attempt, of=restart.of, at=restart.at) if restart is not None else None
    tail = list(said.tail) if crashed and said.tail is not None and not names.withhold_tail else None
    body = _session_event(
        after,
        names,
        after.status,
        after.at,
        previous_status=None if before is None else before.status,
        cause=said.cause,
        tail=tail,
        restart=told,
    )
    return _session_row(body, after, event_id, said.trace_id)


def unreachable(
    session: Session, names: SessionNames, last_seen: datetime, cause: str, now: datetime, chance: Chance
) -> OutboxRow:
    """`manman.session.unreachable`: its host left; whether the game goes on is not known. For each live session of the host."""
    body = _session_event(
        session,
        names,
        "unreachable",
        now,
        previous_status=session.status.value,
        cause=cause,
        last_seen=last_seen,
    )
    return _session_row(body, session, uuid7_text(now, chance), None)


def reachable(session: Session, names: SessionNames, cause: str, now: datetime, chance: Chance) -> OutboxRow:
    """`manman.session.reachable`: its host is back. For each live session of the host."""
    body = _session_event(session, names, "reachable", now, previous_status=session.status.value, cause=cause)
    return _session_row(body, session, uuid7_text(now, chance), None)


def deployment_moved(
    after: Deployment, word: str, previous: Install | None, now: datetime, chance: Chance
) -> OutboxRow:
    """`manman.deployment.<word>`: installing, ready, install_failed, removing, removed, gave_up. `previous` is None for a new one."""
    kind = f"manman.deployment.{word}"
    return OutboxRow(
        event_id=uuid7_text(now, chance),
        type=kind,
        key=kind,
        body={
            "deployment_id": after.id,
            "deployment": after.name,
            "host_id": after.host_id,
            "status": word,
            "previous_status": None if previous is None else previous.value,
            "progress": after.progress,
            "reason": after.gave_up if word == "gave_up" else None,
            "detail": after.detail,
            "at": now.isoformat(),
        },
        host_id=after.host_id,
        deployment_id=after.id,
        sequence=after.number,
    )


def host_online(
    host_id: HostId,
    names: HostNames,
    now: datetime,
    chance: Chance,
    *,
    cause: str | None = None,
    number: int | None = None,
    silent_for: timedelta | None = None,
    previous_status: str = "offline",
) -> OutboxRow:
    """`manman.host.online`; `silent_for` when it had been away. `number` is that of the host's history row."""
    body = HostEvent(
        host_id=host_id,
        host=names.name,
        status="online",
        at=now,
        previous_status=previous_status,
        silent_for=None if silent_for is None else silent_for.total_seconds(),
        labels=dict(names.labels),
        agent_version=names.agent_version,
        cause=cause,
    )
    return _host_row(body, number, now, chance)


def host_offline(
    host_id: HostId,
    names: HostNames,
    now: datetime,
    chance: Chance,
    *,
    cause: str | None = None,
    number: int | None = None,
) -> OutboxRow:
    """`manman.host.offline`: it said goodbye."""
    body = HostEvent(
        host_id=host_id,
        host=names.name,
        status="offline",
        at=now,
        previous_status="online",
        labels=dict(names.labels),
        agent_version=names.agent_version,
        cause=cause,
    )
    return _host_row(body, number, now, chance)


def host_stale(
    host_id: HostId,
    names: HostNames,
    now: datetime,
    chance: Chance,
    *,
    last_seen: datetime,
    threshold: timedelta,
    mass: bool = False,
    cause: str | None = None,
    number: int | None = None,
) -> OutboxRow:
    """`manman.host.stale`: it fell silent without a goodbye. `mass`: most of the hosts did, so look at what they share."""
    body = HostEvent(
        host_id=host_id,
        host=names.name,
        status="stale",
        at=now,
        previous_status="online",
        last_seen=last_seen,
        threshold=threshold.total_seconds(),
        mass=mass,
        labels=dict(names.labels),
        agent_version=names.agent_version,
        cause=cause,
    )
    return _host_row(body, number, now, chance)


def _session_event(session: Session, names: SessionNames, status: str, at: datetime, **told: Any) -> SessionEvent:
    revision = names.config_revision if names.config_revision is not None else session.config_revision
    return SessionEvent(
        session_id=session.id,
        deployment_id=session.deployment_id,
        host_id=session.host_id,
        status=status,
        at=at,
        number=session.number,
        run=session.run,
        previous_session_id=session.previous_session_id,
        game=names.game,
        config=names.config,
        config_revision=revision,
        deployment=names.deployment,
        host=names.host,
        labels=names.labels,  # type: ignore[arg-type]  # only encoded
        endpoints=names.endpoints,  # type: ignore[arg-type]
        players=session.players,
        started_at=session.started_at,
        ended_at=session.ended_at,
        reason=session.reason,
        detail=session.detail,
        exit_code=session.exit_code,
        signal=session.signal,
        **told,
    )


def _session_row(body: SessionEvent, session: Session, event_id: str, traceparent: str | None) -> OutboxRow:
    key = f"manman.session.{body.status}"
    public = key in topics.PUBLIC
    subject = f"sessions/{session.id}"
    return OutboxRow(
        event_id=event_id,
        type=key,
        key=key,
        body=encode_body(body),
        exchange=topics.EXTERNAL if public else None,
        # What is only watched goes over no broker.
        headers=_headers(event_id, key, subject, body.at, session.number, traceparent) if public else {},
        host_id=session.host_id,
        session_id=session.id,
        deployment_id=session.deployment_id,
        sequence=session.number,
        public=public,
    )


def _host_row(body: HostEvent, number: int | None, now: datetime, chance: Chance) -> OutboxRow:
    key = f"manman.host.{body.status}"
    event_id = uuid7_text(now, chance)
    return OutboxRow(
        event_id=event_id,
        type=key,
        key=key,
        body=encode_body(body),
        exchange=topics.EXTERNAL,
        headers=_headers(event_id, key, f"hosts/{body.host_id}", body.at, number, None),
        host_id=body.host_id,
        sequence=number,
        public=True,
    )


def _headers(
    event_id: str, type: str, subject: str, at: datetime, number: int | None, traceparent: str | None
) -> dict[str, envelope.Header]:
    """What `envelope.to_headers` would say, without the value in between: this is done for every event."""
    headers: dict[str, envelope.Header] = {
        "cloudEvents:specversion": "1.0",
        "cloudEvents:id": event_id,
        "cloudEvents:source": CONTROL_SOURCE,
        "cloudEvents:type": type,
        "cloudEvents:subject": subject,
        "cloudEvents:time": envelope.time_text(at),
    }
    if number is not None:
        headers["cloudEvents:sequence"] = str(number)
    if traceparent is not None:
        headers["cloudEvents:traceparent"] = traceparent
    return headers
