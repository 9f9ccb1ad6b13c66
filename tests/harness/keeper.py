"""`python -m harness.keeper SERVICE HOME PID`: runs one shared service until told to stop, or until process PID is gone.

It writes `HOME/SERVICE.json` when the service answers: `{"pid", "url", "admin_url"}`, or `{"error"}`.
"""

import json
import os
import select
import shutil
import signal
import sys
from pathlib import Path

from harness import sim_server
from harness.postgres import Postgres
from harness.processes import ServiceFailed
from harness.rabbitmq import RabbitMQ
from harness.sim_server import SIMULATIONS

Service = Postgres | RabbitMQ


def make(service: str, folder: Path) -> Service:
    """The services by name; one of each is shared by a whole run, but for the servers of simulations, which are a process's own."""
    match service:
        case "postgres15":
            return Postgres(folder, major=15)
        case "postgres18":
            return Postgres(folder, major=18)
        case name if name.startswith(SIMULATIONS):
            return sim_server.postgres(folder)
        case "rabbitmq":
            return RabbitMQ(folder)
        case _:
            raise ServiceFailed(f"there is no service {service!r}")


def tell(home: Path, service: str, said: dict[str, object]) -> None:
    """Publish the answer in one step, so that a reader sees all of it or nothing."""
    draft = home / f"{service}.{os.getpid()}"
    draft.write_text(json.dumps(said))
    draft.rename(home / f"{service}.json")


def main(service: str, home: Path, watched: int) -> int:
    """Start, tell, wait, stop. Services are children of this main thread and die with it."""
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    running: Service | None = None
    orphaned = False
    try:
        owner = os.pidfd_open(watched)
        running = make(service, home / service)
        running.start()
        admin = running.admin_url if isinstance(running, RabbitMQ) else None
        url = running.url("") if isinstance(running, RabbitMQ) else running.url()
        tell(home, service, {"pid": os.getpid(), "url": url, "admin_url": admin})
        ready, _, _ = select.select([wake, owner], [], [])
        orphaned = owner in ready
    except (ServiceFailed, OSError) as error:
        tell(home, service, {"error": str(error)})
        return 1
    finally:
        if running is not None:
            running.stop()
        if orphaned:
            clear(home, service)
    return 0


def clear(home: Path, service: str) -> None:
    """What the owner would have done: remove our part of its home, and the home with the last part."""
    (home / f"{service}.json").unlink(missing_ok=True)
    shutil.rmtree(home / service, ignore_errors=True)
    if not list(home.glob("*.json")):
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
