"""The generated AsyncAPI document says what the code publishes."""

import importlib.util
import json
from types import ModuleType
from typing import Any

from house.tree import ROOT

from manman.events import topics


def the_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("asyncapi", ROOT / "tools" / "asyncapi.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in references(inner)]
    return []


def test_the_document_is_the_code() -> None:
    tool = the_tool()
    assert tool.PAGE.read_text(encoding="utf-8") == tool.text(), "run: make reference"


def test_every_public_event_is_a_channel_and_every_reference_resolves() -> None:
    document = json.loads(the_tool().text())
    assert set(document["channels"]) == topics.PUBLIC
    for reference in references(document):
        place: Any = document
        for word in reference.removeprefix("#/").split("/"):
            place = place[word]
        assert place
