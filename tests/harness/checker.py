"""Judges a history: what a run left in the database, what agents saw confirmed, what machines did, what a subscriber heard.

`check(history)` gives violations as sentences, each beginning with the number of the rule that it breaks: the rules of "what must
hold, whatever is killed, cut, frozen, filled or repeated". It trusts nothing that the product says of itself where a witness exists.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from math import inf
from typing import Any

from harness.history import (
    Accepted,
    Heard,
    History,
    Played,
    Ranges,
    Read,
    Row,
    Sample,
    Settled,
    Unsettled,
    Witness,
)
from manman.domain.sessions import EDGES, FINAL, LIVE, WISHED_EDGES, Status


def check(history: History) -> list[str]:
    """Every violation, in the order of the rules; empty when all hold."""
    return [f"{number}: {said}" for number, rule in RULES for said in rule(history)]


def by(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    """Rows in their order, by one column."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def within(ranges: Ranges, number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


# ---- 1: histories -----------------------------------------------------------------------------------


def numbered(h: History) -> Iterator[str]:
    """One history row for each accepted change, without gaps, along legal edges."""
    rows = {r["id"]: r for r in h.sessions}
    for session, found in by(sorted(h.session_history, key=lambda r: (r["session"], r["number"])), "session").items():
        numbers = [r["number"] for r in found]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"session {session} has history numbers {numbers}"
        yield from _edges(session, found)
        row = rows.get(session)
        if row is None:
            continue
        if (row["history_number"], row["status"]) != (numbers[-1], found[-1]["to_status"]):
            yield (
                f"session {session} is {row['status']} at number {row['history_number']}, "
                f"its history ends {found[-1]['to_status']} at {numbers[-1]}"
            )
    for session in sorted(rows.keys() - {r["session"] for r in h.session_history}):
        yield f"session {session} has no history"


# What a transaction records is its beginning; one that waited for a lock may follow one that began later.
BETWEEN = timedelta(seconds=5)


def _edges(session: int, found: list[Row]) -> Iterator[str]:
    before: Status | None = None
    for row in found:
        said, after = row["from_status"], Status(row["to_status"])
        if (None if before is None else before.value) != said:
            yield f"session {session} number {row['number']} leaves {said}, but it was {before}"
        legal = after is Status.PENDING if before is None else after in EDGES[before] | WISHED_EDGES.get(before, set())
        if not legal:
            yield f"session {session} went {before} → {after}, which is no edge"
        if row["at"] > row["recorded_at"] + BETWEEN:
            yield f"session {session} number {row['number']} is of {row['at']:%H:%M:%S}, recorded before"
        before = after


def announced(h: History) -> Iterator[str]:
    """Each change is an `events` row; nothing is left in the outbox at rest."""
    told = {(e["session"], e["type"].rpartition(".")[2], e["sequence"]) for e in h.events if e["session"] is not None}
    waits = not h.rested
    for row in h.session_history:
        if (row["session"], row["to_status"], row["number"]) not in told and not waits:
            yield f"session {row['session']} number {row['number']} ({row['to_status']}) was never an event"
    if h.rested and h.leftover:
        yield f"{h.leftover} rows are left in the outbox at rest"


# ---- 2 and 4: what others hear ----------------------------------------------------------------------


def published(h: History) -> Iterator[str]:
    """Each public event at least once under one id and one body; nothing without its row; positions without gaps."""
    public = {str(e["id"]): e for e in h.events if e["public"]}
    bodies: dict[str, bytes] = {}
    for heard in h.external:
        if heard.id not in public and not _is_forgotten(h, heard.at):
            yield f"{heard.type} {heard.id} was on external without a row"
        if bodies.setdefault(heard.id, heard.body) != heard.body:
            yield f"{heard.type} {heard.id} was on external with two bodies"
    if h.rested and not h.refused_by_subscriber:
        for missing in sorted(public.keys() - bodies.keys()):
            yield f"{public[missing]['type']} {missing} (position {public[missing]['position']}) was never published"
    places = sorted(e["position"] for e in h.events)
    if places != list(range(1, len(places) + 1)):
        yield f"{len(places)} events have positions {places[0]} to {places[-1]}"


def _is_forgotten(h: History, at: datetime) -> bool:
    """Whether something happened that a restored database knows nothing of."""
    return any(copied <= at <= restored for copied, restored in h.restored)


def in_order(h: History) -> Iterator[str]:
    """First deliveries of a session's events follow its history; a restored database tells it anew."""
    if h.refused_by_subscriber:
        return
    seen: set[str] = set()
    last: dict[int, int] = {}
    anew = [restored for _, restored in h.restored]
    for heard in h.external:
        while anew and heard.at >= anew[0]:
            anew.pop(0)
            last.clear()
        if heard.id in seen or heard.session is None or heard.sequence is None:
            continue
        seen.add(heard.id)
        if heard.sequence < last.get(heard.session, 0):
            yield f"session {heard.session}: number {heard.sequence} came after {last[heard.session]}"
        last[heard.session] = max(heard.sequence, last.get(heard.session, 0))


# ---- 3 and 9: the inbox -----------------------------------------------------------------------------

EFFECTS = frozenset({"applied", "unchanged", "late", "dead"})


def once(h: History) -> Iterator[str]:
    """No numbered event is applied twice."""
    done = Counter((one.host, one.journal, one.sequence) for one in h.settled if one.outcome in EFFECTS)
    for (host, journal, sequence), count in sorted(done.items()):
        if count > 1:
            yield f"host {host} journal {journal} number {sequence} was settled {count} times"
    rows = [(str(r["event_id"]), r["session"], r["to_status"]) for r in h.session_history if r["event_id"] is not None]
    for (event, session, status), count in Counter(rows).items():
        if count > 1:
            yield f"event {event} made session {session} {status} {count} times"


def kept(h: History) -> Iterator[str]:
    """What an agent saw confirmed is settled or queued, and what is settled had an effect (or a report stood for it)."""
    for witness in h.witnesses:
        for journal, numbers in sorted(witness.confirmed.items()):
            seen = h.journals.get((witness.host, journal), ())
            queued = witness.queued.get(journal, frozenset())
            lost = sorted(n for n in numbers if n not in queued and not within(seen, n))
            if lost:
                yield f"host {witness.host} journal {journal}: confirmed but neither settled nor queued: {lost[:10]}"
        spans = [span for (host, _), seen in h.journals.items() if host == witness.host for span in seen]
        settled = sum(last - first + 1 for first, last in spans)
        if settled < witness.written:
            yield f"host {witness.host} wrote {witness.written} events, of which {settled} are settled"
    yield from _effective(h)


def _effective(h: History) -> Iterator[str]:
    """A report stands for the numbers below it, and for the earlier lives of its host: those had said what they had to before it."""
    effective: set[tuple[int, str, int]] = set()
    reported: dict[tuple[int, str], float] = defaultdict(int)
    lives: dict[int, dict[str, None]] = defaultdict(dict)
    for one in h.settled:
        key = (one.host, one.journal, one.sequence)
        journals = lives[one.host]
        journals.setdefault(one.journal)
        if one.outcome in EFFECTS:
            effective.add(key)
            if one.is_report and one.outcome == "applied":
                reported[key[:2]] = max(reported[key[:2]], one.sequence)
                for earlier in takewhile(lambda journal, own=one.journal: journal != own, journals):
                    reported[one.host, earlier] = inf
        elif key not in effective and one.sequence > reported[key[:2]]:
            effective.add(key)
            yield f"host {one.host} journal {one.journal} number {one.sequence} was taken for a duplicate and lost"


def _brought_back(h: History) -> set[int]:
    """Sessions that a disk from a copy plays of deployments that were deleted or moved away since: strays, listed and never touched."""
    known = {row["id"] for row in h.deployments}
    return {g.session for w in h.witnesses if w.restored for g in w.games if g.deployment not in known}


def letters(h: History) -> Iterator[str]:
    """No sound message is a dead letter: none of a bug, none out of order, none condemned for dying processes."""
    told_anew = h.reordered or h.restored or any(w.cloned for w in h.witnesses)
    blameless = BLAMELESS - OF_ORDER if told_anew else BLAMELESS
    strange = _brought_back(h)
    for row in h.dead_letters:
        if row["reason"] in OF_ORDER and row["session"] in strange:
            continue
        if row["reason"] in blameless:
            yield f"{row['key']} of session {row['session']} is a dead letter: {row['reason']}, {row['detail']}"


OF_ORDER = frozenset({"skipped_state", "unknown_session"})
BLAMELESS = OF_ORDER | frozenset(
    {"bug", "kills_the_process", "takes_too_long", "malformed", "misrouted", "unknown_host"}
)

# ---- 5 and 10: rows ---------------------------------------------------------------------------------


def single(h: History) -> Iterator[str]:
    """One live session a deployment, a port in one hand."""
    for deployment, rows in by([s for s in h.sessions if s["status"] in LIVE], "deployment").items():
        if len(rows) > 1:
            yield f"deployment {deployment} has live sessions {[r['id'] for r in rows]}"
    taken: dict[tuple[Any, ...], int] = {}
    for port in h.ports:
        key = (port["host"], port["port"], port["protocol"])
        if taken.setdefault(key, port["deployment"]) != port["deployment"]:
            yield f"port {key} belongs to deployments {taken[key]} and {port['deployment']}"


def own(h: History) -> Iterator[str]:
    """A host's events change only that host's sessions."""
    host_of = {s["id"]: s["host"] for s in h.sessions}
    writer = {event: w.host for w in h.witnesses for event in w.events}
    for row in h.session_history:
        said = writer.get(str(row["event_id"]))
        if said is not None and row["session"] in host_of and said != host_of[row["session"]]:
            yield f"host {said} moved session {row['session']} of host {host_of[row['session']]}"


def unique(h: History) -> Iterator[str]:
    """No session id is used twice, but by a host whose disk came back from a copy."""
    played: dict[int, int] = {}
    for witness in h.witnesses:
        if witness.restored:
            continue
        for number in witness.reused:
            yield f"session {number} was begun twice on host {witness.host}"
        for game in witness.games:
            if played.setdefault(game.session, witness.host) != witness.host:
                yield f"session {game.session} was begun on hosts {played[game.session]} and {witness.host}"


# ---- 6 and 12: hosts --------------------------------------------------------------------------------


def shown(h: History) -> Iterator[str]:
    """A silent host's sessions are not shown as plainly running."""
    for sample in h.samples:
        yield f"session {sample.session} was plainly running at {sample.at:%H:%M:%S}, host {sample.host} silent for {sample.silent}"


def silent(h: History) -> Iterator[str]:
    """No host is stale that was heard within the threshold, nor one whose silence was not its own."""
    beats: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for host, received, applied in h.beats:
        beats[host].append((received, applied))
    excused: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for witness in h.witnesses:
        excused[witness.host] += witness.excused
    known = {w.host for w in h.witnesses}
    for row in h.host_history:
        if row["to_status"] != "stale":
            continue
        at, host = row["recorded_at"], row["host"]
        if any(at - received < h.threshold and applied <= at for received, applied in beats[host]):
            yield f"host {host} became stale at {at:%H:%M:%S} though it was heard within the threshold"
        since = at - 3 * h.threshold
        if host in known and not any(begin <= at and end >= since for begin, end in excused[host]):
            yield f"host {host} became stale at {at:%H:%M:%S} though its agent beat all the time"


def returned(h: History) -> Iterator[str]:
    """No `online` after a goodbye without a new boot."""
    lives: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
    for witness in h.witnesses:
        lives[witness.host] += witness.lives
    cloned = {w.host for w in h.witnesses if w.cloned}
    for host, rows in by(sorted(h.host_history, key=lambda r: (r["host"], r["number"])), "host").items():
        for before, after in pairwise(rows):
            if (
                before["to_status"] != "offline"
                or after["to_status"] != "online"
                or host not in lives
                or host in cloned
            ):
                continue
            said = [at for w in h.witnesses if w.host == host for at, _ in w.goodbyes if at <= after["recorded_at"]]
            if said and not any(said[-1] <= at <= after["recorded_at"] for at, _ in lives[host]):
                yield f"host {host} was online at {after['recorded_at']:%H:%M:%S} without a new boot after its goodbye"


def left(h: History) -> Iterator[str]:
    """A host leaves by exactly one event and returns by one."""
    away: dict[int, str] = {}
    for event in sorted(h.events, key=lambda e: e["position"]):
        host, word = event.get("host"), event["type"].removeprefix("manman.host.")
        if word not in ("online", "offline", "stale"):
            continue
        if word != "online" and host in away:
            yield f"host {host} left as {word} at position {event['position']}, but it had left as {away[host]}"
        if word == "online":
            away.pop(host, None)
        else:
            away[host] = word


# ---- 7 and 16: rest ---------------------------------------------------------------------------------


def settling(h: History) -> Iterator[str]:
    """Soon after everything is healed, rows say what machines say."""
    listed = {row["session"] for row in h.strays} & _brought_back(h)
    for one in h.unsettled:
        if one.row is None and one.session in listed:
            continue
        yield (
            f"session {one.session} is {one.row or 'absent'} in the rows and {one.machine or 'absent'} on its machine at "
            f"{one.at:%H:%M:%S}, more than {one.after:.0f} s after all was healed"
        )


def agreeing(h: History) -> Iterator[str]:
    """At rest rows, wishes and machines agree; where not, a reason is shown."""
    if not h.rested:
        return
    games = [g for w in h.witnesses for g in w.games if g.ended is None]
    playing: dict[int, list[int]] = defaultdict(list)
    for game in games:
        playing[game.deployment].append(game.session)
    live: dict[int, list[Row]] = by([s for s in h.sessions if s["status"] in LIVE], "deployment")
    for row in h.deployments:
        yield from _rests(row, live.get(row["id"], []), playing.get(row["id"], []))
    strange = _brought_back(h)
    listed = {row["session"] for row in h.strays if h.restored or row["session"] in strange}
    for number in sorted(playing.keys() - {row["id"] for row in h.deployments}):
        # What was deployed since the copy is in no row of a restored database: its game plays on, and is listed.
        if unlisted := [session for session in playing[number] if session not in listed]:
            yield f"deployment {number} is gone, but {unlisted} plays"
    held = {d: wish for w in h.witnesses for d, wish in w.wishes.items()}
    for row in h.deployments:
        wish = held.get(row["id"], ("stopped", 0))
        if (row["desired"], row["desired_version"]) != wish and row["desired_version"]:
            yield f"deployment {row['id']} wishes {row['desired']} {row['desired_version']}, its host holds {wish}"


def _rests(row: Row, live: list[Row], playing: list[int]) -> Iterator[str]:
    number = row["id"]
    if [s["id"] for s in live] != playing:
        yield f"deployment {number}: rows say {[(s['id'], s['status']) for s in live]}, the machine plays {playing}"
    reason = row["gave_up"] if row["gave_up_version"] == row["desired_version"] else None
    if reason and (live or playing):
        yield f"deployment {number} gave up ({reason}), but {[s['id'] for s in live]} lives, {playing} plays"
    if row["desired"] == "stopped" and (live or playing):
        yield f"deployment {number} is wished stopped, but {[s['id'] for s in live]} lives, {playing} plays"
    if row["desired"] == "running" and not playing and not live and not reason and not row["suspended"]:
        yield f"deployment {number} is wished running at {row['desired_version']}, nothing runs and no reason is shown"
    for session in live:
        if session["status"] != "running":
            yield f"session {session['id']} is {session['status']} at rest"
    if row["seen_version"] != row["desired_version"]:
        yield f"deployment {number}: version {row['desired_version']} was never seen, {row['seen_version']} was"


def durable(h: History) -> Iterator[str]:
    """What was answered with 2xx is in the rows, and nobody takes the database for a restored one."""
    epochs = {e["epoch"] for e in h.events}
    if len(epochs) > 1 + len(h.restored):
        yield f"epochs {sorted(epochs)} in a database that was never restored"
    versions = {d["id"]: d["desired_version"] for d in h.deployments}
    sessions = {s["id"] for s in h.sessions}
    for one in h.accepted:
        if one.lost or one.deployment not in versions:
            continue
        if versions[one.deployment] < one.version:
            yield f"{one.verb} of deployment {one.deployment} was accepted as {one.version}, the row has less"
        if one.session is not None and one.session not in sessions:
            yield f"{one.verb} of deployment {one.deployment} promised session {one.session}, which does not exist"


# ---- 11 and 14: games -------------------------------------------------------------------------------


def alone(h: History) -> Iterator[str]:
    """Never two games of a deployment at once, wherever it is moved; two machines with one identity cannot promise it, nor a disk from
    before the move."""
    games: dict[str, list[Played]] = defaultdict(list)
    strange = _brought_back(h)
    for game in [g for w in h.witnesses if not w.cloned for g in w.games if g.session not in strange]:
        games[h.places.get(game.deployment, str(game.deployment))].append(game)
    for name, played in sorted(games.items()):
        for before, after in pairwise(sorted(played, key=lambda g: (g.began, g.session))):
            if before.ended is None or before.ended > after.began:
                yield f"deployment {name} played {before.session} and {after.session} at once"


def ended(h: History) -> Iterator[str]:
    """No fault ends a game: what an agent ended, somebody asked for since it began, by a stop or a restart.

    By its id alone only a game under a used id is ended; a start ends what lives only where a disk came back from a copy.
    """
    orders: dict[int, list[datetime]] = defaultdict(list)
    for one in h.accepted:
        orders[one.deployment].append(one.at)
    for witness in h.witnesses:
        for game in witness.games:
            if game.why != "asked" or game.ended is None or witness.restored:
                continue
            since = game.began - timedelta(seconds=240)
            asked = any(since <= at <= game.ended for at in orders[game.deployment])
            if not asked or game.told in ("end", "start"):
                yield f"session {game.session} was ended ({game.told}) at {game.ended:%H:%M:%S}; nobody had asked for that"


def timely(h: History) -> Iterator[str]:
    """A start takes effect at most once, never after its deadline; one declared `start_timeout` does not come up, under no id."""
    given_up = {row["session"] for row in h.session_history if row["cause"] == "start_deadline"}
    wished = {row["id"]: row["desired_version"] for row in h.deployments}
    for s in h.sessions:
        if s["id"] in given_up and wished.get(s["deployment"], s["begun_version"] + 1) <= s["begun_version"]:
            yield f"session {s['id']} was declared start_timeout, and its wish, version {s['begun_version']}, stands"
    late = {s["id"]: s["ended_at"] for s in h.sessions if s["reason"] == "start_timeout"}
    for witness in h.witnesses:
        for game in witness.games:
            if game.session in late and game.began > late[game.session]:
                yield f"session {game.session} began at {game.began:%H:%M:%S} after it was declared start_timeout"
            deadline = witness.deadlines.get(game.session)
            if deadline is not None and game.began > deadline:
                yield f"session {game.session} began at {game.began:%H:%M:%S}, after its deadline {deadline:%H:%M:%S}"


# ---- 13 and 15 ----------------------------------------------------------------------------------------


def read(h: History) -> Iterator[str]:
    """A reader that comes back with its last id gets every event once, in order, or a reset."""
    ids = {(e["epoch"], e["position"]): str(e["id"]) for e in h.events}
    last = max(ids, default=None)
    by_reader: dict[int, list[Read]] = defaultdict(list)
    for one in h.reads:
        by_reader[one.reader].append(one)
    for reader, told in sorted(by_reader.items()):
        resets = 0
        for before, after in pairwise([None, *told]):
            here = None if before is None else (before.epoch, before.position)
            yield from _read(reader, here, after, ids, bool(h.restored))
            resets += after is not None and after.kind == "reset"
        if resets > len(h.restored):
            yield f"reader {reader} was reset {resets} times, the database was restored {len(h.restored)} times"
        if h.rested and last is not None and (told[-1].epoch, told[-1].position) != last:
            yield f"reader {reader} ended at {told[-1].epoch}-{told[-1].position}, the events at {last[0]}-{last[1]}"


def _read(
    reader: int, here: tuple[int, int] | None, told: Read | None, ids: dict[tuple[int, int], str], restored: bool
) -> Iterator[str]:
    if told is None:
        return
    place = (told.epoch, told.position)
    if told.kind == "hello" and here is not None and place != here:
        yield f"reader {reader} came back with {here} and went on from {place}"
    if told.kind != "event":
        return
    if here is not None and place != (here[0], here[1] + 1):
        yield f"reader {reader} got event {place} after {here}"
    if ids.get(place, told.id if restored else None) != told.id:
        yield f"reader {reader} got {told.id} as {place}, which is {ids.get(place)}"


def running(h: History) -> Iterator[str]:
    """What should run, runs; what was stopped stays stopped."""
    for witness in h.witnesses:
        for since, at, deployment in witness.overdue:
            yield f"deployment {deployment} should play on host {witness.host} since {since:%H:%M:%S}, and did not at {at:%H:%M:%S}"
        for game in witness.games:
            if game.wished == "stopped":
                yield f"session {game.session} began at {game.began:%H:%M:%S}, though its host knew that it was stopped"


def sound(h: History) -> Iterator[str]:
    """No loop met an error that is not weather."""
    yield from h.failures


RULES: list[tuple[str, Callable[[History], Iterator[str]]]] = [
    ("1", numbered),
    ("1", announced),
    ("2", published),
    ("3", once),
    ("4", in_order),
    ("5", single),
    ("5", unique),
    ("6", shown),
    ("7", settling),
    ("7 and 16", agreeing),
    ("8", durable),
    ("9", kept),
    ("9", letters),
    ("10", own),
    ("11", alone),
    ("11", ended),
    ("12", silent),
    ("12", returned),
    ("12", left),
    ("13", read),
    ("14", timely),
    ("15", running),
    ("0", sound),
]

__all__ = [
    "FINAL",
    "Accepted",
    "Heard",
    "History",
    "Played",
    "Read",
    "Sample",
    "Settled",
    "Unsettled",
    "Witness",
    "check",
]
