"""`manman up` on a disk without room: one line, exit 2, nothing begun."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("size", ["4k", "20m"])
def test_a_state_folder_without_room_is_said_in_one_line(roomy: Path, size: str) -> None:
    disk = roomy / "disk"
    disk.mkdir()
    script = f"mount -t tmpfs -o size={size} tmpfs {disk} && exec {sys.executable} -m manman up --game ''"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=os.environ | {"STATE_DIR": str(disk / "state")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert str(disk / "state") in line and "STATE_DIR" in line and ("free" in line or "No space" in line)
