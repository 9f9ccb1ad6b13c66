"""The sample's data: seven games on three hosts at 03:19:42, one of each trouble."""

from datetime import datetime
from typing import Any

from acceptance.ui_sample import NOW, Sample, ago

from manman.v1 import types

GIB = 1024**3
CONSOLE = [
    "Random event set:\x1b[33marmy_eikthyr\x1b[0m",
    "World saved ( \x1b[36m402.1\x1b[0mms )",
    "Got character ZDOID from \x1b[32mBjarni\x1b[0m : 2764:5",
    "Connections 7 ZDOS:148211  sent:212 recv:190",
    "\x1b[33mWarning: Fetching PlatformPrefs 'GuiScale' before loading defaults\x1b[0m",
    "Got handshake from client 76561198011111111",
    "Console: \x1b[32mBjarni\x1b[0m : anyone at the swamp?",
    "\x1b[33mGC: heap 2,114 MB, took 301 ms\x1b[0m",
    "World saved ( \x1b[36m388.0\x1b[0mms )",
    "Connections 7 ZDOS:148240  sent:220 recv:187",
    "Random event set:\x1b[33mskeletons\x1b[0m",
    "\x1b[32mDungeon loaded SunkenCrypt4\x1b[0m in 41.7 ms",
]
TAIL = [
    "\x1b[33mGC: heap 3,911 MB, took 640 ms\x1b[0m",
    "Connections 7 ZDOS:151880  sent:341 recv:260",
    "EpicLoot: generating loot for \x1b[32mChest_SunkenCrypt\x1b[0m",
    "\x1b[33mGC: heap 4,068 MB, took 911 ms\x1b[0m",
    "\x1b[31mCould not allocate memory: System out of memory!\x1b[0m",
    "\x1b[31mTrying to allocate: 268435456B with 16 alignment. MemoryLabel: Texture\x1b[0m",
]


def host(number: int, name: str, status: str, address: str, **more: Any) -> types.Host:
    return types.Host(
        host_id=number,
        name=name,
        status=status,
        addresses=[address],
        port_range=types.PortRange(first=25500, last=25600),
        agent_version="0.1.0",
        isolation="user",
        created_at=ago(days=60),
        last_seen=ago(minutes=4, seconds=24) if status == "stale" else ago(seconds=1),
        memory_total_bytes=31 * GIB,
        disk_used_bytes=212 * GIB,
        disk_total_bytes=480 * GIB,
        labels={"site": "office"},
        **more,
    )


def deployment(number: int, name: str, game: str, where: types.Host, port: int, **more: Any) -> types.Deployment:
    end = types.Endpoint(name="game", protocol="udp", address=where.addresses[0], port=port)
    run = more.get("session")
    given = {"status": "ready", "desired": "running", "session_id": run.session_id if run else None} | more
    return types.Deployment(
        deployment_id=number,
        name=name,
        game=game,
        host=where.name,
        host_id=where.host_id,
        endpoints=[end],
        config="default",
        config_revision=14,
        created_at=ago(days=30),
        **given,
    )


def run(one: types.Deployment, number: int, status: str, **more: Any) -> types.Session:
    given = {"created_at": ago(hours=5), "starting_at": ago(hours=5), "started_at": ago(hours=4.99)} | more
    return types.Session(
        session_id=number,
        status=status,
        live=status in ("pending", "starting", "running", "stopping"),
        deployment_id=one.deployment_id,
        deployment=one.name,
        game=one.game,
        host=one.host,
        host_id=one.host_id,
        endpoints=one.endpoints,
        config=one.config,
        config_revision=one.config_revision,
        **given,
    )


def event(number: int, kind: str, at: datetime, one: types.Deployment | types.Host, **body: Any) -> types.Event:
    names = (
        {"host": one.name}
        if isinstance(one, types.Host)
        else {"deployment": one.name, "host": one.host, "game": one.game}
    )
    return types.Event(
        cursor=f"1-{number}",
        id=f"0193{number:04d}",
        type=f"manman.{kind}",
        at=at,
        host_id=one.host_id,
        deployment_id=getattr(one, "deployment_id", None),
        session_id=body.pop("session_id", None),
        public=True,
        body=names | body,
    )


def full() -> Sample:
    """Everything that can be seen at once."""
    cellar = host(1, "cellar", "online", "192.168.1.23", cpu=0.41, memory_used_bytes=22 * GIB, live_sessions=2)
    rack = host(2, "rack-2", "stale", "203.0.113.7", cpu=0.18, memory_used_bytes=int(12.1 * GIB), live_sessions=2)
    attic = host(3, "attic", "online", "192.168.1.10", cpu=0.18, memory_used_bytes=int(9.1 * GIB), live_sessions=3)
    since = rack.last_seen
    summary = types.SessionSummary
    odin = deployment(
        1,
        "Odin",
        "Valheim",
        cellar,
        2456,
        session=summary(session_id=215, status="running", started_at=ago(minutes=12, seconds=11), players=7),
    )
    tees = deployment(
        2,
        "Friday tees",
        "Teeworlds",
        attic,
        8303,
        session=summary(session_id=190, status="running", started_at=ago(hours=30), players=4),
    )
    survival = deployment(
        3,
        "Survival",
        "Minecraft",
        rack,
        25565,
        session=summary(session_id=180, status="running", started_at=ago(hours=70), players=9, unreachable_since=since),
    )
    creative = deployment(
        4,
        "Creative",
        "Minecraft",
        rack,
        25566,
        session=summary(
            session_id=212, status="running", started_at=ago(minutes=34), players=3, unreachable_since=since
        ),
    )
    sky = deployment(
        5, "Skyblock", "Luanti", attic, 30000, session=summary(session_id=216, status="starting", progress=0.4)
    )
    rocket = deployment(
        6,
        "Rocket",
        "Factorio",
        attic,
        34197,
        gave_up="limit",
        session=summary(session_id=211, status="crashed", reason="port_taken", ended_at=ago(minutes=21)),
    )
    old = deployment(
        7,
        "Old map",
        "OpenArena",
        cellar,
        27960,
        desired="stopped",
        session=summary(
            session_id=170, status="stopped", reason="killed", started_at=ago(minutes=60), ended_at=ago(minutes=42)
        ),
    )
    deployments = [odin, tees, survival, creative, sky, rocket, old]
    crashed = run(
        odin,
        214,
        "crashed",
        started_at=ago(hours=3.2),
        ended_at=ago(minutes=12, seconds=30),
        reason="out_of_memory",
        signal=9,
        detail="It asked for more than its 4.0 GiB",
        tail=TAIL,
        restart=types.RestartPlan(attempt=1, of=5, at=ago(minutes=12, seconds=25)),
        players=7,
        cause="user kim",
    )
    sessions = [
        run(sky, 216, "starting", created_at=ago(minutes=2), started_at=None, progress=0.4, cause="user kim"),
        run(
            odin,
            215,
            "running",
            created_at=ago(minutes=12.4),
            started_at=ago(minutes=12, seconds=11),
            players=7,
            previous_session_id=214,
            cause="restart_policy",
        ),
        crashed,
        run(
            creative,
            212,
            "running",
            created_at=ago(minutes=36),
            started_at=ago(minutes=34),
            players=3,
            unreachable_since=since,
            cause="user kim",
        ),
        run(
            rocket,
            211,
            "crashed",
            started_at=None,
            ended_at=ago(minutes=21),
            reason="port_taken",
            detail="Another program holds port 34197/udp",
            cause="restart_policy",
        ),
        run(
            odin,
            209,
            "stopped",
            created_at=ago(days=3),
            started_at=ago(days=3),
            ended_at=ago(days=1, hours=5),
            reason="exited",
            exit_code=0,
            cause="user kim",
        ),
        run(tees, 190, "running", created_at=ago(hours=30), started_at=ago(hours=30), players=4, cause="host_boot"),
        run(
            survival,
            180,
            "running",
            created_at=ago(hours=70),
            started_at=ago(hours=70),
            players=9,
            unreachable_since=since,
            cause="user kim",
        ),
        run(
            old,
            170,
            "stopped",
            created_at=ago(hours=9),
            started_at=ago(minutes=60),
            ended_at=ago(minutes=42),
            reason="killed",
            exit_code=137,
            signal=9,
            cause="user kim",
        ),
    ]
    return Sample(
        hosts=[cellar, rack, attic],
        deployments=deployments,
        sessions=sessions,
        history=_history(),
        events=_events(odin, survival, creative, sky, rocket, old, rack),
        lines={215: _lines(), 214: _lines()[:9], 216: []},
        dead_letters=0,
    )


def _history() -> dict[int, list[types.Transition]]:
    step = types.Transition
    return {
        215: [
            step(number=1, to="pending", at=ago(minutes=12, seconds=30), cause="restart_policy", trace_id="4f1c22d0a9"),
            step(number=2, from_="pending", to="starting", at=ago(minutes=12, seconds=25), cause="host cellar"),
            step(
                number=3,
                from_="starting",
                to="running",
                at=ago(minutes=12, seconds=11),
                cause="host cellar",
                trace_id="77aa01",
            ),
        ],
        214: [
            step(number=1, to="pending", at=ago(hours=3.3), cause="user kim"),
            step(number=2, from_="pending", to="starting", at=ago(hours=3.25), cause="host cellar"),
            step(number=3, from_="starting", to="running", at=ago(hours=3.2), cause="host cellar"),
            step(number=4, from_="running", to="crashed", at=ago(minutes=12, seconds=30), cause="host cellar"),
        ],
    }


def _events(odin: Any, survival: Any, creative: Any, sky: Any, rocket: Any, old: Any, rack: Any) -> list[types.Event]:
    told = [
        event(
            500, "session.starting", ago(minutes=2.4), sky, session_id=216, previous_status="pending", cause="user kim"
        )
    ]
    told.append(event(499, "host.stale", ago(minutes=4, seconds=11), rack))
    for number, one in ((498, survival), (497, creative)):
        told.append(event(number, "session.unreachable", ago(minutes=4, seconds=24), one, session_id=180))
    told += [
        event(
            496,
            "session.running",
            ago(minutes=12, seconds=11),
            odin,
            session_id=215,
            previous_status="starting",
            cause="restart_policy",
        ),
        event(
            495,
            "session.pending",
            ago(minutes=12, seconds=28),
            odin,
            session_id=215,
            previous_status=None,
            cause="restart_policy",
        ),
        event(
            494,
            "session.crashed",
            ago(minutes=12, seconds=30),
            odin,
            session_id=214,
            previous_status="running",
            reason="out_of_memory",
            players=7,
        ),
        event(493, "deployment.gave_up", ago(minutes=21), rocket, reason="limit"),
    ]
    for tries in range(6):
        at = 21 + tries * 1.3
        told.append(
            event(
                492 - tries * 2,
                "session.crashed",
                ago(minutes=at),
                rocket,
                session_id=211 - tries,
                previous_status="starting" if tries < 5 else "running",
                reason="port_taken",
            )
        )
        if tries < 5:
            told.append(
                event(
                    491 - tries * 2,
                    "session.starting",
                    ago(minutes=at + 0.7),
                    rocket,
                    session_id=211 - tries,
                    previous_status="pending",
                )
            )
    told += [
        event(470, "session.running", ago(minutes=34), creative, session_id=212, previous_status="starting"),
        event(469, "session.starting", ago(minutes=36), creative, session_id=212, previous_status="pending"),
        event(
            468, "session.stopped", ago(minutes=42), old, session_id=170, previous_status="stopping", reason="killed"
        ),
        event(
            467, "session.stopping", ago(minutes=43), old, session_id=170, previous_status="running", cause="user kim"
        ),
    ]
    return sorted(told, key=lambda one: one.at or NOW, reverse=True)


def _lines() -> list[types.LogLine]:
    numbers = [*range(8797, 8801), *range(8838, 8846)]
    return [
        types.LogLine(n=number, at=ago(seconds=180 - at * 15), stream="out", text=text)
        for at, (number, text) in enumerate(zip(numbers, CONSOLE, strict=True))
    ]
