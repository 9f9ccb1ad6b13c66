"""The checker sees each thing that must not be: one broken history for each rule, and a sound one that passes."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from harness.checker import Accepted, Heard, History, Played, Read, Sample, Settled, Unsettled, Witness, check

T = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ["pending", "starting", "running"]


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def a_session(**changed: Any) -> dict[str, Any]:
    row = {
        "id": 7,
        "host": 1,
        "deployment": 5,
        "status": "running",
        "history_number": 3,
        "reason": None,
        "ended_at": None,
    }
    return row | changed


def a_step(number: int, before: str | None, after: str, **changed: Any) -> dict[str, Any]:
    row = {"session": 7, "number": number, "from_status": before, "to_status": after, "at": at(number)}
    return row | {"recorded_at": at(number), "cause": "host", "event_id": f"event-{number}"} | changed


def an_event(position: int, word: str, number: int, **changed: Any) -> dict[str, Any]:
    row = {"epoch": 1, "position": position, "id": f"out-{position}", "type": f"manman.session.{word}", "session": 7}
    return row | {"sequence": number, "public": word == "running", "exchange": "external"} | changed


def heard(position: int, number: int, **changed: Any) -> Heard:
    said = {"at": at(position), "id": f"out-{position}", "type": "manman.session.running", "sequence": number}
    return Heard(**(said | {"session": 7, "body": b"{}"} | changed))


def a_read(kind: str, position: int, **changed: Any) -> Read:
    said = {"reader": 0, "kind": kind, "epoch": 1, "position": position}
    return Read(**(said | {"id": f"out-{position}" if kind == "event" else None} | changed))


def a_deployment(**changed: Any) -> dict[str, Any]:
    row = {"id": 5, "host": 1, "desired": "running", "desired_version": 4, "seen_version": 4, "suspended": False}
    return row | {"gave_up": None, "gave_up_version": None} | changed


def a_game(**changed: Any) -> Played:
    return Played(**({"host": 1, "session": 7, "deployment": 5, "began": at(2)} | changed))


def a_witness(**changed: Any) -> Witness:
    said: dict[str, Any] = {"host": 1, "confirmed": {"j": frozenset({1, 2, 3})}, "games": (a_game(),)}
    said |= {"events": frozenset({"event-1", "event-2", "event-3"}), "wishes": {5: ("running", 4)}, "lives": ((T, 1),)}
    return Witness(**(said | changed))


def a_history(**changed: Any) -> History:
    """A session that was started, runs, and is said to."""
    sound: dict[str, Any] = {
        "sessions": [a_session()],
        "session_history": [a_step(n, ([None, *WORDS])[n - 1], WORDS[n - 1]) for n in (1, 2, 3)],
        "events": [an_event(n, WORDS[n - 1], n) for n in (1, 2, 3)],
        "external": [heard(3, 3)],
        "deployments": [a_deployment()],
        "journals": {(1, "j"): ((1, 3),)},
        "settled": [Settled(host=1, journal="j", sequence=n, outcome="applied") for n in (1, 2, 3)],
        "witnesses": [a_witness()],
        "accepted": [Accepted(at=at(0), verb="start", deployment=5, version=4, session=7)],
        "reads": [a_read("hello", 0), a_read("event", 1), a_read("event", 2), a_read("hello", 2), a_read("event", 3)],
    }
    return History(**(sound | changed))


def test_a_sound_history_passes() -> None:
    assert check(a_history()) == []


MISSED = a_step(1, None, "pending", cause="start_deadline")
DUPLICATE = Settled(host=1, journal="j", sequence=4, outcome="duplicate")
STOPPED = a_deployment(desired="stopped", desired_version=4)
STALE = {
    "host": 1,
    "number": 2,
    "from_status": "online",
    "to_status": "stale",
    "recorded_at": at(100),
    "cause": "silent",
}
GOODBYE = [
    {**STALE, "number": 1, "to_status": "offline", "recorded_at": at(50)},
    {**STALE, "number": 2, "from_status": "offline", "to_status": "online", "recorded_at": at(60)},
]
LEFT_TWICE = [
    {
        "epoch": 1,
        "id": "out-4",
        "position": 4,
        "type": "manman.host.stale",
        "host": 1,
        "session": None,
        "sequence": 1,
        "public": False,
    },
    {
        "epoch": 1,
        "id": "out-5",
        "position": 5,
        "type": "manman.host.offline",
        "host": 1,
        "session": None,
        "sequence": 2,
        "public": False,
    },
]
APART = Unsettled(at=T, session=7, row="running", machine=None, after=15)
MOVED = {"witnesses": [a_witness(games=(a_game(), a_game(session=8, deployment=6)))], "places": {5: "a", 6: "a"}}
TWICE = [a_read("hello", 1), a_read("event", 2), a_read("hello", 2), a_read("event", 2), a_read("event", 3)]
BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("1", "has history numbers [1, 3]", {"session_history": [a_step(1, None, "pending"), a_step(3, "pending", "starting")]}),
    ("1", "which is no edge", {"session_history": [a_step(1, None, "pending"), a_step(2, "pending", "running")]}),
    ("1", "leaves running", {"session_history": [a_step(1, None, "pending"), a_step(2, "running", "crashed")]}),
    ("1", "its history ends running at 3", {"sessions": [a_session(status="stopping", history_number=4)]}),
    ("1", "has no history", {"session_history": []}),
    ("1", "recorded before", {"session_history": [a_step(1, None, "pending", at=at(3600))]}),
    ("1", "was never an event", {"events": [an_event(1, "pending", 1), an_event(2, "starting", 2)]}),
    ("1", "left in the outbox", {"leftover": 2}),
    ("2", "without a row", {"external": [heard(3, 3), heard(9, 4)]}),
    ("2", "with two bodies", {"external": [heard(3, 3), heard(3, 3, body=b"[]")]}),
    ("2", "was never published", {"external": []}),
    ("2", "positions 1 to 4", {"events": [an_event(n, WORDS[n - 1], n) for n in (1, 2)] + [an_event(4, "running", 3)]}),
    ("3", "was settled 2 times", {"settled": [Settled(host=1, journal="j", sequence=1, outcome="late")] * 2}),
    ("3", "running 2 times", {"session_history": [a_step(3, "starting", "running"), a_step(4, "starting", "running", event_id="event-3")]}),
    ("4", "number 2 came after 3", {"external": [heard(3, 3), heard(2, 2)]}),
    ("5", "has live sessions [7, 8]", {"sessions": [a_session(), a_session(id=8)]}),
    ("5", "was begun twice on host 1", {"witnesses": [a_witness(reused=(7,))]}),
    ("5", "was begun on hosts 1 and 2", {"witnesses": [a_witness(), a_witness(host=2, wishes={}, events=frozenset())]}),
    ("5", "belongs to deployments", {"ports": [{"host": 1, "port": 9, "protocol": "udp", "deployment": d} for d in (5, 6)]}),
    ("6", "was plainly running", {"samples": [Sample(at=T, session=7, host=1, silent=timedelta(seconds=20))]}),
    ("7", "is running in the rows and absent on its machine", {"unsettled": [APART]}),
    ("7 and 16", "is gone, but [7] plays", {"deployments": []}),
    ("7 and 16", "the machine plays []", {"witnesses": [a_witness(games=())]}),
    ("7 and 16", "is wished stopped, but", {"deployments": [STOPPED]}),
    ("7 and 16", "gave up (limit), but [7] lives", {"deployments": [a_deployment(gave_up="limit", gave_up_version=4)]}),
    ("7 and 16", "nothing runs and no reason", {"sessions": [], "session_history": [], "witnesses": [a_witness(games=())]}),
    ("7 and 16", "was never seen", {"deployments": [a_deployment(seen_version=3)]}),
    ("7 and 16", "its host holds", {"deployments": [a_deployment(desired_version=5, seen_version=5)]}),
    ("7 and 16", "is stopping at rest", {"sessions": [a_session(status="stopping")]}),
    ("8", "the row has less", {"accepted": [Accepted(at=T, verb="stop", deployment=5, version=9, session=7)]}),
    ("8", "which does not exist", {"accepted": [Accepted(at=T, verb="start", deployment=5, version=4, session=99)]}),
    ("9", "neither settled nor queued: [2]", {"journals": {(1, "j"): ((1, 1), (3, 3))}}),
    ("9", "wrote 4 events, of which 3 are settled", {"witnesses": [a_witness(written=4)]}),
    ("9", "taken for a duplicate", {"settled": [DUPLICATE]}),
    ("9", "is a dead letter: bug", {"dead_letters": [{"key": "status", "session": 7, "reason": "bug", "detail": "it failed"}]}),
    ("9", "is a dead letter: skipped", {"dead_letters": [{"key": "s", "session": 7, "reason": "skipped_state", "detail": ""}]}),
    ("10", "host 2 moved session 7", {"witnesses": [a_witness(), a_witness(host=2, games=(), confirmed={}, wishes={})]}),
    ("11", "at once", {"witnesses": [a_witness(games=(a_game(), a_game(session=8, began=at(3))))]}),
    ("11", "nobody had asked", {"witnesses": [a_witness(games=(a_game(began=at(900), ended=at(990), why="asked"),))]}),
    ("12", "heard within the threshold", {"host_history": [STALE], "beats": [(1, at(95), at(96))]}),
    ("12", "beat all the time", {"host_history": [STALE]}),
    ("12", "without a new boot", {"host_history": GOODBYE, "witnesses": [a_witness(goodbyes=((at(49), 1),))]}),
    ("12", "it had left as stale", {"events": [an_event(n, WORDS[n - 1], n) for n in (1, 2, 3)] + LEFT_TWICE}),
    ("11", "played 7 and 8 at once", MOVED),
    ("13", "got event (1, 3) after (1, 1)", {"reads": [a_read("hello", 0), a_read("event", 1), a_read("event", 3)]}),
    ("13", "got event (1, 2) after (1, 2)", {"reads": TWICE}),
    ("13", "went on from (1, 3)", {"reads": [a_read("hello", 1), a_read("event", 2), a_read("hello", 3)]}),
    ("13", "got other as (1, 3)", {"reads": [a_read("hello", 2), a_read("event", 3, id="other")]}),
    ("13", "ended at 1-2, the events at 1-3", {"reads": [a_read("hello", 1), a_read("event", 2)]}),
    ("13", "was reset 1 times", {"reads": [a_read("hello", 1), a_read("reset", 3)]}),
    ("15", "should play on host 1", {"witnesses": [a_witness(overdue=((at(3), at(30), 5),))]}),
    ("15", "knew that it was stopped", {"witnesses": [a_witness(games=(a_game(wished="stopped"),))]}),
    ("14", "after it was declared", {"sessions": [a_session(reason="start_timeout", ended_at=at(1))]}),
    ("14", "version 4, stands", {"sessions": [a_session(begun_version=4)], "session_history": [MISSED]}),
    ("14", "after its deadline", {"witnesses": [a_witness(deadlines={7: at(1)})]}),
    ("0", "KeyError", {"failures": ["replica-1: KeyError: 7"]}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "sentence", "changed"), BROKEN, ids=[f"{b[0]} {b[1]}" for b in BROKEN])
def test_what_must_not_be_is_said(rule: str, sentence: str, changed: dict[str, Any]) -> None:
    said = check(a_history(**changed))
    assert any(one.startswith(f"{rule}: ") and sentence in one for one in said), said


def test_what_a_restored_database_forgot_is_not_asked_of_it() -> None:
    lost = Accepted(at=at(5), verb="start", deployment=5, version=9, session=99, lost=True)
    forgotten = {"restored": [(at(3), at(9))], "accepted": [lost], "external": [heard(3, 3), heard(7, 6)]}
    assert check(a_history(**forgotten)) == []
    anew = [a_read("hello", 5, epoch=0), a_read("reset", 2), a_read("event", 3)]
    assert check(a_history(**forgotten, reads=anew)) == []


def test_two_machines_with_one_identity_cannot_promise_one_game() -> None:
    twin = a_witness(wishes={}, cloned=True, restored=True, games=(a_game(session=8, ended=at(9), why="reboot"),))
    assert check(a_history(witnesses=[a_witness(cloned=True, restored=True), twin])) == []


def test_a_deployment_that_an_old_disk_brings_back_is_a_stray_and_must_be_listed() -> None:
    back = a_witness(
        restored=True, wishes={5: ("running", 4)}, games=(a_game(), a_game(session=9, deployment=6, began=at(4)))
    )
    letter = {"key": "s", "session": 9, "reason": "unknown_session", "detail": "there is no session 9"}
    apart = Unsettled(at=at(60), session=9, row=None, machine="running", after=15.0)
    told: dict[str, Any] = {"witnesses": [back], "dead_letters": [letter], "unsettled": [apart]}
    told |= {"places": {5: "arena", 6: "arena"}}
    stray = {"host": 1, "session": 9, "deployment": 6, "why": "its deployment is not this host's"}
    assert check(a_history(**told, strays=[stray])) == []
    said = check(a_history(**told))
    assert [one.partition(":")[0] for one in said] == ["7", "7 and 16"], said


def test_a_late_number_under_an_applied_report_is_no_loss() -> None:
    report = Settled(host=1, journal="j", sequence=6, outcome="applied", is_report=True)
    assert check(a_history(settled=[report, DUPLICATE])) == []


def test_a_late_number_of_a_life_before_the_one_that_reported_is_no_loss() -> None:
    before = Settled(host=1, journal="j", sequence=1, outcome="applied")
    report = Settled(host=1, journal="k", sequence=2, outcome="applied", is_report=True)
    assert check(a_history(settled=[before, report, DUPLICATE])) == []
    after = Settled(host=1, journal="l", sequence=3, outcome="duplicate")
    assert [said[0] for said in check(a_history(settled=[before, report, after]))] == ["9"]


def test_a_stale_host_is_excused_by_a_fault_of_its_own() -> None:
    excused = a_witness(excused=((at(85), at(95)),))
    assert check(a_history(host_history=[STALE], witnesses=[excused])) == []


def test_a_run_that_did_not_rest_is_not_asked_to_agree() -> None:
    assert check(a_history(rested=False, witnesses=[a_witness(games=())], external=[])) == []


def test_a_copy_of_an_event_may_come_late() -> None:
    assert check(a_history(external=[heard(3, 3), heard(3, 3)])) == []
    assert dataclasses.replace(a_history(), external=[heard(3, 3)]) == a_history()
