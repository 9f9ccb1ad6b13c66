"""A checkout becomes a program: in a path with a space, as an ordinary user, beside somebody's activated environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.processes import give_to_nobody

ROOT = Path(__file__).resolve().parents[2]
NO_PIP = '#!/bin/sh\ncase "$*" in "-m pip"*|"-c import ensurepip") exit 1;; esac\nexec python3 "$@"\n'
TOOLS = ("sh", "dirname", "id", "mkdir", "rm", "mv", "env", "find", "head", "tail", "cat")


@pytest.fixture
def checkout(roomy: Path) -> Path:
    """The repository's files, as a clone would have them, in a folder with a space; `nobody`'s when we are root."""
    place = roomy / "my games" / "manman"
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    for path in [roomy / "my games", *(roomy / "my games").rglob("*")]:
        give_to_nobody(path)
    return place


def as_user(place: Path, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a checkout as an ordinary user with an empty home."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    environment = {**kept, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(place.parent), **more}
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command,
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **user,
    )


@pytest.mark.timeout(600)
def test_a_checkout_is_made_ready_and_made_anew_when_it_moved(checkout: Path) -> None:
    foreign = checkout.parent / "foreign"
    subprocess.run(["python3", "-m", "venv", "--without-pip", foreign], check=True)
    before = sorted(path.name for path in foreign.rglob("*"))

    made = as_user(checkout, "make", ".venv/.run", VIRTUAL_ENV=str(foreign))
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in foreign.rglob("*")) == before
    assert as_user(checkout, "make", "-q", ".venv/.run").returncode == 0

    moved = checkout.rename(checkout.parent / "moved away")
    again = as_user(moved, "make", ".venv/.run", UV_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    told = as_user(moved, ".venv/bin/python", "-m", "manman", "--help")
    assert told.returncode == 0 and "sessions" in told.stdout
    where = as_user(moved, ".venv/bin/python", "-c", "import manman; print(manman.__file__)").stdout
    assert where.startswith(str(moved))


def test_without_python_or_pip_one_message_says_what_to_do(checkout: Path, roomy: Path) -> None:
    tools = roomy / "bin"
    tools.mkdir(mode=0o755)
    for name in TOOLS:
        (tools / name).symlink_to(str(shutil.which(name)))
    none = as_user(checkout, "sh", "tools/bootstrap.sh", PATH=str(tools))
    assert none.returncode == 1
    assert none.stderr.splitlines()[0] == "bootstrap: no Python 3.11 or newer was found."
    assert none.stderr.splitlines()[-1].strip() == "or set PYTHON=/path/to/python3, or put uv on PATH"

    (tools / "python3").symlink_to("/usr/bin/python3")
    bare = tools / "bare"
    bare.write_text(NO_PIP)
    bare.chmod(0o755)
    pipless = as_user(checkout, "sh", "tools/bootstrap.sh", PATH=str(tools), PYTHON=str(bare))
    assert pipless.returncode == 1
    assert pipless.stderr.startswith(f"bootstrap: pip is missing from {bare}.")
    assert not (checkout / ".tools" / "uv").exists()


def test_clean_leaves_the_state_alone(checkout: Path) -> None:
    state = checkout.parent / ".local" / "state" / "manman" / "kept"
    state.mkdir(parents=True)
    (checkout / ".venv").mkdir()
    give_to_nobody(checkout / ".venv")
    assert as_user(checkout, "make", "clean").returncode == 0
    assert state.exists() and not (checkout / ".venv").exists()
