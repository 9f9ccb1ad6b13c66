"""One task per session: it begins what is still to be begun, follows the wrapper's spool to the exit, tells each step.

The spool is the truth and is read from the offset in the journal, so any number of agent lives tell each step once; the
socket only wakes the reader and carries commands. Cancelling the task leaves the game running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from manman.domain.ids import SessionId
from manman.errors import Unavailable
from manman.host import consoles, ending, players
from manman.host.means import Means
from manman.host.runtimes import Found, NotLaunched
from manman.host.sessions import HeldSession
from manman.host.starting import Starting
from manman.host.wires import Wire
from manman.observability import get_logger
from manman.wrapper import spool_reader
from manman.wrapper.spool import EXIT, LINE, SAMPLE, STATE, Record

log = get_logger(__name__)
BUSY, IDLE = 0.05, 0.25  # seconds between looks at the spool
KEEP_OFFSET_EVERY = 2.0
PATIENCE = 20.0  # seconds beyond its grace after which a wrapper that does not stop is killed


class Runner:
    """A live session. `ended` is called once, when its end is in the journal."""

    def __init__(self, means: Means, session_id: SessionId, ended: Callable[[], None]) -> None:
        self._means, self.session_id, self._ended = means, session_id, ended
        self._news = asyncio.Event()
        self._wire: Wire | None = None
        self._starting: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._end_asked = self._kill_asked = False
        self._end_sent: float | None = None  # with which grace
        self._kill_sent = False
        self._kill_at: float | None = None
        self._usual_grace: float | None = None
        self._offset, self._line = self._held.offset, self._held.line
        self._kept_at = 0.0

    @property
    def _held(self) -> HeldSession:
        held = self._means.holdings.session(self.session_id)
        if held is None:
            raise LookupError(f"session {self.session_id} is not held")
        return held

    def _loop_time(self) -> float:
        return asyncio.get_running_loop().time()

    # ---- what others ask ----------------------------------------------------------------------------

    def end(self, *, kill: bool = False) -> None:
        """Asks for the end: the stop sequence, or SIGKILL at once. Repeating it is harmless."""
        if not self._held.asked:
            self._means.holdings.keep(msgspec.structs.replace(self._held, asked=True))
        self._end_asked = True
        self._kill_asked = self._kill_asked or kill
        if self._starting is not None and not self._held.machine:
            self._starting.cancel()
        self._news.set()

    async def type(self, line: str, command_id: str) -> str | None:
        """Gives a line to the game's console, once per command. None, or why it was not taken."""
        launch = self._means.launches.begun(self._held.deployment_id)
        if launch is not None and consoles.is_by_port(launch):
            return await consoles.type_line(launch, line)
        if consoles.has_none(launch):
            return "this game has no console"
        if self._wire is None:
            return "the game's wrapper is not connected"
        try:
            reply = await self._wire.ask("input", id=command_id, line=line)
        except Unavailable as error:
            return str(error)
        return None if reply.get("ok") else str(reply.get("detail") or reply.get("code"))

    @property
    def may_repeat_input(self) -> bool:
        """Whether the game's wrapper drops a line that it had; a console port does not."""
        return not consoles.is_by_port(self._means.launches.begun(self._held.deployment_id))

    # ---- its life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """From wherever it is to its end."""
        try:
            if self._held.asked:
                self._end_asked = True
            found = await self._means.runtime.inspect(self.session_id)
            if self._is_to_begin(found):
                if not await self._begin():
                    return
                found = await self._means.runtime.inspect(self.session_id)
            if found is None:
                ending.lost(self._means, self._held)
            else:
                await self._follow(found)
        finally:
            await self._let_go()
            if not self._held.is_live:
                self._means.samples.pop(self.session_id, None)
                self._means.players.pop(self.session_id, None)
                self._ended()

    def _is_to_begin(self, found: Found | None) -> bool:
        """Whether no wrapper ran yet: also where the agent died between writing that it starts one and starting it."""
        held = self._held
        never_ran = found is None or (not found.is_alive and found.machine is None)
        return not held.machine or (held.status == "starting" and held.machine == self._means.machine and never_ran)

    async def _begin(self) -> bool:
        """Starts the wrapper; False when the session ended without one."""
        if not self._end_asked:
            self._starting = asyncio.create_task(Starting(self._means, self.session_id).run())
            await asyncio.wait({self._starting})
            work, self._starting = self._starting, None
            if not work.cancelled() and (failed := work.exception()) is not None:
                if not isinstance(failed, NotLaunched):
                    raise failed
                ending.never_began(self._means, self._held, failed.reason, str(failed))
                return False
        if not self._held.machine or (self._end_asked and await self._never_ran()):
            ending.not_begun(self._means, self._held)
            return False
        return True

    async def _never_ran(self) -> bool:
        """Whether an end was asked for before the wrapper was started."""
        found = await self._means.runtime.inspect(self.session_id)
        return found is None or (not found.is_alive and found.machine is None)

    async def _let_go(self) -> None:
        for task in (self._starting, self._asking):
            if task is not None:
                task.cancel()
        if self._wire is not None:
            await self._wire.close()
        self._keep_offset()

    async def _follow(self, found: Found) -> None:
        while True:
            self._news.clear()
            before = self._offset
            exited = self._read(found)
            if exited is not None:
                await self._finish(found, exited)
                return
            if self._offset == before and not await self._lives(found) and not self._more(found):
                ending.lost(self._means, self._held)
                return
            await self._connect(found)
            await self._carry_out()
            self._ask_game()
            await self._pause(BUSY if self._offset != before else IDLE)

    async def _lives(self, found: Found) -> bool:
        if self._wire is not None and self._wire.is_open:
            return True
        still = await self._means.runtime.inspect(found.session_id)
        return still is not None and still.is_alive

    def _more(self, found: Found) -> bool:
        """Whether something was written between the last look and the wrapper's going."""
        return bool(spool_reader.read_from(found.folder, self._offset).records)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    # ---- the spool ----------------------------------------------------------------------------------

    def _read(self, found: Found) -> Record | None:
        """Tells what is new in the spool; the exit record when it was reached, told by the caller."""
        batch = spool_reader.read_from(found.folder, self._offset)
        lines: list[Record] = []
        for record in batch.records:
            if record.kind == EXIT:
                self._means.lines.add(self.session_id, lines)
                self._offset = record.end
                return record
            self._line = record.number
            if record.kind == LINE:
                lines.append(record)
            elif record.kind == SAMPLE:
                self._means.samples[self.session_id] = record.said
            elif record.kind == STATE:
                self._offset = record.end
                self._tell_state(record)
        self._means.lines.add(self.session_id, lines)
        self._offset = batch.offset
        if self._loop_time() - self._kept_at > KEEP_OFFSET_EVERY:
            self._keep_offset()
        return None

    def _keep_offset(self) -> None:
        held = self._means.holdings.session(self.session_id)
        if held is not None and held.is_live and held.offset != self._offset:
            self._means.holdings.keep(msgspec.structs.replace(held, offset=self._offset, line=self._line))
        self._kept_at = self._loop_time()

    def _tell_state(self, record: Record) -> None:
        at = datetime.fromtimestamp(record.time / 1_000_000, UTC)
        held, said = self._held, record.said
        place = {"offset": self._offset, "line": self._line}
        match said.get("state"):
            case "running" if held.status == "starting":
                detail = "assumed to be ready" if said.get("assumed") else None
                self._means.move(held, "running", at, ready_at=at, detail=detail, **place)
            case "stopping" if held.status in ("starting", "running"):
                self._means.move(held, "stopping", at, detail=None, **place)
            case _:
                self._means.holdings.keep(msgspec.structs.replace(held, **place))

    async def _finish(self, found: Found, record: Record) -> None:
        at = datetime.fromtimestamp(record.time / 1_000_000, UTC)
        ending.exited(self._means, self._held, found, record.said, at, self._offset)
        if self._wire is not None:
            try:
                await self._wire.ask("exit_ack")
            except Unavailable:
                pass

    # ---- the wrapper --------------------------------------------------------------------------------

    async def _connect(self, found: Found) -> None:
        if self._wire is not None and self._wire.is_open:
            return
        try:
            self._wire = await Wire.open(found.folder, found.wrapper, self._news.set)
        except Unavailable:
            self._wire = None
            return
        self._end_sent, self._kill_sent = None, False

    async def _carry_out(self) -> None:
        if self._kill_asked and not self._kill_sent:
            self._kill_sent = await self._say("kill")
            if not self._kill_sent:
                await self._means.runtime.kill(self.session_id)
        elif self._end_asked and self._end_sent != (grace := self._grace()):
            if await self._say("stop", grace=grace):
                self._end_sent = grace
            latest = self._loop_time() + grace + PATIENCE
            self._kill_at = latest if self._kill_at is None else min(self._kill_at, latest)
        if self._kill_at is not None and self._loop_time() > self._kill_at:
            self._kill_at = None
            log.warning("wrapper_does_not_stop", session_id=self.session_id)
            await self._means.runtime.kill(self.session_id)

    async def _say(self, do: str, *, grace: float | None = None) -> bool:
        if self._wire is None:
            return False
        try:
            await (self._wire.ask(do) if grace is None else self._wire.ask(do, grace=grace))
        except Unavailable:
            return False
        return True

    def _grace(self) -> float:
        if self._held.grace is not None:
            return self._held.grace
        if self._usual_grace is None:
            self._usual_grace = players.grace_of(self._means.launches.begun(self._held.deployment_id))
        return self._usual_grace

    def _ask_game(self) -> None:
        """Keeps a task that asks the game how it is, where the launch says by which protocol."""
        if self._asking is None and self._held.status in ("starting", "running"):
            launch = self._means.launches.begun(self._held.deployment_id)
            self._asking = asyncio.create_task(
                players.watch(self._means, self.session_id, launch, lambda: self._held.status, self._ready)
            )

    async def _ready(self) -> None:
        await self._say("ready")
