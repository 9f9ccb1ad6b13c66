"""A database server and a broker that may be killed: one pair for many runs, a fresh database and emptied queues for each."""

import asyncio
import shutil
import subprocess
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
    """`open` starts both, `close` ends them. `disk_megabytes`: the database lies on a disk of its own, of that size."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="f", dir=shared.home())))
    disk_megabytes: int = 0
    _count: int = 0

    def open(self) -> "Services":
        self.folder.chmod(0o711)
        if self.disk_megabytes:
            self._mount()
        self.postgres = Postgres(self.folder / "postgres")
        self.postgres.log = self.folder / "postgres.log"  # what it says of its full disk needs room too
        self.rabbitmq = RabbitMQ(self.folder / "rabbitmq", management=False)
        starts = [KEEPER.submit(self.postgres.start), KEEPER.submit(self.rabbitmq.start)]
        for start in starts:
            start.result()
        execute(self.postgres.url(), f"CREATE DATABASE {TEMPLATE}")
        KEEPER.submit(lambda: asyncio.run(migrate.up(self.postgres.url(TEMPLATE)))).result()
        return self

    def _mount(self) -> None:
        """A file system in a file, where the database will lie; only root can, and this says so where it cannot be."""
        image, place = self.folder / "disk", self.folder / "postgres"
        place.mkdir(mode=0o711)
        with image.open("wb") as file:
            file.truncate(self.disk_megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
        place.chmod(0o711)

    def close(self) -> None:
        """End both and remove what they had."""
        self.postgres.stop()
        self.rabbitmq.stop()
        if self.disk_megabytes:
            subprocess.run(["umount", str(self.folder / "postgres")], check=True)
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
        generations = [(generation, count) for generation in range(1, 6) for count in range(8)]
        names += [topics.partition(topics.EVENTS_QUEUE, generation, count, 8) for generation, count in generations]
        for name in names:
            await bus.delete_queue(name)
        await bus.close()
