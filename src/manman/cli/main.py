"""The command line's top level: names, one line of help each, and nothing imported until it is called."""

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# name → (module, help). The module has a typer `app`; a module with one command only is that command.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "Start everything on this machine: panel, database, agent, and a first game."),
    "down": ("down", "Stop what `manman up` started; games run on unless --games."),
    "run": ("run", "One command to a game: make what is missing, start it, print where to join."),
    "sessions": ("sessions", "Start, stop, watch, talk to games: one session is one run of a deployment."),
    "deployments": ("deployments", "Game configs placed on hosts, with their ports."),
    "games": ("games", "The catalogue: games, their configs and revisions."),
    "hosts": ("hosts", "Machines that play games; join tokens for new ones."),
    "events": ("events", "What happened, live or replayed; messages that could not be applied."),
    "login": ("identity", "Who you are to the panel, and the installation at a glance."),
    "admin": ("admin", "Break-glass: a one-time link for the admin, from this machine or the database."),
    "api": ("serve_api", "Serve the control plane API: REST and gRPC."),
    "processor": ("serve_processor", "Run the event processor."),
    "ui": ("serve_ui", "Serve the web pages."),
    "host": ("host", "Run this machine's agent, or join it to a control plane."),
    "migrate": ("migrate", "Bring the database up or down; show where it is."),
    "settings": ("settings", "The reference of all settings."),
    "test": ("testing", "Run the test suite with the services that it needs."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when one of them is run, so that `--help` stays fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """What help shows: the name and its line, without the module behind it."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, short_help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The command that is run: the real one."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or command is None:
            return name, command, rest
        module: Any = importlib.import_module(f"manman.cli.{COMMANDS[name][0]}")
        real = typer.main.get_command(module.app)
        real.name = name
        return name, real, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Runs game servers on machines you own. `manman up` is the whole thing on this machine.",
)


@app.callback()
def root() -> None:
    """Holds the group open; every command is one of COMMANDS."""
