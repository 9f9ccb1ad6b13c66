"""The generated references say what the code says."""

import importlib.util
from pathlib import Path

from house.tree import ROOT


def test_the_reference_of_settings_is_the_code() -> None:
    spec = importlib.util.spec_from_file_location("reference", Path(ROOT) / "tools" / "reference.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.SETTINGS.read_text(encoding="utf-8") == tool.settings(), "run: make reference"
