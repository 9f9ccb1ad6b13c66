"""The agent's smaller rules: leases in memory, fingerprints, masks, numbers of users, links, answers of games."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from manman.domain.ids import DeploymentId, HostId, SessionId
from manman.errors import BadSetting, Malformed
from manman.host import disk, ending, heartbeats, places, queries
from manman.host.heartbeats import Lives
from manman.host.journal import Journal
from manman.host.launches import Launches
from manman.host.means import Holdings
from manman.host.runtimes import NotLaunched
from manman.v1.types import ConfigFile, ConfigLink, Launch, LaunchPort, Readiness, StopSpec

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def holdings(tmp_path: Path) -> Holdings:
    return Holdings(Journal(tmp_path / "journal.db", HostId(3), chance=os.urandom))


def test_a_lease_is_replaced_whole_less_what_was_begun(holdings: Holdings) -> None:
    holdings.take_lease([(10, 12), (20, 20)])
    assert holdings.next_id() == 10
    holdings.use(SessionId(10))
    assert holdings.lease == ((11, 12), (20, 20))
    holdings.take_lease([(10, 14)])
    assert holdings.lease == ((11, 14),)
    holdings.take_lease([])
    assert holdings.next_id() is None


def test_a_used_id_stays_used_in_the_next_life(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", HostId(3), chance=os.urandom)
    first = Holdings(journal)
    first.take_lease([(10, 11)])
    first.use(SessionId(10))
    journal.close()
    again = Holdings(Journal(tmp_path / "journal.db", HostId(3), chance=os.urandom))
    again.take_lease([(10, 11)])
    assert again.lease == ((11, 11),)


def test_a_failed_write_leaves_the_lease_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", HostId(3), chance=os.urandom)
    held = Holdings(journal)
    held.take_lease([(10, 11)])
    with pytest.raises(RuntimeError), journal.write():
        held.use(SessionId(10))
        raise RuntimeError
    assert held.lease == ((10, 11),) and held.next_id() == 10


def test_the_fingerprint_is_the_count_and_the_xor_of_the_ids() -> None:
    lives = [
        Lives(session_id=SessionId(5), status="running", players=2),
        Lives(session_id=SessionId(9), status="starting"),
        Lives(session_id=SessionId(6), status="running", players=1),
    ]
    sessions, live, players = heartbeats.counts(lives)
    assert (sessions.total, sessions.running, sessions.starting, sessions.pending) == (3, 2, 1, 0)
    assert (live.count, live.xor, players) == (3, 5 ^ 9 ^ 6, 3)
    assert heartbeats.counts([])[2] is None


def test_longer_secrets_are_masked_before_the_shorter_ones_in_them() -> None:
    assert ending.masked("pw=hunter2000 and hunter2", ["hunter2000", "hunter2"]) == "pw=*** and ***"


def test_user_numbers_skip_what_is_taken_known_or_nobody() -> None:
    assert places.free_uid("60578-60580", [60578]) == 60579
    with pytest.raises(NotLaunched, match="GAME_UIDS"):
        places.free_uid("60578-60578", [60578])
    with pytest.raises(BadSetting, match="GAME_UIDS"):
        places.free_uid("0-10", [])
    assert places.free_uid("65534-65535", []) == 65535


def test_a_held_port_is_named_and_a_free_one_is_not() -> None:
    with socket.socket() as holder, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        datagrams.bind(("127.0.0.1", 0))
        tcp, udp = holder.getsockname()[1], datagrams.getsockname()[1]
        said = places.taken_port([LaunchPort(name="game", protocol="tcp", address="0.0.0.0", port=tcp)])
        assert said is not None and f"{tcp}/tcp" in said
        said = places.taken_port([LaunchPort(name="game", protocol="udp", address="127.0.0.1", port=udp)])
        assert said is not None and f"{udp}/udp" in said
    assert places.taken_port([LaunchPort(name="game", protocol="tcp", address="127.0.0.1", port=tcp)]) is None


def a_launch(**changed: object) -> Launch:
    fields: dict[str, object] = {"deployment_id": 5, "version": 2, "argv": ["game"], "digest": "d"}
    return Launch(**(fields | changed))  # type: ignore[arg-type]


def prepared(state: Path, launch: Launch, *roots: str) -> object:
    return places.prepare(state, SessionId(1), DeploymentId(5), launch, None, roots)


def test_what_a_launch_says_lies_in_the_data_folder(tmp_path: Path) -> None:
    share = tmp_path / "deployments" / "5" / "game" / "usr" / "share" / "g"
    share.mkdir(parents=True)
    launch = a_launch(
        files=[ConfigFile(path="conf/a.cfg", content="x=1", mode="600")],
        links=[ConfigLink(path="share", target="usr/share/g")],
        env={"A": "b"},
        cwd="conf",
        ports=[LaunchPort(name="game", protocol="udp", port=5000)],
        readiness=Readiness(kind="port", port="game", timeout="1m30s"),
        stop=StopSpec(command="quit", grace="5s"),
    )
    work = places.prepare(tmp_path, SessionId(1), DeploymentId(5), launch, None)
    data = tmp_path / "deployments" / "5" / "data"
    assert (data / "conf" / "a.cfg").read_text() == "x=1"
    assert os.readlink(data / "share") == str(share)
    assert work.cwd == data / "conf" and work.env["HOME"] == str(data) and work.env["A"] == "b"
    assert work.readiness == {
        "kind": "port",
        "timeout": 90.0,
        "on_timeout": "crash",
        "port": 5000,
        "protocol": "udp",
    }
    assert work.stop == {"command": "quit", "signal": None, "grace": 5.0}


@pytest.mark.parametrize("target", ["/etc", "/", "../../../etc"])
def test_a_link_out_of_the_packages_needs_a_bind_root(tmp_path: Path, target: str) -> None:
    with pytest.raises(NotLaunched) as refused:
        prepared(tmp_path, a_launch(links=[ConfigLink(path="share", target=target)]))
    assert refused.value.reason == "config_invalid"
    allowed = a_launch(links=[ConfigLink(path="maps", target=str(tmp_path))])
    prepared(tmp_path, allowed, str(tmp_path))


class Away:
    """The API is away."""

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> Launch:
        from manman.errors import Unavailable

        raise Unavailable("nobody answers")


class There:
    """The API answers."""

    async def get_launch(self, deployment_id: int, *, session: int | None = None) -> Launch:
        return a_launch()


async def test_the_kept_launch_is_used_while_the_api_is_away_if_its_version_is_the_one(tmp_path: Path) -> None:
    await Launches(There(), tmp_path).obtain(DeploymentId(5), 2)
    away = Launches(Away(), tmp_path)
    assert (await away.obtain(DeploymentId(5), 2)).version == 2
    with pytest.raises(Exception, match="nobody answers"):
        await away.obtain(DeploymentId(5), 3)
    with pytest.raises(Exception, match="nobody answers"):
        await away.obtain(DeploymentId(6), None)
    kept = tmp_path / "deployments" / "5" / "newest.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_ballast_is_given_up_once_and_taken_up_again(tmp_path: Path) -> None:
    ballast = disk.Ballast(tmp_path / "ballast", size=4096)
    assert not ballast.give_up()
    assert ballast.take_up() and ballast.is_there and ballast.take_up()
    assert ballast.give_up() and not ballast.is_there and not ballast.give_up()


def test_little_room_is_the_larger_of_a_gibibyte_and_a_twentieth() -> None:
    gib = 1024**3
    assert disk.Room(total=10 * gib, free=gib - 1).is_short and not disk.Room(total=10 * gib, free=gib).is_short
    assert disk.Room(total=100 * gib, free=4 * gib).is_short


def test_a_source_answer_is_read_and_a_torn_one_refused() -> None:
    said = b"\xff\xff\xff\xffI\x11Arena\0arena\0demo\0Demo\0\0\0\x03\x08\0dl\0\0" + b"1.0\0"
    assert queries.read_a2s(said) == queries.Answer(name="Arena", map="arena", players=3, max_players=8)
    for cut in (b"", said[:5], said[:20], b"\xff\xff\xff\xffA1234"):
        with pytest.raises(Malformed):
            queries.read_a2s(cut)


def test_a_teeworlds_answer_is_read_and_a_torn_one_refused() -> None:
    head = b"\x21" + b"\0" * 8 + b"\xff\xff\xff\xffinf3" + b"\0"
    said = head + b"0.7.5\0ours\0\0dm1\0DM\0" + b"\0\x01\x02\x08\x03\x90\x01"
    assert queries.read_teeworlds(said) == queries.Answer(name="ours", map="dm1", players=3, max_players=80)
    for cut in (b"", head, said[:-3], b"\0" * 40):
        with pytest.raises(Malformed):
            queries.read_teeworlds(cut)


async def test_nobody_on_a_port_is_no_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        silent = probe.getsockname()[1]
        for protocol in ("a2s", "teeworlds", "minetest", "openttd"):
            asked = await queries.ask(
                protocol, "127.0.0.1", silent, timeout=timedelta(milliseconds=50), chance=os.urandom
            )
            assert asked is None
