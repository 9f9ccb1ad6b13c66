"""One task per deployment: it makes the machine agree with the wish, one step after another, whatever else is down.

The order of what it looks at: what must end, ends; a session that the control plane asked for begins; a wish that
nothing was begun for yet begins one from the lease; a session that is due by the policy begins in its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec

from manman.domain import restarts, wishes
from manman.domain.ids import DeploymentId, SessionId
from manman.domain.restarts import GaveUp
from manman.errors import ManManError
from manman.host import ending, reports
from manman.host.deployments import Due, HeldDeployment
from manman.host.means import Means
from manman.host.runner import Runner
from manman.host.sessions import HeldSession
from manman.observability import get_logger
from manman.v1.types import Launch

log = get_logger(__name__)
SOON, LATER = 0.5, 5.0
UNFIT = frozenset({"installing", "removing", "removed"})


class Keeper:
    """A deployment of this host. `may_begin` holds back what the agent would begin by itself (see `agent`)."""

    def __init__(
        self,
        means: Means,
        deployment_id: DeploymentId,
        group: asyncio.TaskGroup,
        may_begin: Callable[[], bool],
        draining: Callable[[], bool],
    ) -> None:
        self._means, self.deployment_id, self._group = means, deployment_id, group
        self._may_begin, self._draining = may_begin, draining
        self._news = asyncio.Event()
        self.runners: dict[SessionId, Runner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: tuple[Due, float] | None = None
        self._pause = SOON
        self._told: str | None = None

    @property
    def held(self) -> HeldDeployment:
        """What is held of it."""
        return self._means.holdings.deployment(self.deployment_id)

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of its sessions."""
        return list(self._tasks)

    def wake(self) -> None:
        """Something about it changed."""
        self._news.set()

    async def run(self) -> None:
        """Agrees for ever; cancel it to stop. Games run on."""
        for session in self._means.holdings.live_of(self.deployment_id):
            if session.machine:
                self._run(session.session_id)
        while True:
            self._news.clear()
            wait = await self._step_safely()
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _run(self, session_id: SessionId) -> None:
        if session_id in self.runners:
            return
        runner = self.runners[session_id] = Runner(self._means, session_id, self.wake)
        task = self._group.create_task(self._run_safely(runner), name=f"session-{session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_safely(self, runner: Runner) -> None:
        """A fault of one session's task is told and tried again; it is no other session's fault."""
        try:
            await runner.run()
        except Exception:
            log.exception("session_task_failed", session_id=runner.session_id)
            await asyncio.sleep(1)
        finally:
            self.runners.pop(runner.session_id, None)
            self.wake()

    async def _step_safely(self) -> float | None:
        try:
            return await self._step()
        except Exception:
            log.exception("deployment_task_failed", deployment_id=self.deployment_id)
            return LATER

    # ---- one step -----------------------------------------------------------------------------------

    async def _step(self) -> float | None:
        """Does what is to be done now; how many seconds until there may be more, None: until something changes."""
        held = self.held
        live = self._means.holdings.live_of(self.deployment_id)
        ending = [one for one in live if self._must_end(held, one)]
        for session in ending:
            self._end(session)
        if ending:
            return None
        if live:
            current = live[-1]
            if current.machine:
                self._run(current.session_id)
            return None if current.session_id in self.runners else await self._begin_asked(held, current)
        return await self._begin_own(held)

    def _must_end(self, held: HeldDeployment, session: HeldSession) -> bool:
        if session.asked or session.session_id != held.session:
            return True
        return isinstance(wishes.agree(held.wished(session)), wishes.EndLive)

    def _end(self, session: HeldSession) -> None:
        runner = self.runners.get(session.session_id)
        if runner is not None:
            runner.end()
            return
        if session.machine:
            self._run(session.session_id)
            self.runners[session.session_id].end()
        else:
            ending.not_begun(self._means, session)
            self.wake()

    async def _begin_asked(self, held: HeldDeployment, session: HeldSession) -> float | None:
        """A session that was asked for, and waits for its launch."""
        if session.leased and self._means.launches.begun(self.deployment_id) is not None:
            if not self._may_begin():
                # A life before this one took its id; where this disk is a copy, the other agent begins it.
                return SOON
            self._run(session.session_id)
            return None
        left = self._left(session)
        if left <= 0:
            return self._give_up_start(held, session)
        launch = await self._obtain(held, session.session_id)
        if launch is None or self._left(session) <= 0 or self._has_news(held, session):
            return 0.0  # its time went by, or something came in, while the launch was on its way
        if isinstance(launch, ManManError):
            if not _is_away(launch):
                self._crash(session, launch)
            elif session.detail != str(launch):
                self._means.tell(msgspec.structs.replace(session, detail=str(launch), at=self._means.now()))
            return min(self._pause, left)
        self._means.launches.begin(self.deployment_id, launch)
        self._means.holdings.keep(msgspec.structs.replace(session, launch=launch.digest))
        self._run(session.session_id)
        return None

    def _has_news(self, held: HeldDeployment, session: HeldSession) -> bool:
        return self.held != held or self._means.holdings.live_of(self.deployment_id)[-1:] != [session]

    def _left(self, session: HeldSession) -> float:
        """Seconds that a start has left to get its launch in; after a reboot nobody knows: none."""
        if session.until is None or session.until_machine != self._means.machine:
            return 0.0
        return session.until - self._means.monotonic()

    def _give_up_start(self, held: HeldDeployment, session: HeldSession) -> float | None:
        """Its time is over without a launch: the sweep ends the row; here nothing is begun for this version any more, and where the
        row is gone, with a restored database, nobody else would say so. A newer wish is begun next."""
        with self._means.journal.write():
            self._means.holdings.forget_session(session.session_id)
            held = msgspec.structs.replace(held, session=None)
            if held.begun_version < held.desired_version:
                self._means.holdings.keep(held)
            else:
                ending.give_up(self._means, held, GaveUp.START_TIMEOUT)
        log.warning("start_missed_its_time", session_id=session.session_id, detail=session.detail)
        return 0.0

    def _crash(self, session: HeldSession, error: ManManError) -> None:
        if session.status == "pending":
            ending.never_began(self._means, session, "config_invalid", str(error))
        self.wake()

    # ---- what nobody asked for by name --------------------------------------------------------------

    async def _begin_own(self, held: HeldDeployment) -> float | None:
        if held.desired != "running" or held.status in UNFIT:
            return None
        agreed = wishes.agree(held.wished(None))
        if isinstance(agreed, wishes.Begin):
            # A Restart of what never ran is a start.
            cause = agreed.cause if held.session is not None else wishes.Cause.WISH
            return await self._begin_leased(held, cause.value, held.session, newest=True)
        if held.due is None:
            return None
        left = self._due_in(held.due)
        if left > 0:
            return left
        return await self._begin_leased(held, held.due.cause, held.due.previous, newest=False)

    def _due_in(self, due: Due) -> float:
        """Seconds until then. The wall clock is asked once; a clock that is set meanwhile moves nothing."""
        if self._due is None or self._due[0] != due:
            left = (due.at - self._means.now()).total_seconds()
            launch = self._means.launches.newest(self.deployment_id)
            longest = restarts.policy_of(launch.restart if launch else None).max_delay.total_seconds()
            self._due = (due, self._means.monotonic() + min(max(0.0, left), longest))
        return self._due[1] - self._means.monotonic()

    async def _begin_leased(
        self, held: HeldDeployment, cause: str, previous: SessionId | None, *, newest: bool
    ) -> float | None:
        if not self._may_begin() or (self._draining() and cause not in ("wish", "restart")):
            return SOON if not self._draining() else LATER
        launch = None if newest else self._means.launches.begun(self.deployment_id)
        if launch is None:
            found = await self._obtain(held, None)
            if found is None:
                return 0.0
            if isinstance(found, ManManError):
                self._say_once(f"the launch of deployment {self.deployment_id} cannot be had: {found}")
                return self._pause
            launch = found
        if self.held != held or self._means.holdings.live_of(self.deployment_id):
            return 0.0  # something came in meanwhile
        number = self._means.holdings.next_id()
        if number is None:
            self._say_once(f"deployment {self.deployment_id} waits: no session id of the lease is left")
            if self._means.holdings.must_ask(self._means.monotonic()):
                reports.online(self._means)
            return SOON
        self._told = None
        self._commit(held, number, launch, cause, previous)
        self._run(number)
        return None

    def _commit(
        self, held: HeldDeployment, number: SessionId, launch: Launch, cause: str, previous: SessionId | None
    ) -> None:
        self._means.launches.begin(self.deployment_id, launch)
        now: datetime = self._means.now()
        session = HeldSession(
            session_id=number,
            deployment_id=self.deployment_id,
            run=held.last_run + 1,
            begun_version=held.desired_version,
            leased=True,
            previous=previous,
            cause=cause,
            launch=launch.digest,
            began_at=now,
            at=now,
        )
        with self._means.journal.write():
            self._means.holdings.use(number)
            self._means.holdings.keep(
                msgspec.structs.replace(
                    held,
                    last_run=session.run,
                    begun_version=held.desired_version,
                    session=number,
                    due=None,
                    gave_up=None,
                    resume=False,
                )
            )
            self._means.tell(session)

    async def _obtain(self, held: HeldDeployment, session_id: SessionId | None) -> Launch | ManManError | None:
        """The launch, why there is none, or None when something changed while it was waited for."""
        asking = asyncio.create_task(
            self._means.launches.obtain(self.deployment_id, held.deployment_version, session_id)
        )
        news = asyncio.create_task(self._news.wait())
        try:
            await asyncio.wait({asking, news}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return None
            self._pause = SOON
            return asking.result()
        except ManManError as error:
            self._pause = min(self._pause * 2, LATER)
            return error
        finally:
            asking.cancel()
            news.cancel()
            await asyncio.gather(asking, news, return_exceptions=True)

    def _say_once(self, line: str) -> None:
        if self._told != line:
            self._told = line
            log.warning("begin_waits", deployment_id=self.deployment_id, reason=line)


def _is_away(error: ManManError) -> bool:
    return error.code in ("unavailable", "timeout")
