"""Documents lead somewhere: links resolve, decisions are numbered, the index is whole."""

import re
from pathlib import PurePosixPath

from house.tree import ROOT, files, text

LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
DECISION = re.compile(r"^docs/adr/(\d{4})-[a-z0-9-]+\.md$")
PARTS = ("Status", "Why", "Decision", "What follows")


def documents() -> list[str]:
    """Every Markdown file that is ours; vendored ones are somebody else's."""
    return [name for name in files() if name.endswith(".md") and "/vendor/" not in name and "/static/" not in name]


def broken(name: str, source: str) -> list[str]:
    """Links of a document that lead to no file."""
    targets = [match.group(1) for match in LINK.finditer(re.sub(r"```.*?```", "", source, flags=re.DOTALL))]
    folder = (ROOT / name).parent
    return [
        target
        for target in targets
        if "://" not in target and not target.startswith(("mailto:", "/")) and not (folder / target).exists()
    ]


def test_links_between_documents_resolve() -> None:
    assert len(documents()) > 4
    assert {name: broken(name, text(name)) for name in documents() if broken(name, text(name))} == {}


def test_decisions_are_numbered_in_a_row_and_have_their_parts() -> None:
    names = sorted(name for name in files() if name.startswith("docs/adr/") and not name.endswith("README.md"))
    numbers = [int(match.group(1)) for name in names if (match := DECISION.match(name))]
    assert numbers == list(range(1, len(names) + 1))
    assert [name for name in names if [part for part in PARTS if f"\n## {part}\n" not in text(name)]] == []


def test_the_index_names_every_document() -> None:
    index = text("docs/README.md")
    decisions = text("docs/adr/README.md")
    inside = [PurePosixPath(name) for name in documents() if name.startswith("docs/") and name != "docs/README.md"]
    missing = [str(path) for path in inside if path.parts[1] != "adr" and str(path.relative_to("docs")) not in index]
    assert missing == []
    assert [
        str(path)
        for path in inside
        if path.parts[1] == "adr" and path.name != "README.md" and path.name not in decisions
    ] == []


def test_the_rule_sees_a_broken_link() -> None:
    assert broken("docs/README.md", "[x](nowhere.md)") == ["nowhere.md"]
    assert broken("docs/README.md", "[x](README.md) [y](https://example.org)") == []
