"""From a finished simulation to the history that the checker judges, and to text: the same seed gives the same text."""

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from harness.checker import Accepted, Heard, History, Played, Witness
from harness.sim_machine import Machine

if TYPE_CHECKING:
    from harness.sim_run import House

TABLES = {
    "sessions": "SELECT id, host, deployment, status, desired, run, begun_version, previous_session_id, cause, reason, exit_code,"
    " created_at, at, started_at, ended_at, history_number FROM sessions ORDER BY id",
    "session_history": "SELECT session, number, from_status, to_status, at, recorded_at, cause, event_id FROM session_history"
    " ORDER BY session, number",
    "events": "SELECT epoch, position, id, type, at, exchange, key, body, host, session, sequence, public FROM events"
    " ORDER BY epoch, position",
    "dead_letters": "SELECT key, reason, detail, host, session, journal, sequence, at FROM dead_letters ORDER BY id",
    "deployments": "SELECT id, host, status, desired, desired_version, fresh_version, seen_version, last_run, last_session,"
    " gave_up, gave_up_version, suspended FROM deployments ORDER BY id",
    "ports": "SELECT deployment, host, port, protocol FROM ports ORDER BY deployment, name",
    "host_history": "SELECT host, number, from_status, to_status, recorded_at, cause FROM host_history ORDER BY host, number",
    "hosts": "SELECT host, online, boot, beat, last_seen, returned_at FROM host_heartbeats ORDER BY host",
    "strays": "SELECT host, session, deployment, why FROM strays ORDER BY host, session",
}


async def gather(house: "House") -> History:
    """Read the tables and ask the witnesses."""
    raw, time = house.database.monitor, house.time
    await raw.execute(f"SET sim.now = '{time.at.isoformat()}'")
    tables: dict[str, Any] = {name: [dict(row) for row in await raw.fetch(query)] for name, query in TABLES.items()}
    journals = await raw.fetch("SELECT host, journal, seen FROM host_journals ORDER BY host, journal")
    return History(
        **tables,
        journals={(j["host"], j["journal"]): tuple((r.lower, r.upper - 1) for r in j["seen"]) for j in journals},
        external=[heard(time.moment(at), message) for at, message in house.broker.published],
        witnesses=[witness(house, machine) for machine in [*house.machines, *(twin.machine for twin in house.twins)]],
        accepted=[
            Accepted(
                at=time.moment(c.at),
                verb=c.verb,
                deployment=c.deployment,
                version=c.version,
                session=c.session,
                lost=c.lost,
            )
            for c in house.accepted
        ],
        reads=house.reads,
        unsettled=house.unsettled,
        restored=[(time.moment(copied), time.moment(back)) for copied, back in house.restored],
        places={number: place.name.rstrip("+") for place in house.places for number in place.numbers},
        settled=house.settled,
        beats=newest(house),
        samples=house.samples,
        failures=list(time.failures),
        reordered=house.broker.reordered,
        leftover=await raw.fetchval("SELECT count(*) FROM outbox"),
    )


def newest(house: "House") -> list[tuple[int, datetime, datetime]]:
    """Heartbeats that count: each pair (boot, beat) above all before, of the boot that its agent lived at that time, and of no lower
    one than a copy of it has spoken with."""
    known: dict[int, tuple[int, int]] = {}
    lives = {machine.host_id: machine.starts for machine in house.machines}
    named = {machine.host_id: machine.named for machine in house.machines}
    found = []
    for body, got, done in house.broker.beats:
        said = msgspec.json.decode(body)
        host, pair = said["host_id"], (said["boot"], said["beat"])
        alive = [boot for at, boot in lives[host] if at <= got]
        spoken = max((boot for at, boot in named[host] if at <= got), default=0)
        if pair > known.get(host, (0, 0)) and pair[0] == alive[-1] >= spoken:
            known[host] = pair
            found.append((host, house.time.moment(got), house.time.moment(done)))
    return found


def heard(at: datetime, message: Any) -> Heard:
    """A message on `external` as a subscriber got it."""
    sequence = message.headers.get("cloudEvents:sequence")
    subject = str(message.headers.get("cloudEvents:subject") or "")
    session = int(subject.rpartition("/")[2]) if "session" in subject else None
    return Heard(
        at=at,
        id=message.message_id or "",
        type=message.key,
        sequence=int(sequence) if sequence is not None else None,
        session=session,
        body=message.body,
    )


def witness(house: "House", machine: Machine) -> Witness:
    """What a machine knows at the end."""
    time = house.time
    machine.look(time.now)
    told = {session: word for _, session, word in machine.ends}
    return Witness(
        host=machine.host_id,
        confirmed={journal: frozenset(numbers) for journal, numbers in sorted(machine.confirmed.items())},
        events=frozenset(machine.events),
        games=tuple(
            Played(
                host=machine.host_id,
                session=game.session_id,
                deployment=game.deployment_id,
                began=time.moment(game.began),
                ended=None if game.ended is None else time.moment(game.ended),
                why=game.why,
                told=told.get(game.session_id),
                wished=game.wished,
            )
            for game in machine.games.values()
        ),
        restored=machine.restored,
        cloned=machine.cloned,
        reused=tuple(machine.reused),
        overdue=tuple((time.moment(since), time.moment(at), number) for since, at, number in machine.overdue),
        wishes={
            d: (held.desired, held.desired_version)
            for d, held in (machine.disk.deployments.items() if machine.twin_of is None else ())
        },
        lives=tuple((time.moment(at), boot) for at, boot in machine.starts),
        goodbyes=tuple((time.moment(at), boot) for at, boot in machine.goodbyes),
        excused=tuple((time.moment(begin), time.moment(end)) for begin, end in machine.excused),
        deadlines={session: time.moment(at) for session, at in machine.deadlines.items()},
    )


def text(history: History) -> str:
    """The whole history as lines."""
    lines: list[str] = []
    for one in fields(history):
        value = getattr(history, one.name)
        parts = value if isinstance(value, list) else [value]
        lines += [f"{one.name} {stable(part)}" for part in parts]
    return "\n".join(lines)


def stable(value: Any) -> str:
    """Sets in order, all else as Python writes it."""
    if isinstance(value, Witness):
        return str([(one.name, stable(getattr(value, one.name))) for one in fields(value)])
    if isinstance(value, frozenset):
        return str(sorted(value))
    if isinstance(value, dict):
        return str([(key, stable(part)) for key, part in sorted(value.items(), key=lambda item: str(item[0]))])
    return repr(value)
