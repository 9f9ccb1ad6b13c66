"""Lint, format, floors and types hold; `make check` runs the same tools by themselves and leaves this file out."""

import subprocess
import sys
from pathlib import Path

import pytest
from house.tree import ROOT

HERE = Path(sys.executable).parent
TOOLS = {
    "lint": [sys.executable, "-m", "ruff", "check", "-q", "--output-format=concise", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "floors": [str(HERE / "lint-imports")],
    "types": [sys.executable, "-m", "mypy"],
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_finds_nothing(name: str) -> None:
    done = subprocess.run(TOOLS[name], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
