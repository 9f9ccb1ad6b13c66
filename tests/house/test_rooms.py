"""Rooms, their pages and their floors."""

import ast
import sys
import tomllib

from house.tree import ROOT, SOURCE, files, parsed, written

ROOMS = {
    "api", "cli", "client", "config", "demo", "domain", "events", "host", "observability", "processor",
    "store", "subscriber", "ui", "v1", "wrapper",
}  # fmt: skip
LAYERS = [
    {"cli"},
    {"config"},
    {"api", "processor", "logs", "notify", "ui", "host"},
    {"subscriber"},
    {"client", "store"},
    {"events"},
    {"domain", "observability"},
    {"errors", "v1", "wrapper", "demo"},
]
# contract → what it must go on forbidding
FORBIDDEN = {
    "rules and messages act on nothing": {"asyncio", "logging", "os", "random", "secrets", "socket", "subprocess", "threading", "time"},
    "who may not touch the database": {"manman.store"},
    "programs of their own: standard library, no asyncio": {"asyncio", "logging", "ssl", "grpc", "google", "msgspec", "structlog"},
    "a third party has one door": {
        "pika", "asyncpg", "cryptography", "grpc", "starlette", "uvicorn", "jinja2", "httpx2", "alembic", "sqlalchemy",
        "opengsq", "sqlite3", "typer", "rich", "structlog", "prometheus_client", "opentelemetry",
    },
}  # fmt: skip
SOURCES = {
    "rules and messages act on nothing": {"manman.domain", "manman.events"},
    "who may not touch the database": {"manman.host", "manman.ui", "manman.subscriber", "manman.client"},
    "programs of their own: standard library, no asyncio": {"manman.wrapper", "manman.demo"},
    "a third party has one door": {"manman"},
}


def contracts() -> dict[str, dict[str, object]]:
    """import-linter's contracts by name."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in linter["contracts"]}


def foreign(tree: ast.AST, room: str) -> list[str]:
    """What a program of its own imports that is neither the standard library nor itself."""
    found = []
    for node in ast.walk(tree):
        names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        own = f"manman.{room}"
        found += [
            name
            for name in names
            if name.split(".")[0] not in sys.stdlib_module_names and name != own and not name.startswith(f"{own}.")
        ]
    return found


def test_the_rooms_are_those_of_the_house() -> None:
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert there - {"logs", "notify"} == ROOMS


def test_every_room_has_its_page() -> None:
    pages = [name for name in written("src/manman/") if name.endswith("/__init__.py")]
    assert len(pages) >= len(ROOMS) - 1
    assert [name for name in pages if len(ast.get_docstring(parsed(name)) or "") < 40] == []
    packages = {name.rpartition("/")[0] for name in files() if name.startswith("src/manman/") and name.endswith(".py")}
    packages -= {"src/manman/store/migrations/versions"}  # Alembic loads these by path
    assert [folder for folder in packages if not (ROOT / folder / "__init__.py").exists()] == []


def test_the_floors_are_the_contract_s() -> None:
    floors = contracts()["floors: down only, never sideways"]
    layers = floors["layers"]
    assert isinstance(layers, list)
    assert [{word.strip(" ()") for word in layer.split("|")} for layer in layers] == LAYERS
    assert floors["exhaustive"] is True


def test_the_contracts_go_on_forbidding_what_they_forbid() -> None:
    for name, forbidden in FORBIDDEN.items():
        contract = contracts()[name]
        assert forbidden <= set(contract["forbidden_modules"])  # type: ignore[call-overload]
        assert SOURCES[name] <= set(contract["source_modules"])  # type: ignore[call-overload]


def test_wrapper_and_demo_game_need_the_standard_library_alone() -> None:
    names = {name: name.split("/")[2] for name in written("src/manman/wrapper/", "src/manman/demo/")}
    assert names
    assert {name: foreign(parsed(name), room) for name, room in names.items() if foreign(parsed(name), room)} == {}


def test_the_rule_sees_a_foreign_import() -> None:
    assert foreign(ast.parse("import msgspec"), "wrapper") and foreign(
        ast.parse("from manman.errors import X"), "wrapper"
    )
    assert foreign(ast.parse("import os\nfrom manman.wrapper.spool import Spool\nfrom . import x"), "wrapper") == []
