"""Databases cloned from a migrated template: 0.03 to 0.12 s each."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from harness import shared
from harness.postgres import execute

TEMPLATE = "manman_template"


def template(major: int) -> str:
    """The name of a database of this major with all migrations, made once a run."""
    done = shared.home() / f"template-{major}.done"
    if not done.exists():
        with shared.once(f"template-{major}"):
            if not done.exists():
                _migrate(shared.service(f"postgres{major}")["url"])
                done.touch()
    return TEMPLATE


def clone(server: str, name: str, source: str) -> None:
    """`create database`, one at a time a server: two at once from one template refuse each other."""
    with shared.once("clone-" + server.rpartition(":")[2].partition("/")[0]):
        execute(server, f"create database {name} template {source} strategy file_copy")


def _migrate(server: str) -> None:
    execute(server, f"drop database if exists {TEMPLATE} with (force)", f"create database {TEMPLATE}")
    migrated(server.rpartition("/")[0] + f"/{TEMPLATE}")


def migrated(url: str) -> None:
    """Make all migrations in an empty database."""
    from manman.store import migrate

    with ThreadPoolExecutor(1) as aside:  # the test that asks first may be async
        aside.submit(lambda: asyncio.run(migrate.up(url))).result()
