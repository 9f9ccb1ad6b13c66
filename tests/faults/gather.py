"""From a run's tables, files and logs to the history that the checker judges."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.checker import Heard, History, Settled, Witness
from harness.real_agent import file_of, load
from harness.sim_gather import TABLES, witness

from manman.events import topics

if TYPE_CHECKING:
    from faults.house import House


async def gather(house: "House") -> History:
    """Read everything."""
    raw = house.monitor
    assert raw is not None and house.operator is not None
    # Before the rows are read: whoever goes on writing has then not written more than they can hold.
    counts = {host: (real.written(), real.waiting()) for host, real in house.real.items()}
    written = {host: count if waiting == 0 else 0 for host, (count, waiting) in counts.items()}
    tables: dict[str, Any] = {name: [dict(row) for row in await raw.fetch(query)] for name, query in TABLES.items()}
    journals = await raw.fetch("SELECT host, journal, seen FROM host_journals ORDER BY host, journal")
    settled = await raw.fetch("SELECT host, journal, sequence, outcome, key FROM fault_settled ORDER BY id")
    beats = await raw.fetch("SELECT host, received, applied FROM fault_beats ORDER BY applied")
    return History(
        **tables,
        journals={(j["host"], j["journal"]): tuple((r.lower, r.upper - 1) for r in j["seen"]) for j in journals},
        external=recorded(house.folder / "recorded"),
        witnesses=[*(witness_of(house, host) for host in house.hosts), *real_witnesses(house, written)],
        accepted=[replace(one, lost=_is_lost(house, one.at)) for one in house.operator.accepted],
        restored=list(house.restored),
        settled=[
            Settled(
                host=one["host"],
                journal=one["journal"],
                sequence=one["sequence"],
                outcome=one["outcome"],
                is_report=one["key"].startswith("status.host.report"),
            )
            for one in settled
        ],
        beats=[(one["host"], one["received"], one["applied"]) for one in beats],
        samples=list(house.samples),
        failures=[*house.failures, *house.operator.broken, *errors(house.folder)],
        reordered=house.reordered,
        places=dict(house.places),
        leftover=await raw.fetchval("SELECT count(*) FROM outbox"),
    )


def witness_of(house: "House", host: int) -> Witness:
    """What the machine's file says, and when the director of the run let nobody hear it."""
    machine = load(file_of(house.folder, host))
    machine.excused = house.excused.get(host, [])
    if house.restored:
        machine.confirmed.clear()  # nothing that was confirmed before can be asked of it
    shim: Any = SimpleNamespace(time=house.time)
    return witness(shim, machine)


def _is_lost(house: "House", at: datetime) -> bool:
    return any(copied <= at <= back for copied, back in house.restored)


def real_witnesses(house: "House", written: dict[int, int]) -> list[Witness]:
    """Of hosts with the product's own agent. Such a one deletes what was confirmed: what it had `written` while nothing waited was."""
    moment = house.time.moment
    excused = {host: tuple((moment(a), moment(b)) for a, b in house.excused.get(host, [])) for host in house.real}
    return [replace(real.witness(excused[host]), written=written[host]) for host, real in house.real.items()]


def recorded(path: Path) -> list[Heard]:
    """What the recorder wrote of `external`; a line that a kill cut off comes again."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said["exchange"] == topics.EXTERNAL:
            found.append(heard(said))
    return found


def heard(said: dict[str, Any]) -> Heard:
    sequence = said["headers"].get("cloudEvents:sequence")
    subject = str(said["headers"].get("cloudEvents:subject") or "")
    return Heard(
        at=datetime.fromtimestamp(said["at"], UTC),
        id=said["id"] or "",
        type=said["key"],
        sequence=int(sequence) if sequence is not None else None,
        session=int(subject.rpartition("/")[2]) if "session" in subject else None,
        body=base64.b64decode(said["body"]),
    )


def errors(folder: Path) -> list[str]:
    """What processes logged as an error, and tracebacks of those that broke: no fault may cause any."""
    found = []
    for log in sorted(folder.glob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith(("Traceback", "host ")):
                found.append(f"{log.stem} broke: {line}")
            elif '"level":"error"' in line.replace(" ", ""):
                found.append(f"{log.stem} said: {line[:400]}")
    return found
