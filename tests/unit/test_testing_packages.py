"""Packages are installed in one step that starts nothing, enables nothing, and leaves the machine's own policy as it was."""

import subprocess
from pathlib import Path

import pytest

from manman.cli import testing_packages as packages

OWN = "#!/bin/sh\nexit 101\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the machine's /usr/sbin, /etc/postgresql-common and /etc/systemd."""
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "POLICY_KEPT", tmp_path / "policy-rc.d.kept")
    monkeypatch.setattr(packages, "CLUSTER", tmp_path / "createcluster.d" / "manman.conf")
    monkeypatch.setattr(packages, "ENABLE_LINKS", (str(tmp_path / "*.wants" / "*"),))
    return tmp_path


def test_services_may_not_start_while_we_live_and_may_afterwards(machine: Path) -> None:
    with packages.nothing_starts():
        policy = packages.POLICY.read_text()
        assert subprocess.run([packages.POLICY], check=False).returncode == 101
        assert "create_main_cluster = false" in packages.CLUSTER.read_text()
    assert not packages.POLICY.exists() and not packages.CLUSTER.exists()

    ended = subprocess.Popen(["true"])
    ended.wait()
    words = policy.split("/proc/")
    left_behind = machine / "left"
    left_behind.write_text(f"{words[0]}/proc/{ended.pid}{words[1][words[1].index(' ') :]}")
    assert subprocess.run(["sh", left_behind], check=False).returncode == 0


def test_the_machine_s_own_policy_is_put_back(machine: Path) -> None:
    packages.POLICY.write_text(OWN)
    with pytest.raises(ZeroDivisionError), packages.nothing_starts():
        assert packages.OURS in packages.POLICY.read_text()
        raise ZeroDivisionError
    assert packages.POLICY.read_text() == OWN
    assert not packages.POLICY_KEPT.exists()


def test_a_killed_run_s_policy_is_cleared_by_the_next(machine: Path) -> None:
    packages.POLICY.write_text(OWN)
    killed = packages.nothing_starts()
    killed.__enter__()
    with packages.nothing_starts():
        assert packages.POLICY_KEPT.read_text() == OWN
    assert packages.POLICY.read_text() == OWN


def test_what_was_not_enabled_before_is_not_enabled_afterwards(machine: Path) -> None:
    wants = machine / "multi-user.target.wants"
    wants.mkdir()
    (wants / "own.service").symlink_to("/dev/null")
    with packages.nothing_is_enabled():
        (wants / "rabbitmq-server.service").symlink_to("/dev/null")
    assert [path.name for path in wants.iterdir()] == ["own.service"]


def test_whoever_is_not_root_gets_the_line_to_type(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "PACKAGES", ("procps", "no-such-package"))
    monkeypatch.setattr(packages.os, "geteuid", lambda: 1000)
    with pytest.raises(packages.PackagesMissing, match=r"apt-get install -y --no-install-recommends .*no-such-package"):
        packages.provide(tmp_path / "apt.log")
    assert not packages.POLICY.exists()


def test_old_lists_are_renewed_and_the_install_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def apt(command: list[str], out: object) -> bool:
        called.append("update" if "update" in command else "show" if "show" in command else " ".join(command[-1:]))
        return False

    monkeypatch.setattr(packages, "apt", apt)
    packages.install(["postgresql-15"], None)
    assert called == ["postgresql-15", "update", "show", "postgresql"]
