"""One session, from spawn to exit: the loop, the stop sequence, and what is said about both."""

import os
import selectors
import signal
import time
from collections.abc import Callable

from manman.wrapper import cgroup, kernel, processes, verdict
from manman.wrapper.answers import answer
from manman.wrapper.child import NotBegun, spawn
from manman.wrapper.console import Console, Remembered
from manman.wrapper.door import Door
from manman.wrapper.launch_file import Launch
from manman.wrapper.lines import typed
from manman.wrapper.pipe import VERSIONS, Said
from manman.wrapper.readiness import EACH, Watch
from manman.wrapper.spool import SAMPLE, STATE, Spool

_TICK = 1.0
_SAMPLE = 3.0
_LEFTOVERS = 10.0
_KILL_AGAIN = 0.1
_LAST_OUTPUT = 0.5


class Session:
    """The game and all that is known of it. `run` returns when the exit is said."""

    def __init__(self, launch: Launch, spool: Spool, selector: selectors.BaseSelector, folder: int) -> None:
        self._launch, self._spool, self._selector, self._folder = launch, spool, selector, folder
        self._state = "starting"
        self._ready = self._assumed = self._killed = self._gone = self._acked = False
        self._why: str | None = None
        self._grace = launch.stop.grace
        self._exit: Said | None = None
        self._pid = 0
        self._ids = Remembered()
        self._watch = Watch(launch.readiness)
        self._due: dict[str, float] = {}
        self._acts: dict[str, Callable[[float], None]] = {
            "ready": self._too_late,
            "port": self._look_at_port,
            "signal": self._signal,
            "kill": self._kill,
            "leftovers": self._kill_leftovers,
            "sample": self._sample,
            "tick": self._tick,
            "finish": lambda now: self._finish(),
        }
        self._cgroup = cgroup.make(launch.session, launch.memory)
        self._door = Door(selector, lambda said: answer(self, said), self._hello)

    # ---- beginning and looping -------------------------------------------------------------------

    def run(self, listening: Callable[[], None]) -> None:
        """Starts the game and stays until its exit is written or acknowledged; `listening` is called once it can be asked."""
        try:
            game = spawn(self._launch, self._cgroup.procs if self._cgroup else None)
        except NotBegun as error:
            listening()
            self._end(verdict.never_began(str(error)))
            return
        self._pid = game.pid
        self._console = Console(self._selector, game, self._written)
        self._say("starting", game=self._pid)
        listening()
        now = time.monotonic()
        self._due |= {"tick": now + _TICK, "sample": now + _SAMPLE}
        if self._watch.at_once():
            self._running(assumed=False)
        else:
            self._due |= {"ready": now + self._launch.readiness.timeout, "port": now}
        self._reap()  # what ended before the signal's pipe was listened to
        while self._exit is None:
            self._turn()

    def _turn(self) -> None:
        wait = max(0.0, min(self._due.values()) - time.monotonic())
        for key, mask in self._selector.select(wait):
            key.data(mask)
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            if self._due.pop(name, None) is not None:
                self._acts[name](now)

    def signalled(self, numbers: bytes) -> None:
        """Signals that the wrapper got: a child's end, or the request to stop."""
        if any(number in (signal.SIGTERM, signal.SIGINT) for number in numbers):
            self.stop("signal", None)
        self._reap()

    def _tick(self, now: float) -> None:
        self._due["tick"] = now + _TICK
        self._console.show_prompts(now)
        if os.fstat(self._folder).st_nlink == 0:
            self.stop("folder", None)

    def _sample(self, now: float) -> None:
        began = time.process_time()
        pids = self._cgroup.pids() if self._cgroup else processes.descendants(os.getpid())
        self._spool.say(SAMPLE, processes.use(pids)._asdict(), kernel.microseconds())
        # Looking through a machine with very many processes must not become the work itself.
        self._due["sample"] = now + max(_SAMPLE, 100 * (time.process_time() - began))

    # ---- what is said ----------------------------------------------------------------------------

    def _say(self, state: str, **facts: object) -> None:
        self._state = state
        at = kernel.microseconds()
        said: Said = {"state": state, "at": at, **facts}
        self._spool.say(STATE, said, at)
        self._door.say({"t": "state", **said})

    def _written(self, lines: list[tuple[int, bytes]]) -> None:
        self._spool.lines(lines, kernel.microseconds())
        if self._state == "starting" and self._watch.by_lines(lines):
            self._running(assumed=False)

    def _running(self, assumed: bool) -> None:
        self._ready, self._assumed = True, assumed
        self._due.pop("ready", None)
        self._due.pop("port", None)
        self._say("running", assumed=assumed)

    def _look_at_port(self, now: float) -> None:
        if self._state == "starting":
            if self._watch.by_port(self._pid, os.getpid()):
                self._running(assumed=False)
            else:
                self._due["port"] = now + EACH

    def _too_late(self, now: float) -> None:
        if self._state == "starting":
            if self._launch.readiness.assume:
                self._running(assumed=True)
            else:
                self.stop("start_timeout", None)

    # ---- stopping --------------------------------------------------------------------------------

    def stop(self, why: str, grace: float | None) -> None:
        """Begins the stop sequence; once begun, only a shorter grace changes it."""
        if self._exit is not None:
            return
        now = time.monotonic()
        wanted = self._launch.stop
        grace = wanted.grace if grace is None else grace
        if self._why is not None or self._gone:
            if "kill" in self._due and now + grace < self._due["kill"]:
                self._grace, self._due["kill"] = grace, now + grace
            return
        self._why, self._grace = why, grace
        self._due.pop("ready", None)
        self._due["kill"] = now + grace
        self._say("stopping", why=why, grace=grace)
        if wanted.command is not None:
            line = typed(wanted.command)
            if line is not None:
                self._console.type(line, bounded=False)
        if wanted.signal is not None:
            self._due["signal"] = now if wanted.command is None else now + grace / 2

    def kill(self) -> None:
        """SIGKILL at once, for the game and for what it left behind."""
        self.stop("command", 0)
        if self._gone:
            self._due["leftovers"] = 0

    def _signal(self, _: float) -> None:
        if not self._gone and self._launch.stop.signal is not None:
            processes.send_group(self._pid, self._launch.stop.signal)

    def _kill(self, _: float) -> None:
        if not self._gone:
            self._killed = True
            processes.send_group(self._pid, signal.SIGKILL)
            processes.send([self._pid], signal.SIGKILL)

    # ---- the end ---------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._nobody_left()
                return
            if pid == 0:
                return
            if pid == self._pid:
                self._ended(status)

    def _ended(self, status: int) -> None:
        """The program is gone. What it left behind is asked to go, and made to after the rest of the grace, 10 s at least."""
        self._gone = True
        self._console.drain()
        now = time.monotonic()
        killed = f"killed after {self._grace:g} s of grace" if self._grace else "killed at once, as asked"
        self._verdict = verdict.judge(
            status,
            verdict.Circumstances(
                ready=self._ready,
                why=self._why,
                killed=self._killed,
                kill_detail=killed,
                out_of_memory=self._was_out_of_memory(status),
                expected=self._launch.expected,
                timeout=self._launch.readiness.timeout,
            ),
        )
        for name in ("ready", "port", "signal"):
            self._due.pop(name, None)
        rest = self._due.pop("kill", now) - now
        self._due["leftovers"] = now if self._killed else now + max(_LEFTOVERS, rest)
        left = processes.descendants(os.getpid())
        processes.send(left, signal.SIGTERM)
        self._say("ended", **self._verdict, left_behind=len(left))

    def _was_out_of_memory(self, status: int) -> bool:
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return died and not self._killed and self._cgroup is not None and self._cgroup.counted_oom_kill()

    def _kill_leftovers(self, now: float) -> None:
        processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
        self._due["leftovers"] = now + _KILL_AGAIN

    def _nobody_left(self) -> None:
        if self._gone and "finish" not in self._due and self._exit is None:
            self._due.pop("leftovers", None)
            self._due["finish"] = time.monotonic() + (0 if self._console.over else _LAST_OUTPUT)

    def _finish(self) -> None:
        self._console.drain()
        self._console.close()
        self._end(self._verdict)

    def fail(self, detail: str) -> None:
        """The wrapper itself cannot go on: the game is killed, and that is said."""
        until = time.monotonic() + _LEFTOVERS
        while (left := processes.descendants(os.getpid())) and time.monotonic() < until:
            processes.send(left, signal.SIGKILL)
            time.sleep(_KILL_AGAIN)
        if self._exit is None:
            self._end(verdict.never_began(f"the wrapper failed: {detail}", "unknown"))

    def _end(self, said: Said) -> None:
        """Says the exit, again and again while the disk refuses it, until it is written, acknowledged or nobody's any more."""
        if self._cgroup is not None:
            self._cgroup.remove()
        at = kernel.microseconds()
        self._exit = {"at": at, **said}
        written = self._spool.exit(self._exit, at)
        self._door.say({"t": "exit", **self._exit})
        while not (written or self._acked or os.fstat(self._folder).st_nlink == 0):
            again = time.monotonic() + _TICK
            while not self._acked and (left := again - time.monotonic()) > 0:
                for key, mask in self._selector.select(left):
                    key.data(mask)
            written = self._spool.exit(self._exit, at)
        self._door.close(patience=_TICK)

    # ---- the socket ------------------------------------------------------------------------------

    def _hello(self) -> Said:
        return {
            "t": "hello",
            "versions": list(VERSIONS),
            "session": self._launch.session,
            "wrapper": os.getpid(),
            "boot": kernel.boot_id(),
            "status": self.status(),
        }

    def status(self) -> Said:
        """What there is to know now, for `hello` and `status`."""
        return {
            "state": self._state,
            "game": self._pid or None,
            "ready": self._ready,
            "assumed": self._assumed,
            "why": self._why,
            "lines": self._spool.number,
            "dropped": self._spool.dropped,
            "input_waiting": self._console.waiting if self._pid else 0,
            "exit": self._exit,
        }

    def type(self, each: str | None, line: bytes) -> str:
        """Types a line unless its id was typed before: `typed`, `duplicate`, `full`, or `gone`."""
        if each is not None and each in self._ids:
            return "duplicate"
        if self._gone or self._exit is not None:
            return "gone"
        if not self._console.type(line):
            return "full"
        if each is not None:
            self._ids.add(each)
        return "typed"

    def was_answered(self) -> bool:
        """The agent's query was answered; False if no query decides here."""
        if not self._watch.by_query():
            return False
        if self._state == "starting":
            self._running(assumed=False)
        return True

    def acknowledged(self) -> None:
        """The agent has the exit."""
        self._acked = self._exit is not None
