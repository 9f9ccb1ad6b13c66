"""Debian packages that the tests need, installed in one step that starts nothing and enables nothing.

The second run asks `dpkg-query` (7 ms) and calls no apt.
"""

import contextlib
import glob
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    "rabbitmq-server",
    "postgresql-15",
    "chromium",
    "teeworlds-server",
    "bzflag-server",
    "minetest-server",
    "openttd",
    "openttd-opengfx",
    "iptables",
    "iproute2",
    "procps",
    "faketime",
    "busybox-static",
    "fonts-dejavu-core",
)
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_KEPT = Path("/usr/sbin/policy-rc.d.before-manman-test")
CLUSTER = Path("/etc/postgresql-common/createcluster.d/manman-test.conf")
OURS = "# manman test: no service starts while packages are installed"
ENABLE_LINKS = ("/etc/systemd/system/*.wants/*", "/etc/rc?.d/*")
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq")
INSTALL = (*APT, "-o", "Dpkg::Options::=--force-confold", "install", "-y", "--no-install-recommends")


class PackagesMissing(Exception):
    """What the tests need is not there and cannot be had; the text is for a person."""


def missing() -> list[str]:
    """The packages of PACKAGES that are not installed; any PostgreSQL from 15 on stands for `postgresql-15`."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *PACKAGES]
    told = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    present = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    if glob.glob("/usr/lib/postgresql/*/bin/initdb"):
        present.add("postgresql-15")
    return [name for name in PACKAGES if name not in present]


def provide(log: Path) -> None:
    """Install what is missing; apt's words go to `log`. Raises PackagesMissing with the line to type."""
    try:
        wanted = missing()
    except FileNotFoundError as error:
        raise PackagesMissing(
            f"the tests need these programs, and this machine has no dpkg to get them: {' '.join(PACKAGES)}"
        ) from error
    if not wanted:
        return
    if os.geteuid() != 0:
        line = f"sudo apt-get install -y --no-install-recommends {' '.join(wanted)}"
        raise PackagesMissing(f"packages are missing that only root can install. Type:\n  {line}")
    print(f"installing {len(wanted)} packages with what they need: {' '.join(wanted)}", flush=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out, nothing_starts(), nothing_is_enabled():
        install(wanted, out)
    still = missing()
    if still:
        raise PackagesMissing(f"apt did not bring {' '.join(still)}; its last words:\n{last_lines(log)}")


def install(wanted: list[str], out: object) -> None:
    """Try, then renew the lists and try again: old lists name files that are gone, empty ones name none."""
    if apt([*INSTALL, *wanted], out):
        return
    apt([*APT, "update"], out)
    if not apt(["apt-cache", "show", "postgresql-15"], subprocess.DEVNULL):
        wanted = [name if name != "postgresql-15" else "postgresql" for name in wanted]
    apt([*INSTALL, *wanted], out)


def apt(command: list[str], out: object) -> bool:
    """Run one apt command that asks nobody anything; whether it succeeded."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environment, check=False
    )  # type: ignore[call-overload]
    return bool(done.returncode == 0)


def last_lines(log: Path, count: int = 3) -> str:
    """The end of apt's own words."""
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-count:])


@contextlib.contextmanager
def nothing_starts() -> Iterator[None]:
    """Forbid service starts meanwhile; the machine's own policy is moved aside and put back.

    Ours forbids only while this process lives, so a killed run does not block service starts for ever.
    """
    restore_policy()
    if POLICY.exists():
        POLICY.rename(POLICY_KEPT)
    POLICY.write_text(f"#!/bin/sh\n{OURS}\n[ -d /proc/{os.getpid()} ] && exit 101\nexit 0\n")
    POLICY.chmod(0o755)
    CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    CLUSTER.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        CLUSTER.unlink(missing_ok=True)
        restore_policy()


def restore_policy() -> None:
    """Remove our policy where one is, and put the machine's own back; also after a run that was killed."""
    if POLICY.is_file() and OURS in POLICY.read_text(errors="replace"):
        POLICY.unlink()
    if POLICY_KEPT.exists():
        POLICY_KEPT.rename(POLICY)


@contextlib.contextmanager
def nothing_is_enabled() -> Iterator[None]:
    """Remove every link that would start something at the next boot and was not there before."""
    before = enable_links()
    try:
        yield
    finally:
        for link in enable_links() - before:
            Path(link).unlink(missing_ok=True)


def enable_links() -> set[str]:
    """All links by which systemd or the old runlevels start services at boot."""
    return {path for pattern in ENABLE_LINKS for path in glob.glob(pattern)}
