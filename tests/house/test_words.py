"""Names say what a thing is; words that say nothing are not used."""

import ast
import re
from pathlib import PurePosixPath

from house.tree import parsed, written

NAME = re.compile(r"Manager|Helper|^_?process_data|^_?handle(_|$)|^_?do_stuff|[Uu]tils?$")
FILE = re.compile(r"^(utils?|helpers?|managers?|misc|common)(_|$)|_(utils?|helpers?|manager)$")
# where somebody else's protocol gives the name
GIVEN: set[str] = set()


def empty_names(tree: ast.AST) -> list[str]:
    """The names of classes and functions that say nothing."""
    named = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.name for node in named if NAME.search(node.name) and node.name not in GIVEN]


def is_open(node: ast.Match) -> bool:
    """Whether a `match` lets an unknown value through without a word."""
    last = node.cases[-1]
    return not (isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None)


def test_no_class_or_function_has_an_empty_name() -> None:
    names = written("src/", "tests/", "tools/", "bench/", "examples/")
    found = {name: empty_names(parsed(name)) for name in names}
    assert {name: empty for name, empty in found.items() if empty} == {}


def test_no_file_has_an_empty_name() -> None:
    assert [name for name in written("src/", "tests/", "tools/") if FILE.search(PurePosixPath(name).stem)] == []


def test_every_match_is_closed() -> None:
    left = {
        name: [node.lineno for node in ast.walk(parsed(name)) if isinstance(node, ast.Match) and is_open(node)]
        for name in written("src/")
    }
    assert {name: lines for name, lines in left.items() if lines} == {}


def test_the_rules_see_what_they_forbid() -> None:
    bad = "class SessionManager: ...\nclass Helper: ...\ndef handle(): ...\ndef handle_event(): ...\ndef process_data(): ..."
    assert len(empty_names(ast.parse(bad))) == 5
    assert empty_names(ast.parse("def is_silent(): ...\nclass Moved: ...\ndef handler(): ...")) == []
    assert FILE.search("utils") and FILE.search("text_helpers") and not FILE.search("sessions")
    half = ast.parse("match x:\n    case 1:\n        pass").body[0]
    whole = ast.parse("match x:\n    case 1:\n        pass\n    case _:\n        pass").body[0]
    assert isinstance(half, ast.Match) and is_open(half)
    assert isinstance(whole, ast.Match) and not is_open(whole)
