"""Clock, chance and environment are arguments: only the rooms at the edge may ask for them."""

import ast
import re

from house.tree import parsed, text, written

ROOMS = ("cli", "config", "wrapper", "observability", "demo")
LOOPS = ("service.py", "agent.py")
EDGES = ("src/manman/client/http.py",)  # makes the idempotency key of a call, in the caller's own process
CALLS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.time",
    "time.time_ns",
    "os.environ",
    "os.environb",
    "os.getenv",
    "uuid.uuid1",
    "uuid.uuid4",
}
SQL_TIME = re.compile(
    r"\b(now\s*\(|clock_timestamp\s*\(|statement_timestamp\s*\(|transaction_timestamp\s*\(|current_timestamp\b"
    r"|localtimestamp\b|current_date\b|current_time\b)",
    re.IGNORECASE,
)
SQL_DEFAULT = re.compile(r"\bdefault\s+\(?\s*(clock|now|current_timestamp|clock_timestamp)\b", re.IGNORECASE)
CLOCK_ITSELF = re.compile(
    r"create\s+(or\s+replace\s+)?function\s+(\w+\.)?clock\s*\(.*?\$\$.*?\$\$", re.IGNORECASE | re.DOTALL
)


def asked_for(tree: ast.AST) -> list[str]:
    """Which banned names a file uses: called, passed on or imported by name. `random.Random(seed)` is no chance."""
    found = []
    for node in ast.walk(tree):
        for name in named(node):
            module = name.partition(".")[0]
            if name in CALLS or (module == "random" and name != "random.Random"):
                found.append(f"{getattr(node, 'lineno', 0)}: {name}")
    return found


def named(node: ast.AST) -> list[str]:
    """The dotted names that a node uses, as far as they may be banned ones."""
    if isinstance(node, ast.Attribute):
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        return [f"{owner}.{node.attr}"]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{item.name}" for item in node.names]
    if isinstance(node, ast.Call) and not node.args and ast.unparse(node.func) in ("random.Random", "Random"):
        return ["random.Random without a seed"]
    return []


def sql_time(sql: str) -> list[str]:
    """Where SQL asks for the time otherwise than by `clock()`, or makes a time a column's default."""
    sql = re.sub(r"--[^\n]*|/\*.*?\*/", "", sql, flags=re.DOTALL)
    sql = CLOCK_ITSELF.sub("", sql)
    return [match.group() for rule in (SQL_TIME, SQL_DEFAULT) for match in rule.finditer(sql)]


def sql_strings(tree: ast.AST) -> str:
    """The strings of a Python file that are no docstrings: a migration's SQL."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]
    return "\n".join(parts)


def is_at_the_edge(name: str) -> bool:
    """Whether a file may look at clock, chance and environment."""
    return name.startswith(tuple(f"src/manman/{room}/" for room in ROOMS)) or name.endswith(LOOPS) or name in EDGES


def test_only_the_edge_asks_for_clock_chance_or_environment() -> None:
    names = [name for name in written("src/", "tests/unit/", "tests/sim/") if not is_at_the_edge(name)]
    assert len(names) > 40
    assert {name: asked_for(parsed(name)) for name in names if asked_for(parsed(name))} == {}


def test_sql_files_say_clock() -> None:
    names = written("src/", ending=".sql")
    assert names
    assert {name: sql_time(text(name)) for name in names if sql_time(text(name))} == {}


def test_sql_in_the_store_s_python_says_clock() -> None:
    names = written("src/manman/store/", "src/manman/processor/", "src/manman/api/")
    assert {name: sql_time(sql_strings(parsed(name))) for name in names if sql_time(sql_strings(parsed(name)))} == {}


def test_the_rules_see_each_way_to_ask() -> None:
    bad = (
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.now(x)",
        "import time\nf(default=time.time)",
        "from time import time",
        "import random\nrandom.random()",
        "import random\nrandom.Random()",
        "from random import choice",
        "import os\nos.environ['A']",
        "from os import environ",
        "import uuid\nuuid.uuid4()",
    )
    assert [source for source in bad if not asked_for(ast.parse(source))] == []
    assert asked_for(ast.parse("import time\ntime.monotonic()\nnow = 1")) == []
    assert asked_for(ast.parse("import random\nrandom.Random(7).choice(x)")) == []
    assert sql_time("select now()") and sql_time("at timestamptz default clock()") and sql_time("x < CURRENT_TIMESTAMP")
    assert sql_time("select clock() -- never now()") == []
    assert sql_time("create function clock() returns timestamptz stable as $$ select now() $$") == []
