"""Hosts with the product's own agent beside the simulated ones: `manman host` over proxies, real wrappers, the demo game.

They have joined already: broker users are the broker's business, and here all are one. What an agent knows lies in its journal, what
became of its games in their spools; both are read from outside.
"""

import contextlib
import os
import signal
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
from harness.checker import Played, Witness
from harness.processes import free_port, mentioning

from manman.api.callers import Kind, hashed, make
from manman.domain.ids import HostId
from manman.events import topology
from manman.host.deployments import HeldDeployment
from manman.host.join import IDENTITY, Identity
from manman.host.sessions import HeldSession
from manman.wrapper import launch, spool_reader
from manman.wrapper.spool import EXIT, STATE

if TYPE_CHECKING:
    from faults.house import House

JOIN = "INSERT INTO host_keys (host, hash, created_at) VALUES ($1, $2, clock())"


@dataclass(eq=False)
class RealHost:
    """One of them. `killed` are sessions whose game was killed by a fault; any other game that nobody asked to end was ended by us."""

    id: int
    state: Path
    killed: set[int] = field(default_factory=set)

    @property
    def env(self) -> dict[str, str]:
        return {"STATE_DIR": str(self.state), "HOST_ADDRESS": "127.0.0.1", "HOME": str(self.state)}

    def folders(self) -> list[Path]:
        """Of sessions that are kept."""
        return sorted((self.state / "host" / "sessions").glob("[0-9]*"))

    def games(self) -> dict[int, int]:
        """The pids of games that live, by session."""
        found = {}
        for folder in self.folders():
            states = [r for r in spool_reader.read_from(folder, 0).records if r.kind == STATE]
            pids = [r.said["game"] for r in states if r.said["state"] == "starting"]
            if pids and launch.is_alive(folder) and spool_reader.exit_of(folder) is None:
                found[int(folder.name)] = pids[0]
        return found

    def kill_a_game(self, which: int) -> None:
        """`kill -9` of one that lives."""
        games = sorted(self.games().items())
        if games:
            session, pid = games[which % len(games)]
            self.killed.add(session)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Its agent, all wrappers and their games; also a wrapper that a killed agent had only just begun to start."""
        while left := mentioning(self.state):
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=5)

    # ---- what it knows

    def waiting(self) -> int:
        """How many of its events wait for their confirm."""
        return int(self._rows("SELECT count(*) FROM events")[0][0])

    def written(self) -> int:
        """How many events it has ever written."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(rows[0][0]) if rows else 0

    def _rows(self, query: str) -> list[Any]:
        with contextlib.closing(
            sqlite3.connect(f"file:{self.state}/host/journal.db?mode=ro", uri=True, timeout=10)
        ) as db:
            return db.execute(query).fetchall()

    def witness(self, excused: tuple[tuple[datetime, datetime], ...]) -> Witness:
        """What its journal and its spools say."""
        held = [msgspec.json.decode(row[0], type=HeldDeployment) for row in self._rows("SELECT held FROM deployments")]
        known = [msgspec.json.decode(row[0], type=HeldSession) for row in self._rows("SELECT held FROM sessions")]
        of = {session.session_id: session.deployment_id for session in known}
        games = [self._played(folder, of[int(folder.name)]) for folder in self.folders() if int(folder.name) in of]
        return Witness(
            host=self.id,
            games=tuple(game for game in games if game is not None),
            wishes={one.deployment_id: (one.desired, one.desired_version) for one in held},
            excused=excused,
        )

    def _played(self, folder: Path, deployment: int) -> Played | None:
        """A game, once it has begun. `why`: asked, or crash where a fault killed it; else somebody ended it without being asked."""
        records = spool_reader.read_from(folder, 0, limit=1 << 26).records
        began = [r.said for r in records if r.kind == STATE and r.said["state"] == "starting"]
        if not began:
            return None
        ends = [r.said for r in records if r.kind == EXIT]
        why = None
        if ends:
            why = "crash" if int(folder.name) in self.killed else "asked"
        return Played(
            host=self.id,
            session=int(folder.name),
            deployment=deployment,
            began=_moment(began[0]["at"]),
            ended=_moment(ends[0]["at"]) if ends else None,
            why=why,
            told="wish" if ends and ends[0]["asked_by"] == "command" else "start" if ends else None,
        )


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


async def joined(house: "House", number: int, port: int) -> RealHost:
    """One more host whose broker is at this port, and which has only to be started."""
    assert house.operator is not None and house.bus is not None
    key = make(Kind.HOST_KEY, os.urandom)
    async with house.monitor.transaction():
        query = (
            "INSERT INTO hosts (name, addresses, created_at, updated_at) VALUES ($1, '{127.0.0.1}', clock(), clock())"
            " RETURNING id"
        )
        host = await house.monitor.fetchval(query, f"real-{number}")
        await house.monitor.execute(JOIN, host, hashed(key))
    await house.bus.declare(topology.host(HostId(host)))
    made = RealHost(host, house.services.folder / f"real-{house.database}-{number}")
    (made.state / "host").mkdir(parents=True)
    rabbitmq = house.services.rabbitmq
    identity = Identity(
        host_id=HostId(host),
        name=f"real-{number}",
        api_url=house.operator.api.url,
        host_key=key,
        broker_password="guest",
        rabbitmq_url=rabbitmq.url().replace(str(rabbitmq.port), str(port)),
        broker_user="guest",
    )
    (made.state / "host" / IDENTITY).write_bytes(msgspec.json.encode(identity))
    return made


async def deployed(house: "House", host: RealHost) -> list[int]:
    """Its deployments, once its agent has installed them."""
    assert house.operator is not None
    admin = await house.operator.api.client("admin")
    config = await admin.import_catalogue("demo")
    found = []
    for place in range(house.plan.deployments):
        one = await admin.deploy_game_config(
            name=f"real-{host.id}-{place + 1}",
            host_id=host.id,
            config_id=config.config_id,
            ports=[{"name": "game", "port": free_port()}],
        )
        found.append(one.deployment_id)

    async def ready() -> bool:
        query = "SELECT count(*) FROM deployments WHERE id = ANY ($1::bigint[]) AND status = 'ready'"
        return bool(await house.monitor.fetchval(query, found) == len(found))

    await house.until("the demo game is installed", ready)
    return found
