"""The stream that is measured: full session lifecycles of simulated hosts, and the rows that they need."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.events import contracts, envelope, topics
from manman.events.bus import Outgoing
from manman.events.codec import encode_body

LIFECYCLE = ("pending", "starting", "running", "stopping", "stopped")
PUBLIC_PER_SESSION = 2  # running and stopped go to other domains
IDS_PER_HOST = 10_000_000
PAST_SESSIONS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`hosts` x `deployments` (in all) x `rounds`: each deployment runs that many sessions, one after the other."""

    hosts: int = 10
    deployments: int = 1000
    rounds: int = 20

    @property
    def sessions(self) -> int:
        """Sessions in all."""
        return self.deployments * self.rounds

    @property
    def events(self) -> int:
        """Messages in all."""
        return self.sessions * len(LIFECYCLE)

    @property
    def announced(self) -> int:
        """Messages that `external` gets."""
        return self.sessions * PUBLIC_PER_SESSION

    @property
    def before_the_first(self) -> int:
        """Messages that come before the first one that is announced."""
        return self.deployments * LIFECYCLE.index("running")


async def prepare(database_url: str, world: World) -> None:
    """Rows of hosts that are online, of deployments on them, and leases that are wide enough."""
    conn = await asyncpg.connect(database_url)
    try:
        async with conn.transaction():
            await conn.execute(
                """INSERT INTO games (name, created_at, updated_at) VALUES ('bench', clock(), clock());
                   INSERT INTO game_configs (game, name, created_at, updated_at) VALUES (1, 'one', clock(), clock());
                   INSERT INTO config_revisions (config, revision, spec, created_at) VALUES (1, 1, '{}', clock())"""
            )
            await conn.execute(
                """INSERT INTO hosts (name, created_at, updated_at)
                   SELECT 'host-' || n, clock(), clock() FROM generate_series(1, $1::int) n""",
                world.hosts,
            )
            await conn.execute(
                # Without a boot: who does not beat says nothing of its sessions, and is not asked about them.
                """INSERT INTO host_heartbeats (host, online, beat, last_seen)
                   SELECT id, true, 1, clock() + interval '1 day' FROM hosts
                   ON CONFLICT (host) DO UPDATE SET online = true, beat = 1, last_seen = excluded.last_seen"""
            )
            await conn.execute(
                """INSERT INTO session_leases (host, ids)
                   SELECT id, int8multirange(int8range(id * $1::bigint, id * $1::bigint + $1::bigint)) FROM hosts
                   ON CONFLICT (host) DO UPDATE SET ids = excluded.ids""",
                IDS_PER_HOST,
            )
            await conn.execute(
                """INSERT INTO deployments (name, host, config, config_revision, status, desired, desired_version, seen_version,
                                            created_at, updated_at)
                   SELECT 'deployment-' || n, 1 + n % $1::int, 1, 1, 'ready', 'running', 1, 1, clock(), clock()
                     FROM generate_series(0, $2::int - 1) n""",
                world.hosts,
                world.deployments,
            )
        await _remember(conn, world)
        await conn.execute("ANALYZE")
    finally:
        await conn.close()


async def _remember(conn: asyncpg.Connection, world: World) -> None:
    """Sessions that are over: a database that has been in use, so that plans are those of one."""
    await conn.execute(
        """INSERT INTO sessions (id, host, deployment, status, desired, run, created_at, at, started_at, ended_at, config,
                                 config_revision, history_number)
           SELECT n, 1 + (n % $2::int) % $1::int, 1 + n % $2::int, 'stopped', 'stopped', 0, clock(), clock(), clock(), clock(), 1, 1, 5
             FROM generate_series(1, $3::int) n""",
        world.hosts,
        world.deployments,
        PAST_SESSIONS,
    )
    await conn.execute(
        """INSERT INTO session_history (session, number, to_status, at, recorded_at, cause, event_id)
           SELECT n, k, 'stopped', clock(), clock(), 'host', gen_random_uuid()
             FROM generate_series(1, $1::int) n, generate_series(1, 5) k""",
        PAST_SESSIONS,
    )


def stream(world: World) -> Iterator[Outgoing]:
    """Every message, numbered in its host's journal: a round starts and ends one session of each deployment."""
    at = datetime.now(UTC)
    sequences = dict.fromkeys(range(1, world.hosts + 1), 0)
    for turn, word, n in order(world):
        host = 1 + n % world.hosts
        sequences[host] += 1
        yield message(host, n + 1, session_id(world, host, n, turn), word, turn + 1, sequences[host], at)


def order(world: World) -> Iterator[tuple[int, str, int]]:
    """Round, word and place of each message, in the order of the stream."""
    return ((turn, word, n) for turn in range(world.rounds) for word in LIFECYCLE for n in range(world.deployments))


def keys(world: World) -> list[tuple[int, str]]:
    """Session and word of each message, likewise."""
    return [(session_id(world, 1 + n % world.hosts, n, turn), word) for turn, word, n in order(world)]


def session_id(world: World, host: int, n: int, turn: int) -> int:
    """The least number of the host's lease that is left, as an agent takes it."""
    share = -(-world.deployments // world.hosts)
    return host * IDS_PER_HOST + turn * share + n // world.hosts


def message(host: int, deployment: int, session: int, word: str, run: int, sequence: int, at: datetime) -> Outgoing:
    """One status as an agent says it, with its envelope."""
    first = word == "pending"
    body = contracts.SessionStatus(
        session_id=SessionId(session),
        deployment_id=DeploymentId(deployment),
        host_id=HostId(host),
        status=word,  # type: ignore[arg-type]
        run=run if first else None,
        cause="restart_policy" if first else None,
        exit_code=0 if word == "stopped" else None,
        reason="exited" if word == "stopped" else None,
        desired_version=1,
    )
    event = envelope.attributes(
        id=str(uuid.uuid4()),
        source=envelope.journal_source(HostId(host), "bench"),
        type=f"manman.status.session.{word}",
        time=at + timedelta(microseconds=sequence),
        sequence=sequence,
    )
    return Outgoing(
        exchange=topics.INTERNAL,
        key=f"status.session.{word}.{host}",
        body=encode_body(body),
        headers=envelope.to_headers(event) | {envelope.HOST: str(host)},
        message_id=event.id,
    )
