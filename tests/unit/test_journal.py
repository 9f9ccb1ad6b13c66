"""The journal: what was confirmed survives `kill -9` at any instant, numbers are never reused, nothing is half there."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.events import codec, contracts, envelope
from manman.host.deployments import HeldDeployment
from manman.host.journal import DiskFull, Journal

HOST = HostId(3)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def a_journal(place: Path, **more: object) -> Journal:
    return Journal(place / "journal.db", HOST, chance=os.urandom, **more)  # type: ignore[arg-type]


def say(journal: Journal, session: int = 1) -> int:
    body = contracts.SessionStatus(session_id=SessionId(session))
    return journal.say(f"status.session.running.{HOST}", body, NOW)


def read(journal: Journal) -> list[codec.Message]:
    return [codec.decode(e.message.key, e.message.headers, e.message.body) for e in journal.unsent(10_000)]


def numbers(journal: Journal) -> list[tuple[str | None, int | None]]:
    return [(m.attributes.journal_id, m.attributes.sequence) for m in read(journal) if m.attributes]


def test_events_are_numbered_from_one_and_leave_in_order(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    assert [say(journal) for _ in range(3)] == [1, 2, 3]
    assert numbers(journal) == [(journal.journal_id, n) for n in (1, 2, 3)]
    entries = journal.unsent(10)
    journal.confirmed(entries[1].n)
    assert numbers(journal) == [(journal.journal_id, 3)]
    message = read(journal)[0]
    assert message.host_id == HOST and message.attributes is not None and message.attributes.time == NOW


def test_the_next_life_is_another_journal_and_sends_the_older_entries_first(tmp_path: Path) -> None:
    first = a_journal(tmp_path)
    say(first)
    say(first)
    first.close()
    second = a_journal(tmp_path)
    assert second.boot == first.boot + 1 and second.journal_id != first.journal_id
    assert say(second) == 1
    assert numbers(second) == [(first.journal_id, 1), (first.journal_id, 2), (second.journal_id, 1)]


def test_the_first_of_a_journal_says_which_was_the_last_before_it_though_that_is_confirmed(tmp_path: Path) -> None:
    first = a_journal(tmp_path)
    say(first)
    say(first)
    first.confirmed(first.unsent(10)[-1].n)
    first.close()
    a_journal(tmp_path).close()  # a life that says nothing
    third = a_journal(tmp_path)
    say(third)
    say(third)
    assert [m.attributes.after for m in read(third) if m.attributes] == [(first.journal_id, 2), None]


def test_what_another_host_said_on_this_disk_is_not_named(tmp_path: Path) -> None:
    first = a_journal(tmp_path)
    say(first)
    first.close()
    other = Journal(tmp_path / "journal.db", HostId(4), chance=os.urandom)
    say(other)
    said = [envelope.from_headers(entry.message.headers) for entry in other.unsent(10)]
    assert [(one.host_id, one.after) for one in said if one] == [(3, None), (4, None)]


def test_what_could_not_be_written_is_not_what_was_said_last(tmp_path: Path) -> None:
    first = a_journal(tmp_path)
    say(first)
    with pytest.raises(ZeroDivisionError), first.write():
        say(first)
        raise ZeroDivisionError
    first.close()
    second = a_journal(tmp_path)
    say(second)
    assert [m.attributes.after for m in read(second) if m.attributes] == [None, (first.journal_id, 1)]


def test_a_command_is_taken_once_and_stays_until_it_is_settled(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    command = contracts.Command(command_id="c1", session_id=SessionId(4), line="say hi")
    assert journal.take("input", command, taken=1.0, machine="m")
    assert not journal.take("input", command, taken=2.0, machine="m")
    journal.close()
    journal = a_journal(tmp_path)
    assert [(t.verb, t.command, t.taken, t.machine) for t in journal.untried()] == [("input", command, 1.0, "m")]
    journal.settle("c1")
    assert journal.untried() == []
    assert not journal.take("input", command, taken=3.0, machine="m")


def test_a_block_that_raises_leaves_disk_and_numbers_as_they_were(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    say(journal)
    called: list[str] = []
    with pytest.raises(RuntimeError), journal.write():
        say(journal)
        journal.keep_deployment(5, HeldDeployment(deployment_id=DeploymentId(5)))
        journal.when_written(lambda: called.append("written"))
        journal.or_else(lambda: called.append("undone"))
        raise RuntimeError
    assert called == ["undone"]
    assert journal.sequence == 1 and len(read(journal)) == 1 and journal.deployments(HeldDeployment) == []
    assert say(journal) == 2


def test_a_known_boot_above_its_own_is_jumped_over(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    journal.jump_above(40)
    assert journal.boot == 41
    journal.close()
    assert a_journal(tmp_path).boot == 42


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    a_journal(tmp_path)
    assert (tmp_path / "journal.db").stat().st_mode & 0o077 == 0


def test_a_full_disk_is_said_and_the_ballast_makes_room(tmp_path: Path) -> None:
    asked: list[bool] = []
    journal = a_journal(tmp_path, room=lambda: asked.append(True))
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFull):
        for _ in range(100):
            say(journal)
    assert asked
    kept = len(read(journal))
    assert journal.sequence == kept
    journal._db.execute("PRAGMA max_page_count = 100000")
    assert say(journal) == kept + 1


WRITER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from manman.domain.ids import HostId, SessionId
from manman.events import contracts
from manman.host.journal import Journal
journal = Journal(Path(sys.argv[1]), HostId(3), chance=os.urandom)
n = 0
while True:
    n += 1
    with journal.write():
        journal.say("status.session.running.3", contracts.SessionStatus(session_id=SessionId(n)), datetime.now(UTC))
        journal.say("status.session.stopping.3", contracts.SessionStatus(session_id=SessionId(n)), datetime.now(UTC))
        journal.take("stop", contracts.Command(command_id=f"{journal.boot}-{n}"), taken=0.0, machine="m")
    print(n, flush=True)
"""


def test_kill_9_at_any_instant_loses_nothing_that_was_written_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = tmp_path / "journal.db"
    written = 0
    for life in range(1, 5):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        last = 0
        for _ in range(chance.randrange(1, 60)):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        last = max([last, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
        writer.wait()
        writer.stdout.close()
        journal = Journal(path, HOST, chance=os.urandom)
        said = numbers(journal)
        mine = [n for j, n in said if j == said[-1][0]]
        assert mine == list(range(1, len(mine) + 1)), f"life {life}"
        assert len(mine) % 2 == 0 and len(mine) // 2 in (last, last + 1)
        assert len(journal.untried()) * 2 == len(said)
        assert len(said) == written + len(mine)
        written = len(said)
        journal.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def test_what_is_held_is_read_back_as_it_was(tmp_path: Path) -> None:
    journal = a_journal(tmp_path)
    held = HeldDeployment(deployment_id=DeploymentId(5), desired="running", desired_version=2**40, restarts=[NOW])
    journal.keep_deployment(5, held)
    journal.keep_fact("lease", [[1, 2]])
    journal.close()
    journal = a_journal(tmp_path)
    assert journal.deployments(HeldDeployment) == [held]
    assert journal.fact("lease") == [[1, 2]] and journal.fact("nothing") is None
    assert msgspec.json.decode(msgspec.json.encode(held), type=HeldDeployment) == held
