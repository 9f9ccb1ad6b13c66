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


CELLAR = host(1, "cellar", "online", "192.168.1.23", cpu=0.41, memory_used_bytes=22 * GIB, live_sessions=2)
RACK = host(2, "rack-2", "stale", "203.0.113.7", cpu=0.18, memory_used_bytes=int(12.1 * GIB), live_sessions=2)
ATTIC = host(3, "attic", "online", "192.168.1.10", cpu=0.18, memory_used_bytes=int(9.1 * GIB), live_sessions=3)
SILENT = RACK.last_seen

# number, name, game, host, port, what else
DEPLOYMENTS: list[tuple[int, str, str, types.Host, int, dict[str, Any]]] = [
    (1, "Odin", "Valheim", CELLAR, 2456, {}),
    (2, "Friday tees", "Teeworlds", ATTIC, 8303, {}),
    (3, "Survival", "Minecraft", RACK, 25565, {}),
    (4, "Creative", "Minecraft", RACK, 25566, {}),
    (5, "Skyblock", "Luanti", ATTIC, 30000, {}),
    (6, "Rocket", "Factorio", ATTIC, 34197, {"gave_up": "limit"}),
    (7, "Old map", "OpenArena", CELLAR, 27960, {"desired": "stopped"}),
]
SUMMARIES: dict[int, dict[str, Any]] = {
    1: {"session_id": 215, "status": "running", "started_at": ago(minutes=12, seconds=11), "players": 7},
    2: {"session_id": 190, "status": "running", "started_at": ago(hours=30), "players": 4},
    3: {
        "session_id": 180,
        "status": "running",
        "started_at": ago(hours=70),
        "players": 9,
        "unreachable_since": SILENT,
    },
    4: {
        "session_id": 212,
        "status": "running",
        "started_at": ago(minutes=34),
        "players": 3,
        "unreachable_since": SILENT,
    },
    5: {"session_id": 216, "status": "starting", "progress": 0.4},
    6: {"session_id": 211, "status": "crashed", "reason": "port_taken", "ended_at": ago(minutes=21)},
    7: {
        "session_id": 170,
        "status": "stopped",
        "reason": "killed",
        "started_at": ago(minutes=60),
        "ended_at": ago(minutes=42),
    },
}
CRASH: dict[str, Any] = {
    "started_at": ago(hours=3.2),
    "ended_at": ago(minutes=12, seconds=30),
    "reason": "out_of_memory",
    "signal": 9,
    "exit_code": None,
    "detail": "It asked for more than its 4.0 GiB",
    "tail": TAIL,
    "restart": types.RestartPlan(attempt=1, of=5, at=ago(minutes=12, seconds=25)),
    "players": 7,
    "cause": "user kim",
}
# deployment, session, status, what else
SESSIONS: list[tuple[int, int, str, dict[str, Any]]] = [
    (5, 216, "starting", {"created_at": ago(minutes=2), "started_at": None, "progress": 0.4, "cause": "user kim"}),
    (1, 215, "running", {"created_at": ago(minutes=12.4), "previous_session_id": 214, "cause": "restart_policy"}),
    (1, 214, "crashed", CRASH),
    (4, 212, "running", {"created_at": ago(minutes=36), "cause": "user kim"}),
    (
        6,
        211,
        "crashed",
        {"started_at": None, "detail": "Another program holds port 34197/udp", "cause": "restart_policy"},
    ),
    (1, 209, "stopped", {"created_at": ago(days=3), "started_at": ago(days=3), "ended_at": ago(days=1, hours=5)}),
    (2, 190, "running", {"created_at": ago(hours=30), "cause": "host_boot"}),
    (3, 180, "running", {"created_at": ago(hours=70), "cause": "user kim"}),
    (7, 170, "stopped", {"created_at": ago(hours=9), "exit_code": 137, "signal": 9, "cause": "user kim"}),
]
# number, type, minutes ago, deployment (0: the silent host), body
EVENTS: list[tuple[int, str, float, int, dict[str, Any]]] = [
    (500, "session.starting", 2.4, 5, {"session_id": 216, "previous_status": "pending", "cause": "user kim"}),
    (499, "host.stale", 4.18, 0, {}),
    (498, "session.unreachable", 4.4, 3, {"session_id": 180}),
    (497, "session.unreachable", 4.4, 4, {"session_id": 212}),
    (
        496,
        "session.running",
        12.18,
        1,
        {"session_id": 215, "previous_status": "starting", "cause": "restart_policy"},
    ),
    (495, "session.pending", 12.47, 1, {"session_id": 215, "cause": "restart_policy"}),
    (
        494,
        "session.crashed",
        12.5,
        1,
        {"session_id": 214, "previous_status": "running", "reason": "out_of_memory", "players": 7},
    ),
    (493, "deployment.gave_up", 21, 6, {"reason": "limit"}),
    (470, "session.running", 34, 4, {"session_id": 212, "previous_status": "starting"}),
    (469, "session.starting", 36, 4, {"session_id": 212, "previous_status": "pending"}),
    (468, "session.stopped", 42, 7, {"session_id": 170, "previous_status": "stopping", "reason": "killed"}),
    (467, "session.stopping", 43, 7, {"session_id": 170, "previous_status": "running", "cause": "user kim"}),
]


def full() -> Sample:
    """Everything that can be seen at once."""
    deployments = {
        number: deployment(number, name, game, where, port, session=types.SessionSummary(**SUMMARIES[number]), **more)
        for number, name, game, where, port, more in DEPLOYMENTS
    }
    return Sample(
        hosts=[CELLAR, RACK, ATTIC],
        deployments=list(deployments.values()),
        sessions=[
            run(deployments[on], number, status, **_known(on, number) | more) for on, number, status, more in SESSIONS
        ],
        history=_history(),
        events=_events(deployments),
        lines={215: _lines(), 214: _lines()[:9], 216: []},
    )


def _known(on: int, number: int) -> dict[str, Any]:
    """What a deployment's summary says of its latest session."""
    summary = SUMMARIES[on]
    return (
        {name: value for name, value in summary.items() if name not in ("session_id", "status")}
        if summary["session_id"] == number
        else {"reason": "exited", "exit_code": 0, "cause": "user kim"}
    )


def _history() -> dict[int, list[types.Transition]]:
    step = types.Transition
    return {
        215: [
            step(number=1, to="pending", at=ago(minutes=12, seconds=30), cause="restart_policy", trace_id="4f1c22d0a9"),
            step(number=2, from_="pending", to="starting", at=ago(minutes=12, seconds=25), cause="host cellar"),
            step(number=3, from_="starting", to="running", at=ago(minutes=12, seconds=11), cause="host cellar"),
        ],
        214: [
            step(number=1, to="pending", at=ago(hours=3.3), cause="user kim"),
            step(number=2, from_="pending", to="starting", at=ago(hours=3.25), cause="host cellar"),
            step(number=3, from_="starting", to="running", at=ago(hours=3.2), cause="host cellar"),
            step(number=4, from_="running", to="crashed", at=ago(minutes=12, seconds=30), cause="host cellar"),
        ],
    }


def _events(deployments: dict[int, types.Deployment]) -> list[types.Event]:
    told = [
        event(number, kind, ago(minutes=when), deployments[on] if on else RACK, **body)
        for number, kind, when, on, body in EVENTS
    ]
    for tries in range(6):
        when, body = 21 + tries * 1.3, {"session_id": 211 - tries, "reason": "port_taken"}
        before = "starting" if tries < 5 else "running"
        told.append(
            event(492 - tries * 2, "session.crashed", ago(minutes=when), deployments[6], previous_status=before, **body)
        )
        if tries < 5:
            began = {"session_id": 211 - tries, "previous_status": "pending"}
            told.append(event(491 - tries * 2, "session.starting", ago(minutes=when + 0.7), deployments[6], **began))
    return sorted(told, key=lambda one: (one.at or NOW, one.cursor), reverse=True)


def _lines() -> list[types.LogLine]:
    numbers = [*range(8797, 8801), *range(8838, 8846)]
    return [
        types.LogLine(n=number, at=ago(seconds=180 - at * 15), stream="out", text=text)
        for at, (number, text) in enumerate(zip(numbers, CONSOLE, strict=True))
    ]
