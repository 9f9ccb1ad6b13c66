"""The journal: what this agent took and what it has to say, on disk before anything is acknowledged or sent.

SQLite in WAL mode, every commit synced, so `kill -9` and a power cut lose nothing that was confirmed. Each opening is
a new journal: `boot` is the last one + 1 and `journal_id` random, so a restored disk or a clone never reuses a number;
unsent entries of older journals keep theirs and go first, and the first of a journal says which was the last before it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from manman.domain.ids import HostId, uuid7
from manman.errors import Transient
from manman.events import codec, contracts, envelope, topics
from manman.events.bus import Outgoing
from manman.events.envelope import Header

Chance = Callable[[int], bytes]
S = TypeVar("S", bound=msgspec.Struct)
KEEP_COMMANDS = 10_000
LAST_SAID = "last_said"  # the fact: which host, of which journal, which number

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
  n INTEGER PRIMARY KEY AUTOINCREMENT, journal_id TEXT NOT NULL, sequence INTEGER NOT NULL, event_id TEXT NOT NULL,
  key TEXT NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (journal_id, sequence));
CREATE TABLE IF NOT EXISTS commands (
  n INTEGER PRIMARY KEY AUTOINCREMENT, command_id TEXT NOT NULL UNIQUE, verb TEXT NOT NULL, body BLOB,
  taken REAL NOT NULL, machine TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS commands_waiting ON commands (n) WHERE body IS NOT NULL;
CREATE TABLE IF NOT EXISTS deployments (id INTEGER PRIMARY KEY, held BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY, held BLOB NOT NULL);
"""


class DiskFull(Transient):
    """The journal could not be written for want of space; the ballast was given up, so that a repetition may succeed."""

    code = "disk_full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event that waits for its confirm; `n` orders the entries of all journals."""

    n: int
    message: Outgoing


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A command that was acknowledged and not yet applied. `taken` is the machine's monotonic clock in seconds, and
    means something only while `machine` is the boot that the machine is in."""

    verb: str
    command: contracts.Command
    taken: float
    machine: str


class Journal:
    """One life of the agent on this disk. Every method that writes returns after the sync, or, within `write()`,
    when that block ends; writes in a block that raises never happened.

    `room` is called when the disk is full and may make some (the ballast); whoever wrote repeats it.
    """

    def __init__(
        self, path: Path, host_id: HostId, *, chance: Chance, room: Callable[[], object] = lambda: None
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self.host_id = host_id
        self._chance, self._room = chance, room
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._depth = 0
        self._committed: list[Callable[[], None]] = []
        self._undo: list[Callable[[], None]] = []
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._full():
            self._db.executescript(_TABLES)
        self.journal_id = chance(8).hex()
        self.sequence = 0
        said = self.fact(LAST_SAID)
        # Not what another host said whose disk this was.
        self._after: tuple[str, int] | None = (said[1], said[2]) if said and said[0] == host_id else None
        with self.write():
            self.boot = int(self.fact("boot") or 0) + 1
            self.keep_fact("boot", self.boot)

    def close(self) -> None:
        """Closes the file; harmless twice."""
        self._db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction, synced when the outermost block ends. Raises `DiskFull`."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        said = self.sequence
        with self._full():
            self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
            with self._full():
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self.sequence = said
            self._committed.clear()
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._depth = 0
            self._undo.clear()
        calls, self._committed = self._committed, []
        for call in calls:
            call()

    def when_written(self, call: Callable[[], None]) -> None:
        """Calls back when what is being written is on disk; at once outside of a block."""
        if self._depth:
            self._committed.append(call)
        else:
            call()

    def or_else(self, undo: Callable[[], None]) -> None:
        """Calls back when what is being written fails, so that memory is as the disk; within a block only."""
        if self._depth:
            self._undo.append(undo)

    @contextmanager
    def _full(self) -> Iterator[None]:
        """A full disk takes the whole transaction back, so the write cannot go on; room is made for its repetition."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" not in str(error) and "disk I/O" not in str(error):
                raise
            self._room()
            raise DiskFull(f"the journal of host {self.host_id} cannot be written: {error}") from error

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        with self._full():
            return self._db.execute(statement, values)

    # ---- facts --------------------------------------------------------------------------------------

    def fact(self, name: str) -> Any:
        """A value kept under a name, None when there is none."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def keep_fact(self, name: str, value: Any) -> None:
        """Keeps a JSON value under a name."""
        with self.write():
            self._do("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, msgspec.json.encode(value))

    def jump_above(self, boot: int) -> None:
        """Makes `boot` of this life one above a boot that the control plane says, where its own is lower (the disk was restored)."""
        if boot > self.boot:
            self.keep_fact("boot", boot + 1)
            self.boot = boot + 1

    # ---- what this host has to say ------------------------------------------------------------------

    def say(self, key: str, body: contracts.AnyBody, at: datetime) -> int:
        """Writes one event, numbered; `at` is this host's time of it. The answer is its sequence."""
        number = self.sequence + 1
        parsed = topics.parse(key)
        event_id = str(uuid7(at, self._chance))
        subject = _subject(body)
        attributes = envelope.attributes(
            id=event_id,
            source=envelope.journal_source(self.host_id, self.journal_id),
            type=parsed.type,
            subject=subject,
            time=at,
            sequence=number,
            after=self._after if number == 1 else None,
        )
        message = codec.Message(key=parsed, body=body, attributes=attributes, host_id=self.host_id)
        text, headers, payload = codec.encode(message)
        with self.write():
            self._do(
                "INSERT INTO events (journal_id, sequence, event_id, key, headers, body) VALUES (?, ?, ?, ?, ?, ?)",
                self.journal_id,
                number,
                event_id,
                text,
                msgspec.json.encode(headers),
                payload,
            )
            self.keep_fact(LAST_SAID, (self.host_id, self.journal_id, number))
            self.sequence = number
        return number

    def unsent(self, most: int) -> list[Entry]:
        """The oldest entries that were not confirmed, in the order in which they must be sent."""
        rows = self._db.execute(
            "SELECT n, key, headers, body, event_id FROM events ORDER BY n LIMIT ?", (most,)
        ).fetchall()
        return [
            Entry(
                n=n,
                message=Outgoing(
                    exchange=topics.INTERNAL,
                    key=key,
                    body=body,
                    headers=msgspec.json.decode(headers, type=dict[str, Header]),
                    message_id=event_id,
                    mandatory=True,
                ),
            )
            for n, key, headers, body, event_id in rows
        ]

    def confirmed(self, up_to: int) -> None:
        """Forgets the entries up to and with this one: the broker has them."""
        with self.write():
            self._do("DELETE FROM events WHERE n <= ?", up_to)

    def waiting_count(self) -> int:
        """How many entries were not confirmed."""
        return int(self._db.execute("SELECT count(*) FROM events").fetchone()[0])

    # ---- what this host was told --------------------------------------------------------------------

    def take(self, verb: str, command: contracts.Command, *, taken: float, machine: str) -> bool:
        """Writes a command down; False when it was taken before."""
        with self.write():
            done = self._do(
                "INSERT OR IGNORE INTO commands (command_id, verb, body, taken, machine) VALUES (?, ?, ?, ?, ?)",
                command.command_id,
                verb,
                msgspec.json.encode(command),
                taken,
                machine,
            )
            return done.rowcount == 1

    def untried(self) -> list[Taken]:
        """The commands that were taken and not settled, in the order in which they came."""
        rows = self._db.execute(
            "SELECT verb, body, taken, machine FROM commands WHERE body IS NOT NULL ORDER BY n"
        ).fetchall()
        decode = msgspec.json.Decoder(contracts.Command).decode
        return [
            Taken(verb=verb, command=decode(body), taken=taken, machine=machine) for verb, body, taken, machine in rows
        ]

    def settle(self, command_id: str) -> None:
        """The command has had its effect: its body goes, its id is remembered."""
        with self.write():
            self._do("UPDATE commands SET body = NULL WHERE command_id = ?", command_id)
            self._do("DELETE FROM commands WHERE n <= (SELECT max(n) FROM commands) - ?", KEEP_COMMANDS)

    # ---- what it holds, a document a noun -----------------------------------------------------------

    def keep_deployment(self, number: int, held: msgspec.Struct) -> None:
        """Writes what is held of a deployment."""
        with self.write():
            self._do("INSERT OR REPLACE INTO deployments VALUES (?, ?)", number, msgspec.json.encode(held))

    def keep_session(self, number: int, held: msgspec.Struct) -> None:
        """Writes what is held of a session."""
        with self.write():
            self._do("INSERT OR REPLACE INTO sessions VALUES (?, ?)", number, msgspec.json.encode(held))

    def forget_deployment(self, number: int) -> None:
        """Removes what is held of a deployment."""
        with self.write():
            self._do("DELETE FROM deployments WHERE id = ?", number)

    def forget_session(self, number: int) -> None:
        """Removes what is held of a session."""
        with self.write():
            self._do("DELETE FROM sessions WHERE id = ?", number)

    def deployments(self, kind: type[S]) -> list[S]:
        """Every deployment that is held, by id."""
        rows = self._db.execute("SELECT held FROM deployments ORDER BY id").fetchall()
        return [msgspec.json.decode(row[0], type=kind) for row in rows]

    def sessions(self, kind: type[S]) -> list[S]:
        """Every session that is held, by id."""
        rows = self._db.execute("SELECT held FROM sessions ORDER BY id").fetchall()
        return [msgspec.json.decode(row[0], type=kind) for row in rows]


def _subject(body: contracts.AnyBody) -> str | None:
    for name, noun in (("session_id", "sessions"), ("deployment_id", "deployments"), ("host_id", "hosts")):
        number = getattr(body, name, None)
        if number is not None:
            return f"{noun}/{number}"
    return None
