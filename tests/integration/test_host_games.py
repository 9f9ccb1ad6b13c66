"""Real game programs under the agent: got from Debian's packages, ready by their own protocol, stopped."""

import asyncio
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from harness import free_port
from integration.host_control import control, demo

from manman.errors import Malformed
from manman.host import queries
from manman.host.installs import Installer, InstallFailed
from manman.v1.types import ConfigFile, ConfigLink, Launch, LaunchPort, Query, Readiness, StopSpec


def udp_port() -> LaunchPort:
    return LaunchPort(name="game", protocol="udp", address="127.0.0.1", port=free_port())


def teeworlds(deployment_id: int) -> Launch:
    port = udp_port()
    config = f'sv_name "ours"\nsv_port {port.port}\nbindaddr 127.0.0.1\nsv_register 0\n'
    return demo(
        deployment_id,
        argv=["teeworlds-server", "-f", "game.cfg"],
        debian=["teeworlds-server", "teeworlds-data"],
        files=[ConfigFile(path="game.cfg", content=config)],
        links=[ConfigLink(path="data", target="usr/share/games/teeworlds/data")],
        ports=[port],
        query=Query(protocol="teeworlds", port="game"),
        readiness=Readiness(kind="query", pattern="^ours$", timeout="60s"),
        stop=StopSpec(signal="SIGTERM", grace="10s"),
    )


def minetest(deployment_id: int) -> Launch:
    port = udp_port()
    return demo(
        deployment_id,
        argv=["minetestserver", "--port", str(port.port), "--worldname", "w", "--logfile", "log.txt"],
        debian=["minetest-server"],
        ports=[port],
        query=Query(protocol="minetest", port="game"),
        readiness=Readiness(kind="query", timeout="60s"),
        stop=StopSpec(signal="SIGTERM", grace="20s"),
    )


def bzflag(deployment_id: int) -> Launch:
    port = LaunchPort(name="game", protocol="tcp", address="127.0.0.1", port=free_port())
    return demo(
        deployment_id,
        argv=["bzfs", "-i", "127.0.0.1", "-p", str(port.port)],
        debian=["bzflag-server"],
        ports=[port],
        query=Query(protocol="bzflag", port="game"),
        readiness=Readiness(kind="query", timeout="60s"),
        stop=StopSpec(signal="SIGTERM", grace="10s"),
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("game", [teeworlds, minetest, bzflag])
async def test_a_real_game_is_installed_ready_by_its_own_protocol_and_stopped(
    game: Callable[[int], Launch], rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        launch = game(5)
        it.put(launch)
        it.start_agent()
        await it.tell("install", deployment_id=5, deployment_version=1)
        ready = (await it.hear(lambda m: m.key.noun == "deployment" and m.key.word == "ready", 200)).body
        assert ready.deployment_version == 1  # type: ignore[union-attr]
        await it.start(5, 100, run=1, version=1)
        running = await it.hear(
            lambda m: m.key.word in ("running", "crashed") and m.body.session_id == 100,  # type: ignore[union-attr]
            60,
        )
        assert running.key.word == "running", f"{running.body}\n{it.lines(100)}"
        if os.geteuid() == 0:
            assert 60578 <= it.user_of(it.game(100)) <= 61183
        await it.wish("stop", 5, "stopped", 2)
        await it.session(100, "stopped")


async def test_the_demo_game_answers_with_its_players_and_a_dead_port_with_nothing(
    rabbitmq_url: str, roomy: Path
) -> None:
    async with control(rabbitmq_url, roomy) as it:
        launch = demo(5, query=Query(protocol="a2s", port="game"))
        it.put(launch)
        it.start_agent()
        await it.start(5, 100, run=1, version=1)
        await it.session(100, "running")
        second = timedelta(seconds=10)
        port = launch.ports[0].port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"Anna\r\n")
        async with asyncio.timeout(20):
            while b"Anna" not in await reader.readline():
                pass
        answer = await queries.ask("a2s", "127.0.0.1", port, timeout=second, chance=os.urandom)
        assert answer is not None and answer.players == 1 and answer.name == "Demo arena"
        writer.close()
        dead = await queries.ask("a2s", "127.0.0.1", free_port(), timeout=second, chance=os.urandom)
        assert dead is None
        with pytest.raises(Malformed, match="a2s"):
            await queries.ask("telepathy", "127.0.0.1", port, timeout=second, chance=os.urandom)


@pytest.mark.timeout(300)
async def test_packages_are_unpacked_once_and_come_from_the_cache_after(tmp_path: Path) -> None:
    told: list[str] = []

    async def said(share: float, line: str) -> None:
        told.append(line)

    installer = Installer(tmp_path / "cache")
    await installer.install(tmp_path / "one", ["hello"], said)
    assert installer.is_installed(tmp_path / "one", ["hello"]) and told
    program = tmp_path / "one" / "game" / "usr" / "bin" / "hello"
    files = list((tmp_path / "cache").glob("*.deb"))
    assert program.exists() == bool(files)
    before = [file.stat().st_mtime_ns for file in files]
    await installer.install(tmp_path / "two", ["hello"], said)
    assert [file.stat().st_mtime_ns for file in files] == before
    for file in files:
        file.write_bytes(b"x" * file.stat().st_size)
    await installer.install(tmp_path / "one", ["hello"], said, again=True)
    assert [file.stat().st_mtime_ns for file in files] != before or not files


@pytest.mark.timeout(300)
async def test_what_does_not_exist_is_said_in_one_line(tmp_path: Path) -> None:
    async def said(share: float, line: str) -> None:
        return None

    with pytest.raises(InstallFailed, match="no-such-game-anywhere"):
        await Installer(tmp_path / "cache").install(tmp_path / "one", ["no-such-game-anywhere"], said)
    with pytest.raises(InstallFailed, match="not the name"):
        await Installer(tmp_path / "cache").install(tmp_path / "one", ["-o Evil=1"], said)
