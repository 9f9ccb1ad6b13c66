"""Files and functions stay small enough to be read at once."""

import ast
import tomllib

from house.tree import ROOT, functions, parsed, text, written

FILE, TEST_FILE, FUNCTION = 400, 600, 40
# file → why no better cut was found
LONGER: dict[str, str] = {}


def too_long(name: str, source: str) -> bool:
    """Whether a file is longer than its kind may be."""
    return len(source.splitlines()) > (TEST_FILE if name.startswith("tests/") else FILE)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A function's lines from `def` to its end, without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def long_functions(tree: ast.AST) -> list[str]:
    """The names of functions over the cap; an inner function counts for the outer one too."""
    return [
        f"{function.name}: {lines_of(function)} lines" for function in functions(tree) if lines_of(function) > FUNCTION
    ]


def test_no_file_is_longer_than_its_cap() -> None:
    names = written("src/", "tests/", "tools/", "bench/", "examples/")
    assert len(names) > 50
    assert [name for name in names if too_long(name, text(name)) and name not in LONGER] == []


def test_a_file_that_became_short_again_leaves_the_list() -> None:
    assert [name for name in LONGER if not too_long(name, text(name))] == []


def test_no_function_is_longer_than_forty_lines() -> None:
    names = written("src/", "tests/", "tools/", "bench/", "examples/")
    found = {name: long_functions(parsed(name)) for name in names}
    assert {name: long for name, long in found.items() if long} == {}


def test_ruff_holds_the_complexity() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "C90" in lint["select"]
    assert lint["mccabe"]["max-complexity"] == 8


def test_the_rules_see_what_is_too_long() -> None:
    assert too_long("src/a.py", "\n" * 401) and not too_long("src/a.py", "\n" * 400)
    assert too_long("tests/a.py", "\n" * 601) and not too_long("tests/a.py", "\n" * 600)
    body = "\n".join("    x = 1" for _ in range(40))
    assert long_functions(ast.parse(f"def f():\n{body}"))
    assert not long_functions(ast.parse(f'def f():\n    """One\n    two\n    three."""\n{body[10:]}'))
