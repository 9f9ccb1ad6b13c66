"""The PostgreSQL of simulations: each test process has one of its own, with a migrated database to be copied.

On a shared one neighbours would be seen: whose transaction is the oldest of a server decides when rows move within their pages, and
who announces something waits for all others who do. It works on nothing by itself, and keeps nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from harness import shared
from harness.postgres import SOCKETS, Postgres, execute
from harness.processes import give_to_nobody
from harness.templates import migrated

SIMULATIONS = "simulations-"
TEMPLATE = "migrated"
_numbers = count(1)


def postgres(folder: Path) -> Postgres:
    """A server that only its own user reaches, over a socket."""
    sockets = folder / "s"
    sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    give_to_nobody(sockets)
    settings = {
        "listen_addresses": "",
        SOCKETS: str(sockets),
        "unix_socket_permissions": "0700",
        "autovacuum": "off",
        "synchronous_commit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "1GB",
        "max_connections": "100",
        "track_counts": "off",
        "bgwriter_lru_maxpages": "0",
    }
    return Postgres(folder, settings=settings)


@cache
def _server() -> str:
    """The address of this process's own server, up and with its template."""
    url: str = shared.service(f"{SIMULATIONS}{os.getpid()}")["url"]
    execute(url, f"create database {TEMPLATE}")
    migrated(of(url, TEMPLATE))
    return url


def of(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return url.replace("@/postgres?", f"@/{database}?")


@contextmanager
def database() -> Iterator[str]:
    """A fresh migrated database of this process's own, gone afterwards."""
    server, name = _server(), f"simulation_{next(_numbers)}"
    execute(server, f"create database {name} template {TEMPLATE} strategy file_copy")
    try:
        yield of(server, name)
    finally:
        execute(server, f"drop database {name} with (force)")
