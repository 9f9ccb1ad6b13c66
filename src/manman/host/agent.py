"""The agent: one loop, one TaskGroup. It is given its bus and its source of launches, so that `manman host` and `manman up`
run the same thing. Cancelled or killed, games run on; the next life adopts them."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from manman.domain.ids import HostId
from manman.errors import BadSetting, Malformed, ManManError
from manman.events import codec, contracts, topics
from manman.events.bus import Bus, Consumer
from manman.host import places, reconcile, reports
from manman.host.commands import Commands
from manman.host.disk import Ballast
from manman.host.heartbeats import Heartbeats
from manman.host.identity import IdentityLock, machine_marks
from manman.host.installs import Installer
from manman.host.journal import Chance, DiskFull, Journal, Taken
from manman.host.launches import Launches, Source
from manman.host.logs import Lines
from manman.host.means import Holdings, Means
from manman.host.runtimes import Runtime
from manman.host.runtimes.process import ProcessRuntime
from manman.host.sender import Sender
from manman.host.settings import Settings
from manman.host.supervisor import Supervisor
from manman.observability import acts, get_logger, health, observe
from manman.observability.health import Health

log = get_logger(__name__)
LEASE_WAIT = 3.0
BATCH = 200
GOODBYE = timedelta(seconds=5)
TIDY_EVERY = 30.0
SAY_EVERY = 60.0


def machine_boot() -> str:
    """Which boot this machine is in."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Agent:
    """One host. `state` is the agent's own folder; a second agent on it is refused with `BadSetting` when it runs."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        source: Source,
        *,
        host_id: HostId,
        state: Path,
        runtime: Runtime | None = None,
        machine: str | None = None,
        marks: Mapping[str, str] | None = None,
        chance: Chance = os.urandom,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.host_id, self._settings, self._bus, self._source = host_id, settings, bus, source
        self._state, self._chance, self._now = state, chance, now
        self._runtime = runtime or ProcessRuntime(state, host_id)
        self._machine = machine or machine_boot()
        self._marks = machine_marks() if marks is None else marks
        self._supervisor: Supervisor | None = None
        self._speaks = asyncio.Event()
        self._leased = asyncio.Event()
        self._read_all = asyncio.Event()
        self._identity: IdentityLock | None = None
        self._ready_to_begin = False
        self.running = asyncio.Event()

    # ---- the one loop -------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop`; then says goodbye and leaves the games running. Raises `BadSetting` for a state folder that
        is in use or cannot be, `DiskFull` where nothing can be written; the broker or API away is no error."""
        places.prepare_state(self._state)
        with _Lock(self._state / "agent.lock"):
            ballast = Ballast(self._state / "ballast")
            journal = self._open_journal(ballast)
            try:
                await self._run(stop, journal, ballast)
            finally:
                journal.close()

    def _open_journal(self, ballast: Ballast) -> Journal:
        path = self._state / "journal.db"
        try:
            return Journal(path, self.host_id, chance=self._chance, room=ballast.give_up)
        except DiskFull:  # the ballast went; that was 64 MiB
            return Journal(path, self.host_id, chance=self._chance)

    async def _run(self, stop: asyncio.Event, journal: Journal, ballast: Ballast) -> None:
        sender = Sender(journal, self._bus)
        lines = Lines(self._bus, self.host_id)
        means = self._means(journal, lines, sender.wake)
        await reconcile.take_stock(means)
        threshold = self._settings.stale_host_threshold_seconds
        identity = IdentityLock(journal, self._bus, self._speaks, threshold=threshold, marks=self._marks)
        self._identity = identity
        async with asyncio.TaskGroup() as group:
            supervisor = self._supervisor = Supervisor(means, group, self._may_begin)
            commands = Commands(means, supervisor, self._leased.set)
            supervisor.start()
            for taken in journal.untried():
                await self._apply(commands, taken)
            reports.online(means)
            heartbeats = Heartbeats(journal, self._bus, self._state, supervisor.lives, self._now)
            tasks = [
                group.create_task(identity.hold(), name="identity"),
                group.create_task(self._send(sender), name="sender"),
                group.create_task(self._publish_lines(lines), name="lines"),
                group.create_task(self._beat(heartbeats), name="heartbeats"),
                group.create_task(self._listen(journal, commands), name="commands"),
                group.create_task(self._tidy(means, ballast), name="tidy"),
                group.create_task(self._complain(), name="complain"),
                group.create_task(self._open_the_gate(supervisor), name="gate"),
            ]
            if self._settings.health_check_port is not None:
                tasks.append(group.create_task(self._answer_probes(stop, self._settings.health_check_port)))
            self.running.set()
            await stop.wait()
            await self._say_goodbye(means, sender, tasks)
            for task in supervisor.tasks():
                task.cancel()

    def _means(self, journal: Journal, lines: Lines, wake: Callable[[], None]) -> Means:
        return Means(
            settings=self._settings,
            state=self._state,
            journal=journal,
            holdings=Holdings(journal),
            runtime=self._runtime,
            launches=Launches(self._source, self._state),
            installer=Installer(self._state / "cache" / "debian"),
            lines=lines,
            now=self._now,
            monotonic=time.monotonic,
            chance=self._chance,
            machine=self._machine,
            owner_is_root=os.geteuid() == 0,
            wake_sender=wake,
        )

    async def stop_games(self) -> int:
        """Stops every game in order and leaves the wishes alone, so that the next agent begins them again; how many."""
        return 0 if self._supervisor is None else await self._supervisor.stop_games()

    def live_count(self) -> int:
        """How many sessions live here."""
        return 0 if self._supervisor is None else len(self._supervisor.lives())

    async def _say_goodbye(self, means: Means, sender: Sender, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        reports.offline(means)
        if self._speaks.is_set() and self._bus.connected:
            await sender.drain(GOODBYE)

    # ---- when it may begin by itself ----------------------------------------------------------------

    def _may_begin(self) -> bool:
        """Not before the gate is open, and not while another agent may have this identity: that one begins them."""
        return self._ready_to_begin and self._identity is not None and not self._identity.may_be_anothers

    async def _open_the_gate(self, supervisor: Supervisor) -> None:
        """At most 3 s for a lease and for what waits in the command queue: the highest version counts."""
        try:
            async with asyncio.timeout(LEASE_WAIT):
                await self._leased.wait()
                await self._read_all.wait()
        except TimeoutError:
            pass
        self._ready_to_begin = True
        supervisor.wake_all()

    # ---- out ----------------------------------------------------------------------------------------

    async def _send(self, sender: Sender) -> None:
        await self._speaks.wait()
        await sender.run()

    async def _publish_lines(self, lines: Lines) -> None:
        await self._speaks.wait()
        await lines.run()

    async def _beat(self, heartbeats: Heartbeats) -> None:
        await self._speaks.wait()
        while True:
            await heartbeats.step()
            await asyncio.sleep(self._settings.heartbeat_seconds)

    async def _complain(self) -> None:
        """The line about a bus that is out of reach, each minute."""
        away_for = 0.0
        while True:
            await asyncio.sleep(1)
            away_for = 0.0 if self._bus.connected else away_for + 1
            if away_for == 5 or (away_for > 5 and away_for % SAY_EVERY == 0):
                why = getattr(self._bus, "trouble", None)
                log.warning("bus_out_of_reach", host_id=self.host_id, seconds=int(away_for), reason=str(why or ""))

    async def _answer_probes(self, stop: asyncio.Event, port: int) -> None:
        said = Health(notes={"bus": lambda: None if self._bus.connected else "the bus is out of reach"})
        try:
            await health.serve(port, said, stop, bind="127.0.0.1")
        except OSError as error:
            raise BadSetting(f"HEALTH_CHECK_PORT={port} cannot be listened on: {error.strerror}") from error

    # ---- in -----------------------------------------------------------------------------------------

    async def _listen(self, journal: Journal, commands: Commands) -> None:
        await self._speaks.wait()
        told = False
        while True:
            try:
                async with self._bus.consume(topics.host_commands(self.host_id), self._settings.prefetch) as consumer:
                    told = False
                    while True:
                        await self._take(consumer, journal, commands)
            except ManManError as error:
                if not told:
                    told = True
                    log.warning("commands_out_of_reach", host_id=self.host_id, reason=str(error))
                await asyncio.sleep(1)

    async def _take(self, consumer: Consumer, journal: Journal, commands: Commands) -> None:
        """One batch: written down, acknowledged, applied in its order."""
        wait = None if self._read_all.is_set() else timedelta(milliseconds=200)
        batch = await consumer.get_batch(BATCH, wait=wait)
        if not batch:
            self._read_all.set()
            return
        fresh: list[Taken] = []
        with journal.write():
            for delivery in batch:
                taken = self._understood(delivery.key, delivery.body)
                if taken is not None and journal.take(
                    taken.verb, taken.command, taken=taken.taken, machine=self._machine
                ):
                    fresh.append(taken)
        try:
            await consumer.ack(batch[-1])
        finally:  # they are in the journal: a lost channel only means that they come again
            for taken in fresh:
                await self._apply(commands, taken)

    def _understood(self, key: str, body: bytes) -> Taken | None:
        try:
            message = codec.decode(key, {}, body)
        except Malformed as error:
            log.warning("command_not_understood", key=key, reason=str(error))
            return None
        if not isinstance(message.body, contracts.Command) or message.host_id != self.host_id:
            log.warning("command_not_for_this_host", key=key)
            return None
        return Taken(verb=message.key.word, command=message.body, taken=time.monotonic(), machine=self._machine)

    async def _apply(self, commands: Commands, taken: Taken) -> None:
        """Carries out one command; on a full disk again and again, for it is acknowledged already."""
        while True:
            with observe(acts.AGENT_COMMAND, verb=taken.verb, command_id=taken.command.command_id) as seen:
                try:
                    commands.apply(taken)
                    return
                except DiskFull as error:
                    seen.add(error=str(error))
                except Exception:
                    # A command that cannot be carried out must not end every next life of the agent too.
                    log.exception("command_failed", verb=taken.verb, command_id=taken.command.command_id)
                    commands.drop(taken)
                    return
            await asyncio.sleep(1)

    # ---- now and then -------------------------------------------------------------------------------

    async def _tidy(self, means: Means, ballast: Ballast) -> None:
        while True:
            try:
                await asyncio.to_thread(ballast.take_up)
                await reconcile.tidy(means)
            except (ManManError, OSError) as error:
                log.warning("tidying_failed", reason=str(error))
            await asyncio.sleep(TIDY_EVERY)


class _Lock:
    """One agent a state folder."""

    def __init__(self, path: Path) -> None:
        self._path, self._fd = path, -1

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise BadSetting(
                f"another agent runs in {self._path.parent}; give this one a STATE_DIR of its own"
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
