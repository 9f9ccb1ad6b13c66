"""A simulated host's agent on the domain's pure rules: one life of it. What survives it is in `sim_machine`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, assert_never

import msgspec

from harness.sim_bus import Bus
from harness.sim_machine import Disk, Entry, Game, Machine
from harness.sim_time import Event, Process, Scheduler
from manman.domain import ranges, restarts, wishes
from manman.domain.ids import DeploymentId, SessionId, uuid7
from manman.domain.restarts import Again, Ending, GaveUp, GiveUp, Nothing
from manman.domain.sessions import Desired
from manman.errors import Malformed, Transient
from manman.events import codec, contracts, envelope, topics, topology
from manman.events.bus import Outcome, Outgoing, QueueLocked
from manman.host.deployments import Due, HeldDeployment
from manman.host.sessions import HeldSession

POLICY = restarts.Policy(delay=timedelta(seconds=2), max_delay=timedelta(seconds=10))
BEAT_EVERY = 3.0
TICK = 0.5
LEASE_AWAITED = 3.0
THRESHOLD = 10.0  # seconds after which a lock is no longer that of its own dead connection
GRACE = timedelta(minutes=5)


@dataclass(eq=False)
class SimAgent:
    """One life of a host's agent. `calm`: games no longer end by themselves (the healed end of a simulation)."""

    machine: Machine
    process: Process
    bus: Bus
    calm: Callable[[], bool]
    api_away: Callable[[], bool]
    beat: int = 0
    may_begin_at: float = 0.0
    news: Event = field(init=False)
    mail: Event = field(init=False)
    tongue: Event = field(init=False)
    fetched: dict[int, float] = field(default_factory=dict)
    leaving: bool = False
    speaks: bool = False
    locked_since: float | None = None
    is_anothers: bool = False

    @property
    def time(self) -> Scheduler:
        return self.process.time

    @property
    def disk(self) -> Disk:
        return self.machine.disk

    @property
    def now(self) -> datetime:
        """The machine's own clock, which may be off."""
        return self.time.at + self.machine.skew

    def start(self) -> None:
        """Open a journal and work."""
        self.news, self.mail, self.tongue = Event(self.time), Event(self.time), Event(self.time)
        disk = self.disk
        self._new_life(disk.boot + 1)
        self.may_begin_at = self.time.now + LEASE_AWAITED
        self.process.spawn("identity", self.identify())
        self.process.spawn("work", self.work())
        self.process.spawn("sender", self.send())
        self.process.spawn("beats", self.beats())
        self.process.spawn("commands", self.commands())

    def _new_life(self, boot: int) -> None:
        self.disk.boot, self.beat = boot, 0
        if self.disk.sequence:
            self.disk.after = self.disk.journal, self.disk.sequence
        self.disk.journal, self.disk.sequence = self.time.bytes(6).hex(), 0
        self.machine.starts.append((self.time.now, boot))
        self.say(
            "host",
            "online",
            contracts.HostOnline(
                host_id=self.machine.host_id, boot=boot, agent_version="sim", lease=list(self.disk.lease)
            ),
        )

    # ---- whether it may speak: only an exclusive queue is a lock

    async def identify(self) -> None:
        """Take the queue of its name; while another connection has it, say nothing, and try again each second."""
        while not self.speaks:
            try:
                await self.bus.declare(topology.agent(self.machine.host_id))
                self.speaks, self.locked_since = True, None
                self.machine.has_the_name(self.time.now, self.disk.boot)
                self.tongue.notify()
            except QueueLocked:
                self.locked_since = self.time.now if self.locked_since is None else self.locked_since
                self.is_anothers = self.time.now - self.locked_since >= THRESHOLD
                await self.time.sleep(1.0)
            except Transient:
                await self.time.sleep(1.0)

    async def may_speak(self) -> None:
        """Wait for its name."""
        while not self.speaks:
            await self.time.wait(self.tongue, 5.0)

    @property
    def is_locked_out(self) -> bool:
        """Whether another agent may have this identity: that one begins what is to begin."""
        is_locked = self.locked_since is not None and (self.is_anothers or self.bus.connected)
        is_elsewhere = self.disk.home not in (None, self.machine.mark)
        return is_locked or is_elsewhere or isinstance(self.bus.trouble, QueueLocked)

    def _may_begin(self) -> bool:
        return self.time.now >= self.may_begin_at and not self.is_locked_out

    # ---- what it says

    def say(self, noun: str, word: str, body: contracts.Body) -> None:
        """One journal entry."""
        disk, host = self.disk, self.machine.host_id
        disk.sequence += 1
        event = envelope.attributes(
            id=str(uuid7(self.time.at, self.time.bytes)),
            source=envelope.journal_source(host, disk.journal),
            type=f"manman.status.{noun}.{word}",
            time=self.now,
            sequence=disk.sequence,
            after=disk.after if disk.sequence == 1 else None,
        )
        headers = envelope.to_headers(event) | {envelope.HOST: str(host)}
        message = Outgoing(
            exchange=topics.INTERNAL,
            key=topics.status(noun, word, host),
            body=codec.encode_body(body),
            headers=headers,
            message_id=event.id,
        )
        self.machine.events[event.id] = disk.sequence
        disk.waiting.append(Entry(disk.journal, disk.sequence, message))
        self.mail.notify()

    def tell(self, session: HeldSession, **more: Any) -> None:
        """Write a session and say where it is."""
        self.disk.sessions[session.session_id] = session
        held = self.held(session.deployment_id)
        own = session.status == "pending" and session.leased
        body = contracts.SessionStatus(
            session_id=session.session_id,
            deployment_id=session.deployment_id,
            host_id=self.machine.host_id,
            exit_code=session.exit_code,
            reason=session.reason,
            desired_version=held.desired_version,
            run=session.run if own else None,
            begun_version=session.begun_version if own else None,
            previous_session_id=session.previous if own else None,
            cause=session.cause if own else None,
            **more,
        )
        self.say("session", session.status, body)

    def report(self, command_id: str | None = None) -> None:
        body = contracts.HostReport(
            host_id=self.machine.host_id,
            command_id=command_id,
            boot=self.disk.boot,
            sessions=[s.said() for _, s in sorted(self.disk.sessions.items())],
            deployments=[d.said() for _, d in sorted(self.disk.deployments.items())],
            lease=list(self.disk.lease),
        )
        self.say("host", "report", body)

    async def send(self) -> None:
        """Entries in order, deleted after their confirm; from the first unconfirmed one again after trouble."""
        await self.may_speak()
        while True:
            if not self.disk.waiting:
                await self.time.wait(self.mail, 5.0)
                continue
            batch = self.resent(self.disk.waiting)[: self.time.chance.randint(1, 20)]
            try:
                outcomes = await self.bus.publish([entry.message for entry in batch])
            except Transient:
                await self.time.sleep(self.time.chance.uniform(0.1, 2.0))
                continue
            for entry, outcome in zip(batch, outcomes, strict=True):
                if outcome is not Outcome.CONFIRMED:
                    break
                self.disk.waiting.remove(entry)
                self.machine.confirmed.setdefault(entry.journal, set()).add(entry.sequence)

    def resent(self, waiting: list[Entry]) -> list[Entry]:
        """In which order entries go out: as they were written."""
        return waiting

    async def beats(self) -> None:
        await self.may_speak()
        while not self.leaving:
            await self.time.sleep(BEAT_EVERY)
            live = [s for s in self.disk.sessions.values() if s.is_live]
            xor = 0
            for session in live:
                xor ^= session.session_id
            self.beat += 1
            body = contracts.Heartbeat(
                host_id=self.machine.host_id,
                boot=self.disk.boot,
                beat=self.beat,
                journal_id=self.disk.journal,
                sequence=self.disk.sequence,
                live=contracts.Live(count=len(live), xor=xor),
            )
            key = topics.heartbeat(self.machine.host_id)
            try:
                await self.bus.publish(
                    [Outgoing(exchange=topics.INTERNAL, key=key, body=codec.encode_body(body),
                              headers={envelope.HOST: str(self.machine.host_id)}, perishable=True)]
                )  # fmt: skip
            except Transient:
                continue

    async def goodbye(self) -> None:
        """Say that the agent goes; games run on."""
        self.leaving = True
        self.machine.goodbyes.append((self.time.now, self.disk.boot))
        self.say("host", "offline", contracts.HostOffline(host_id=self.machine.host_id, boot=self.disk.boot))

    # ---- what it is told

    async def commands(self) -> None:
        """Journalled, then acked; idempotent by their id."""
        host = self.machine.host_id
        await self.may_speak()
        while True:
            try:
                async with self.bus.consume(topics.host_commands(host), 50) as consumer:
                    while True:
                        for delivery in await consumer.get_batch(50, wait=timedelta(seconds=5)):
                            try:
                                message = codec.decode(delivery.key, delivery.headers, delivery.body)
                            except Malformed as error:
                                self.time.failures.append(f"command {delivery.key} cannot be read: {error}")
                                continue
                            self.take(message.key.word, message.body)  # type: ignore[arg-type]
                            await consumer.ack(delivery)
            except Transient:
                await self.time.sleep(self.time.chance.uniform(0.5, 1.5))

    def take(self, verb: str, command: contracts.Command) -> None:
        if command.command_id in self.disk.taken:
            return
        self.disk.taken.add(command.command_id)
        match verb:
            case "start":
                self._start(command)
            case "stop" | "restart" | "wish" | "kill":
                self._wish(command)
            case "remove":
                self._remove(command)
            case "end":
                self._end_id(command.session_id or 0)
            case _:
                self._of_the_host(verb, command)
        self.news.notify()

    def _remove(self, command: contracts.Command) -> None:
        held = self.held(command.deployment_id or 0)
        version = max(command.deployment_version or 0, held.deployment_version or 0)
        self.keep(
            msgspec.structs.replace(held, status="removing", desired="stopped", due=None, deployment_version=version)
        )

    def _removed(self, held: HeldDeployment) -> None:
        """Nothing of it lives, and its data is gone."""
        self.keep(msgspec.structs.replace(held, status="removed"))
        body = contracts.DeploymentStatus(
            deployment_id=held.deployment_id,
            host_id=self.machine.host_id,
            status="removed",
            deployment_version=held.deployment_version,
            desired_version=held.desired_version,
        )
        self.say("deployment", "removed", body)

    def _end_id(self, number: int) -> None:
        session = self.disk.sessions.get(number)
        if session is not None and session.is_live:
            self.disk.sessions[number] = msgspec.structs.replace(session, by_end=True, asked=True)

    def _of_the_host(self, verb: str, command: contracts.Command) -> None:
        if verb == "report":
            if command.boot is not None and command.boot > self.disk.boot:
                self._new_life(command.boot + 1)
            self.report(command.command_id)
        elif verb == "lease":
            used = set(self.disk.sessions)
            self.disk.lease = ranges.without(ranges.merged(command.lease or []), sorted(used))
            self.may_begin_at = self.time.now

    def held(self, deployment: int) -> HeldDeployment:
        return self.disk.deployments.get(deployment) or HeldDeployment(deployment_id=DeploymentId(deployment))

    def keep(self, held: HeldDeployment) -> None:
        self.disk.deployments[held.deployment_id] = held

    def live_of(self, deployment: int) -> list[HeldSession]:
        live = [s for s in self.disk.sessions.values() if s.deployment_id == deployment and s.is_live]
        return sorted(live, key=lambda s: (s.run, s.session_id))

    def _start(self, command: contracts.Command) -> None:
        held = self.held(command.deployment_id or 0)
        known = self.disk.sessions.get(command.session_id or 0)
        if known is not None:
            self.tell(known)
            return
        live = self.live_of(held.deployment_id)
        verdict = wishes.judge_start(held.wished(live[-1] if live else None), wish_of(command), command.run or 0)
        held = held.hearing(verdict.held)
        match verdict:
            case wishes.RefuseStart():
                self.keep(held)
                self._refuse(command, verdict.reason, held.desired_version)
            case wishes.TakeStart():
                session_id, version = SessionId(command.session_id or 0), held.desired_version
                self.keep(
                    msgspec.structs.replace(held, last_run=command.run or 0, begun_version=version, session=session_id)
                )
                until = self.time.now + (command.within or 120.0)
                self.machine.deadlines[session_id] = until
                self.tell(
                    HeldSession(
                        session_id=session_id,
                        deployment_id=held.deployment_id,
                        run=command.run or 0,
                        begun_version=version,
                        until=until,
                        until_machine=str(self.machine.boots),
                        at=self.now,
                    )
                )
            case _:
                assert_never(verdict)

    def _refuse(self, command: contracts.Command, reason: str, version: int) -> None:
        body = contracts.CommandRefused(
            command_id=command.command_id,
            reason=reason,
            host_id=self.machine.host_id,
            session_id=command.session_id,
            deployment_id=command.deployment_id,
            desired_version=version,
        )
        self.say("command", "refused", body)

    def _wish(self, command: contracts.Command) -> None:
        held = self.held(command.deployment_id or 0)
        held = held.hearing(wishes.heard(held.wished(None), wish_of(command)))
        self.keep(held)
        body = contracts.DeploymentSeen(
            deployment_id=held.deployment_id, host_id=self.machine.host_id, desired_version=held.desired_version
        )
        self.say("deployment", "seen", body)

    # ---- what it does

    async def work(self) -> None:
        """Make the machine agree with the wishes, step after step."""
        while True:
            self.machine.look(self.time.now)
            for deployment in sorted(self.disk.deployments):
                self.step(deployment)
            self._tidy()
            await self.time.wait(self.news, TICK)

    def _tidy(self) -> None:
        """Forget what ended long ago, once everything was sent."""
        if self.disk.waiting:
            return
        for number, session in list(self.disk.sessions.items()):
            if not session.is_live and session.at is not None and self.now - session.at > GRACE:
                del self.disk.sessions[number]

    def step(self, deployment: int) -> None:
        for session in self.live_of(deployment):
            self._follow(session)
        held, live = self.held(deployment), self.live_of(deployment)
        ending = [s for s in live if self._must_end(held, s)]
        for session in ending:
            self._end(session)
        if ending:
            return
        if live:
            self._begin_asked(held, live[-1])
        elif held.status == "removing":
            self._removed(held)
        elif held.status != "removed":
            self._begin_own(held)

    def _must_end(self, held: HeldDeployment, session: HeldSession) -> bool:
        if session.asked or session.session_id != held.session:
            return True
        return isinstance(wishes.agree(held.wished(session)), wishes.EndLive)

    def _follow(self, session: HeldSession) -> None:
        """What its game did."""
        if not session.machine:
            return
        game = self.machine.games.get(session.session_id)
        if game is None or session.machine != str(self.machine.boots):
            lost = session.machine != str(self.machine.boots)
            reason = "host_restarted" if lost else "unknown"
            self._over(
                msgspec.structs.replace(session, reason=reason), "crashed", Ending.CARRIED if lost else Ending.CRASHED
            )
            return
        if game.ended is not None:
            self._ended(session, game)
        elif session.status == "starting" and self.time.now >= game.ready:
            self.tell(msgspec.structs.replace(session, status="running", at=self.now, ready_at=self.now))

    def _ended(self, session: HeldSession, game: Game) -> None:
        over = msgspec.structs.replace(session, exit_code=1 if game.why == "crash" else 0, reason="exited")
        if session.asked:
            self._over(over, "stopped", Ending.ASKED)
        elif game.why == "expected" and session.ready_at is not None:
            self._over(over, "stopped", Ending.EXPECTED)
        else:
            self._over(over, "crashed", Ending.CRASHED)

    def _over(self, session: HeldSession, word: contracts.SessionWord, ending: Ending) -> None:
        """The legal steps to the end, and what follows it, in one write."""
        before = self.held(session.deployment_id)
        after = self._after_end(session, ending)
        self.keep(after)
        if word == "stopped" and session.status != "stopping":
            middle = msgspec.structs.replace(session, status="stopping", exit_code=None, reason=None, at=self.now)
            self.tell(middle)
        self.tell(msgspec.structs.replace(session, status=word, at=self.now))
        if after.gave_up is not None and after.gave_up != before.gave_up:
            self._gave_up(after)

    def _give_up_start(self, held: HeldDeployment) -> None:
        if held.begun_version < held.desired_version:
            self.keep(held)
            return
        held = msgspec.structs.replace(held, due=None, gave_up=GaveUp.START_TIMEOUT.value)
        self.keep(held)
        self._gave_up(held)

    def _gave_up(self, held: HeldDeployment) -> None:
        body = contracts.DeploymentStatus(
            deployment_id=held.deployment_id,
            host_id=self.machine.host_id,
            reason=held.gave_up,
            deployment_version=held.deployment_version,
            desired_version=held.desired_version,
        )
        self.say("deployment", "gave_up", body)

    def _after_end(self, session: HeldSession, ending: Ending) -> HeldDeployment:
        held = self.held(session.deployment_id)
        if session.by_end:
            begun = min(held.begun_version, max(0, held.desired_version - 1))
            return msgspec.structs.replace(held, begun_version=begun)
        if held.session != session.session_id or held.begun_version < held.desired_version:
            return held
        ran = self.now - session.ready_at if session.ready_at is not None else timedelta(0)
        follows = restarts.next_after(
            POLICY, ending, wanted=held.desired == "running", ran_for=ran, restarts=held.restarts, now=self.now
        )
        match follows:
            case Nothing():
                return held
            case GiveUp(reason):
                return msgspec.structs.replace(held, due=None, gave_up=reason.value)
            case Again(after=after, attempt=attempt, of=of):
                policy = ending is not Ending.CARRIED
                at = self.now + after
                due = Due(at=at, cause="restart_policy" if policy else "host_boot", previous=session.session_id,
                          attempt=attempt, of=of)  # fmt: skip
                kept = [*held.restarts, at] if policy else held.restarts
                return msgspec.structs.replace(held, due=due, gave_up=None, restarts=kept)
            case _:
                assert_never(follows)

    def _end(self, session: HeldSession) -> None:
        # One that has not begun has no game, whatever its id was used for before.
        game = self.machine.games.get(session.session_id) if session.machine else None
        if game is None:
            self._over(msgspec.structs.replace(session, asked=True, reason="superseded"), "stopped", Ending.ASKED)
            self.news.notify()
            return
        if game.ended is not None or game.stop_at is not None:
            return
        newer = self.held(session.deployment_id).session != session.session_id
        word = "end" if session.by_end else "start" if newer else "wish"
        self.machine.ends.append((self.time.now, session.session_id, word))
        game.stop_at = self.time.now + self.time.chance.uniform(0.1, 4.0)
        asked = msgspec.structs.replace(session, asked=True, at=self.now)
        self.tell(msgspec.structs.replace(asked, status="stopping"))

    def _begin_asked(self, held: HeldDeployment, session: HeldSession) -> None:
        if session.machine:
            return
        if session.leased:
            if self._may_begin():
                self._launch(session)
            return
        left = 0.0
        if session.until is not None and session.until_machine == str(self.machine.boots):
            left = session.until - self.time.now
        if left <= 0:
            del self.disk.sessions[session.session_id]
            self._give_up_start(msgspec.structs.replace(held, session=None))
            return
        due = self.fetched.setdefault(session.session_id, self.time.now + self._fetching())
        if self.time.now >= due:
            self._launch(session)

    def _fetching(self) -> float:
        """How long the launch takes from the API."""
        if self.api_away():
            return self.time.chance.uniform(20, 200)
        return self.time.chance.uniform(0, 2)

    def _launch(self, session: HeldSession) -> None:
        if self.machine.live(session.deployment_id):
            return
        now, chance = self.time.now, self.time.chance
        ready = now + chance.uniform(0.2, 5)
        how = chance.choice(["crash", "crash", "expected"])
        ends = 1e12 if self.calm() or chance.random() < 0.5 else ready + chance.expovariate(1 / 60)
        if chance.random() < 0.05 and not self.calm():
            ends = now + chance.uniform(0, 4)
        if session.session_id in self.machine.games:
            self.machine.reused.append(session.session_id)
        wished = self.held(session.deployment_id).desired
        self.machine.games[session.session_id] = Game(
            session.session_id, session.deployment_id, now, ready, ends, how, wished
        )
        self.tell(msgspec.structs.replace(session, status="starting", machine=str(self.machine.boots), at=self.now))

    def _begin_own(self, held: HeldDeployment) -> None:
        if held.desired != "running" or self.leaving or not self._may_begin():
            return
        agreed = wishes.agree(held.wished(None))
        cause, previous = None, held.session
        if isinstance(agreed, wishes.Begin):
            cause = agreed.cause.value if held.session is not None else "wish"
        elif held.due is not None and self.now >= held.due.at:
            cause, previous = held.due.cause, held.due.previous
        found = ranges.take(self.disk.lease)
        if cause is None or found is None:
            return
        number, self.disk.lease = SessionId(found[0]), found[1]
        session = HeldSession(
            session_id=number,
            deployment_id=held.deployment_id,
            run=held.last_run + 1,
            begun_version=held.desired_version,
            leased=True,
            previous=previous,
            cause=cause,
            at=self.now,
        )
        self.keep(
            msgspec.structs.replace(
                held, last_run=session.run, begun_version=held.desired_version, session=number, due=None, gave_up=None
            )
        )
        self.tell(session)
        self.news.notify()


def wish_of(command: contracts.Command) -> wishes.Wish:
    """The wish that a power command carries."""
    return wishes.Wish(
        desired=Desired(command.desired or "running"),
        version=command.desired_version or 0,
        fresh_version=command.fresh_version or 0,
    )


__all__ = ["POLICY", "SimAgent", "wish_of"]
