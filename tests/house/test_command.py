"""The command line's top level: quick, because it imports what it calls and nothing else."""

import importlib.util
import subprocess
import sys

from typer.testing import CliRunner

from manman.cli.main import COMMANDS, app

IMPORTED = (
    "import sys; before = set(sys.modules); {what}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
)


def imported_by(what: str) -> set[str]:
    """The top-level modules outside of the standard library that a statement brings into a fresh interpreter."""
    command = [sys.executable, "-c", IMPORTED.format(what=what)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return {name for name in told if name not in sys.stdlib_module_names}


def test_the_top_level_imports_typer_alone() -> None:
    typer = imported_by("import typer, typer.core, typer.main")
    assert "typer" in typer and "rich" not in imported_by("import sys")
    assert imported_by("import manman.cli.main") - typer == {"manman"}


def test_the_rule_sees_an_import() -> None:
    assert "msgspec" in imported_by("import manman.cli.main, msgspec")


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "manman", "--help"], capture_output=True, text=True, check=True)
    assert [name for name in COMMANDS if f"  {name}" not in done.stdout] == []
    assert "Traceback" not in done.stderr


def test_every_command_has_its_module() -> None:
    modules = sorted({f"manman.cli.{module}" for module, _ in COMMANDS.values()})
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


def test_every_command_explains_itself() -> None:
    told = {name: CliRunner().invoke(app, [name, "--help"]) for name in COMMANDS}
    assert {name: repr(one.exception) for name, one in told.items() if one.exit_code != 0} == {}
    assert [name for name, one in told.items() if "Usage:" not in one.output] == []
    assert [name for name, one in told.items() if "╭" in one.output or "--install-completion" in one.output] == []
