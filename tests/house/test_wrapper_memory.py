"""The wrapper's budget: 16 MiB resident while a game runs and prints, and nothing imported that it may not."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.wrapped import PYTHON, Wrapped

import manman
from manman.wrapper import launch

SOURCE = Path(manman.__file__).parent
LIMIT = 16 * 1024
GAME = "print('up')\nfor n in range(200_000): print('line', n)\nprint('over'); input()"
IMPORTED = """
import sys
sys.path.append(sys.argv[1])
import manman.wrapper.main
for name, module in list(sys.modules.items()):
    print(name, getattr(module, "__file__", None))
"""


def resident(pid: int) -> int:
    """KiB; the sum of smaps where we may read it (the wrapper is not dumpable), else what the kernel counts."""
    try:
        return sum(int(kib) for kib in re.findall(r"^Rss:\s+(\d+)", Path(f"/proc/{pid}/smaps").read_text(), re.M))
    except PermissionError:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert found is not None
        return int(found[1])


def test_the_wrapper_is_at_most_16_mib_resident_while_its_game_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = tmp_path / "kit" / "manman"
    shutil.copytree(SOURCE / "wrapper", kit / "wrapper", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(SOURCE / "__init__.py", kit)
    monkeypatch.setattr(launch, "__file__", str(kit / "wrapper" / "launch.py"))  # as a container's kit: no bytecode
    with Wrapped(tmp_path, [*PYTHON[:4], "-c", GAME], readiness={"kind": "line", "pattern": "^over$"}) as it:
        it.state("running")
        assert it.ask("status")["status"]["lines"] == 200_002
        assert resident(it.pid) <= LIMIT


def test_of_our_code_the_wrapper_imports_itself_alone_and_nothing_from_site_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", IMPORTED, str(SOURCE.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [row.split(" ", 1) for row in done.stdout.splitlines()]
    names = {name for name, _ in rows}
    assert not names & {"asyncio", "ssl", "subprocess", "logging", "dataclasses", "http", "threading", "msgspec"}
    ours = {name for name in names if name.split(".")[0] == "manman"}
    assert all(name == "manman" or name.startswith("manman.wrapper") for name in ours), ours
    assert not [path for _, path in rows if "site-packages" in path and "/manman/" not in path]
