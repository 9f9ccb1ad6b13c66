"""How every module of commands begins: help is plain text, and no command offers a completion of its own."""

from typing import Any

import typer


def commands(help: str | None = None, **given: Any) -> typer.Typer:
    """The commands of one noun, or (without `help`) one command alone, whose docstring is its help."""
    given.setdefault("no_args_is_help", help is not None)
    return typer.Typer(help=help, rich_markup_mode=None, add_completion=False, **given)
