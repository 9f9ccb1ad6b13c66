"""What each command does here. Repeating one changes nothing: it was journalled by its id, and every effect is a level.

`apply` writes the effect and settles the command in one write; what takes longer goes on beside.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

import msgspec

from manman.domain import wishes
from manman.domain.ids import DeploymentId, SessionId
from manman.domain.sessions import Desired
from manman.events import contracts
from manman.host import ending, reports
from manman.host.deployments import HeldDeployment
from manman.host.journal import Taken
from manman.host.means import Means
from manman.host.sessions import HeldSession
from manman.host.supervisor import Supervisor
from manman.observability import get_logger

log = get_logger(__name__)
INPUT_LIFE = timedelta(seconds=10).total_seconds()
MOST_TAIL = 1000
START_DEADLINE = 120.0


class Commands:
    """The control plane's words, carried out. `leased` is called when a lease arrived."""

    def __init__(self, means: Means, supervisor: Supervisor, leased: Callable[[], None]) -> None:
        self._means, self._supervisor, self._leased = means, supervisor, leased

    def apply(self, taken: Taken) -> None:
        """The effect of one command, once."""
        command = taken.command
        if taken.verb == "input":
            self._supervisor.beside(self._input(taken))
            return
        with self._means.journal.write():
            self._at_once(taken.verb, taken)
            self._means.journal.settle(command.command_id)
        if taken.verb in ("install", "remove", "tail"):
            self._beside(taken.verb, command)
        if command.deployment_id is not None and taken.verb not in ("remove", "tail"):
            self._supervisor.keeper(command.deployment_id).wake()

    def drop(self, taken: Taken) -> None:
        """The command is refused for good: carrying it out failed."""
        with self._means.journal.write():
            self._refuse(taken.command, "failed", "the agent could not carry it out; its log says why")
            self._means.journal.settle(taken.command.command_id)

    def _at_once(self, verb: str, taken: Taken) -> None:
        command = taken.command
        match verb:
            case "start":
                self._start(taken)
            case "stop" | "restart" | "wish" | "kill":
                self._wish(command, kill=verb == "kill")
            case "end":
                self._end(command)
            case "install" | "remove":
                self._place(verb, command)
            case _:
                self._of_the_host(verb, command)

    def _of_the_host(self, verb: str, command: contracts.Command) -> None:
        match verb:
            case "report":
                self._means.journal.jump_above(command.boot or 0)
                reports.say(self._means, command.command_id)
            case "lease":
                self._means.holdings.take_lease(command.lease or [])
                self._means.journal.when_written(self._leased)
            case "host":
                self._host(command)
            case _:
                log.debug("command_beside", verb=verb)

    def _place(self, verb: str, command: contracts.Command) -> None:
        held = self._versioned(command)
        if verb == "install":
            before = self._means.holdings.deployment(held.deployment_id).deployment_version
            # A later version that is to be installed is a Reinstall: the command that said so may be the lost one.
            again = command.reason == "reinstall" or (before or 0) < (held.deployment_version or 0)
            self._means.holdings.keep(msgspec.structs.replace(held, status="installing", install_again=again))
        else:
            self._means.holdings.keep(msgspec.structs.replace(held, status="removing", desired="stopped", due=None))

    # ---- power --------------------------------------------------------------------------------------

    def _versioned(self, command: contracts.Command) -> HeldDeployment:
        """The deployment, with the newest version of its launch that was heard of."""
        held = self._means.holdings.deployment(DeploymentId(command.deployment_id or 0))
        if command.deployment_version is None or command.deployment_version <= (held.deployment_version or 0):
            return held
        return msgspec.structs.replace(held, deployment_version=command.deployment_version)

    def _start(self, taken: Taken) -> None:
        command, held = taken.command, self._versioned(taken.command)
        known = self._means.holdings.session(SessionId(command.session_id or 0))
        if known is not None:
            self._means.tell(known)
            return
        live = self._means.holdings.live_of(held.deployment_id)
        verdict = wishes.judge_start(held.wished(live[-1] if live else None), wish_of(command), command.run or 0)
        held = held.hearing(verdict.held)
        match verdict:
            case wishes.RefuseStart():
                self._means.holdings.keep(held)
                self._refuse(command, verdict.reason, verdict.detail)
            case wishes.TakeStart():
                self._take_start(taken, held)
            case _:
                assert_never(verdict)

    def _take_start(self, taken: Taken, held: HeldDeployment) -> None:
        command = taken.command
        session_id, version = SessionId(command.session_id or 0), held.desired_version
        held = msgspec.structs.replace(held, last_run=command.run or 0, begun_version=version, session=session_id)
        now = self._means.now()
        session = HeldSession(
            session_id=session_id,
            deployment_id=held.deployment_id,
            run=command.run or 0,
            begun_version=version,
            until=taken.taken + (START_DEADLINE if command.within is None else command.within),
            until_machine=taken.machine,
            began_at=now,
            at=now,
        )
        self._means.holdings.keep(held)
        self._means.tell(session)

    def _wish(self, command: contracts.Command, *, kill: bool) -> None:
        held = self._versioned(command)
        newer = held.deployment_version != self._means.holdings.deployment(held.deployment_id).deployment_version
        held = self._adopt(held, command)
        if newer:
            self._supervisor.beside(self._fetch(held.deployment_id))
        self._means.say(
            "deployment",
            "seen",
            contracts.DeploymentSeen(
                deployment_id=held.deployment_id,
                host_id=self._means.journal.host_id,
                desired_version=held.desired_version,
            ),
        )
        if held.desired == "stopped" and (kill or command.grace is not None):
            self._hasten(held, 0.0 if kill else command.grace, kill=kill)

    def _hasten(self, held: HeldDeployment, grace: float | None, *, kill: bool) -> None:
        """Ends what lives within another grace than its config's; kept, so that it also counts for a runner that is to come."""
        for session in self._means.holdings.live_of(held.deployment_id):
            self._means.holdings.keep(msgspec.structs.replace(session, grace=grace))
            runner = self._supervisor.runner(session.session_id)
            if runner is not None:
                runner.end(kill=kill)

    def _adopt(self, held: HeldDeployment, command: contracts.Command) -> HeldDeployment:
        """Takes the command's wish if its version is the highest that was heard."""
        held = held.hearing(wishes.heard(held.wished(None), wish_of(command)))
        self._means.holdings.keep(held)
        return held

    async def _fetch(self, deployment_id: DeploymentId) -> None:
        await self._means.launches.fetch(deployment_id)

    def _refuse(self, command: contracts.Command, reason: str, detail: str) -> None:
        held = self._means.holdings.deployment(DeploymentId(command.deployment_id or 0))
        body = contracts.CommandRefused(
            command_id=command.command_id,
            reason=reason,
            detail=detail,
            host_id=self._means.journal.host_id,
            session_id=command.session_id,
            deployment_id=command.deployment_id,
            desired_version=held.desired_version,
        )
        self._means.say("command", "refused", body)

    # ---- one session --------------------------------------------------------------------------------

    def _end(self, command: contracts.Command) -> None:
        held = self._means.holdings.session(SessionId(command.session_id or 0))
        if held is None or not held.is_live:
            return
        held = msgspec.structs.replace(held, by_end=True)
        self._means.holdings.keep(held)
        runner = self._supervisor.runner(held.session_id)
        if runner is not None:
            runner.end()
        elif not held.machine:
            ending.not_begun(self._means, held)
        else:
            self._means.holdings.keep(msgspec.structs.replace(held, asked=True))
        self._supervisor.keeper(held.deployment_id).wake()

    async def _input(self, taken: Taken) -> None:
        command = taken.command
        is_old = taken.machine != self._means.machine or self._means.monotonic() - taken.taken > INPUT_LIFE
        runner = self._supervisor.runner(SessionId(command.session_id or 0))
        problem = "it came too late" if is_old else "the session has no game here"
        if not is_old and runner is not None:
            if not runner.may_repeat_input:
                self._means.journal.settle(command.command_id)
            problem = await runner.type(command.line or "", command.command_id) or ""
        with self._means.journal.write():
            if problem:
                self._refuse(command, "input_refused", problem)
            self._means.journal.settle(command.command_id)

    # ---- the rest -----------------------------------------------------------------------------------

    def _beside(self, verb: str, command: contracts.Command) -> None:
        match verb:
            case "install":
                self._supervisor.beside(self._install(DeploymentId(command.deployment_id or 0)))
            case "remove":
                self._supervisor.beside(self._supervisor.remove(DeploymentId(command.deployment_id or 0)))
            case _:
                self._supervisor.beside(self._tail(command))

    async def _install(self, deployment_id: DeploymentId) -> None:
        self._supervisor.install(deployment_id, again=self._means.holdings.deployment(deployment_id).install_again)

    async def _tail(self, command: contracts.Command) -> None:
        session_id = SessionId(command.session_id or 0)
        found = await self._means.runtime.inspect(session_id)
        folder = found.folder if found is not None else None
        self._means.lines.tail(session_id, folder, command.from_ or 1, command.limit or MOST_TAIL)

    def _host(self, command: contracts.Command) -> None:
        if command.host_version is not None:
            self._means.journal.keep_fact("host_version", command.host_version)
        if command.draining is not None:
            self._means.journal.keep_fact("draining", command.draining)
        self._means.journal.when_written(self._supervisor.wake_all)


def wish_of(command: contracts.Command) -> wishes.Wish:
    """The wish that a power command carries."""
    return wishes.Wish(
        desired=Desired(command.desired or "running"),
        version=command.desired_version or 0,
        fresh_version=command.fresh_version or 0,
    )
