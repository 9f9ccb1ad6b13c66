"""A database server and a broker that may be killed: one pair for many runs, a fresh database and emptied queues for each."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import shared
from harness.postgres import Postgres, execute
from harness.rabbitmq import RabbitMQ

from faults.recorder_program import QUEUE
from manman.events import topics
from manman.events.rabbit import bus as rabbit
from manman.store import migrate

TEMPLATE = "faults_template"
FULL = "faults-full"  # a subscriber's queue that refuses
# Children get a signal when the thread that spawned them ends: this one lives as long as the run.
KEEPER = ThreadPoolExecutor(1, thread_name_prefix="keeper")


async def aside(work: Callable[[], Any]) -> Any:
    """Do what blocks in the thread that keeps the servers."""
    return await asyncio.get_running_loop().run_in_executor(KEEPER, work)


@dataclass(eq=False)
class Services:
    """`open` starts both, `close` ends them."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="f", dir=shared.home())))
    _count: int = 0

    def open(self) -> "Services":
        self.folder.chmod(0o711)
        self.postgres = Postgres(self.folder / "postgres")
        self.rabbitmq = RabbitMQ(self.folder / "rabbitmq", management=False)
        starts = [KEEPER.submit(self.postgres.start), KEEPER.submit(self.rabbitmq.start)]
        for start in starts:
            start.result()
        execute(self.postgres.url(), f"CREATE DATABASE {TEMPLATE}")
        KEEPER.submit(lambda: asyncio.run(migrate.up(self.postgres.url(TEMPLATE)))).result()
        return self

    def close(self) -> None:
        """End both and remove what they had."""
        self.postgres.stop()
        self.rabbitmq.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh_database(self) -> str:
        """A migrated database's name."""
        self._count += 1
        name = f"run{self._count}"
        execute(self.postgres.url(), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY wal_log")
        return name

    async def heal(self) -> None:
        """Both are up."""
        if not self.postgres.is_alive():
            await aside(self.postgres.start)
        if not self.rabbitmq.is_alive():
            await aside(self.rabbitmq.start)

    async def empty(self, hosts: int) -> None:
        """Remove the queues of an earlier run."""
        bus = await rabbit.connect(self.rabbitmq.url(), name="director")
        names = [topics.EVENTS_QUEUE, topics.HEARTBEAT_QUEUE, topics.EXPIRED_QUEUE, QUEUE, FULL]
        names += [topics.host_commands(host) for host in range(1, hosts + 1)]  # type: ignore[arg-type]
        for name in names:
            await bus.delete_queue(name)
        await bus.close()
