"""Protections that are switched off in real processes, and a short run that makes it matter: the checker must turn red.

`off` is what the processor's program is told, `agents` how hosts behave; `provoke` does what is needed, while sessions come and go.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from harness.real_agent import file_of, load

from faults.house import House
from faults.nemesis import Nemesis
from faults.plan import Fault, Plan
from faults.services import aside

Provoke = Callable[[House, Nemesis], Awaitable[None]]


@dataclass(frozen=True)
class Mutation:
    """`more` are fields of the plan; `patience` is how long rest is waited for where there will be none."""

    provoke: Provoke
    off: tuple[str, ...] = ()
    agents: str = "sound"
    with_it: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    patience: float = 12.0

    def plan(self, *, on: bool = False) -> Plan:
        """`on`: the same run with the protection as it is; what goes with it (`with_it`) is off all the same."""
        base: dict[str, Any] = {"seed": 1, "seconds": 8.0, "hosts": 1, "deployments": 2, "replicas": 1} | self.more
        processor = dict(base.pop("processor", {}))
        processor["off"] = list(self.with_it if on else self.off)
        patience = 60.0 if on else self.patience
        return Plan(**base, agents="sound" if on else self.agents, processor=processor, patience=patience)


async def busy(house: House, seconds: float, every: float = 0.4) -> None:
    """Sessions come and go."""
    until = house.now + seconds
    verbs = ("start", "restart", "start", "restart", "stop")
    turn = 0
    while house.now < until:
        await house.ask(verbs[turn % len(verbs)], turn)
        turn += 1
        await asyncio.sleep(every)


async def doubled(house: House, nemesis: Nemesis) -> None:
    house.controls.write(doubles=0.9)
    await busy(house, 6)


async def overtaken(house: House, nemesis: Nemesis) -> None:
    """The first of several entries comes after those that follow it."""
    house.reordered = True
    house.controls.write(reorders=0.9)
    await busy(house, 8, every=0.2)


async def killed_after_commits(house: House, nemesis: Nemesis) -> None:
    for _ in range(3):
        await house.ask("start", 0)
        await asyncio.sleep(1.0)
        await house.ask("restart", 0)
        await _until_moved(house)
        house.processors[0].kill()
        house.start_processor(house.processors[0])
        await asyncio.sleep(1.5)


async def _until_moved(house: House) -> None:
    """Until a row of this second's history is committed."""

    async def there() -> bool:
        query = "SELECT EXISTS (SELECT FROM session_history WHERE cause = 'host' AND recorded_at > clock() - interval '0.6 s')"
        found: bool = await house.monitor.fetchval(query)
        return found

    await house.until("a session moved", there)


async def two_at_once(house: House, nemesis: Nemesis) -> None:
    """A replica is in a long transaction when its way to the broker is cut, and another one gets the same messages."""
    for _ in range(3):
        await house.ask("start", 0)
        await house.ask("restart", 0)
        await asyncio.sleep(0.8)
        for child in house.processors:
            child.broker.cut()
            await asyncio.sleep(0.3)
            child.broker.heal()
        await asyncio.sleep(2.0)


async def broker_dies(house: House, nemesis: Nemesis) -> None:
    """The broker is killed in a burst."""
    for _ in range(2):
        await busy(house, 1.5, every=0.1)
        await aside(house.services.rabbitmq.kill)
        asking = asyncio.ensure_future(busy(house, 4, every=0.3))
        await asyncio.sleep(2)
        await aside(house.services.rabbitmq.start)
        await asking


async def silence(house: House, nemesis: Nemesis) -> None:
    """Nobody can hear for longer than the threshold, through no fault of any host."""
    await house.ask("start", 0)
    await asyncio.sleep(1)
    await aside(house.services.rabbitmq.stop)
    await asyncio.sleep(house.plan.threshold + 4)
    await aside(house.services.rabbitmq.start)


async def lost_commands(house: House, nemesis: Nemesis) -> None:
    """Commands never reach their host: somebody empties its queue while its agent is away."""
    await house.ask("start", 0)
    await asyncio.sleep(3)
    nemesis._end_agent(house.hosts[0], 3.0)
    await house.ask("stop", 0)
    await house.ask("start", 1)
    await asyncio.sleep(2)
    await nemesis.purge(Fault(at=0, kind="purge"))
    await asyncio.sleep(3)


async def handed_over(house: House, nemesis: Nemesis) -> None:
    """A long queue changes hands again and again, with messages in flight."""
    for turn in range(4):
        await busy(house, 2.5, every=0.15)
        child = house.processors[turn % 2]
        child.signal(signal.SIGTERM)
        await child.died()
        house.start_processor(child)


async def too_late(house: House, nemesis: Nemesis) -> None:
    """A start's deadline passes before its host has what it needs; later it has."""
    house.controls.write(api_away=1)
    await house.ask("start", 0)
    await asyncio.sleep(1)
    await house.monitor.execute("UPDATE sessions SET deadline_at = clock() WHERE status = 'pending'")
    await asyncio.sleep(8)


SLOW_EVENTS = (
    "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() * 0.6); RETURN new; END $$",
    "CREATE TRIGGER slowly BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slowly()",
)


async def two_relays(house: House, nemesis: Nemesis) -> None:
    """Two leaders at once, while each event takes its time, some more than others."""
    for statement in SLOW_EVENTS:
        await house.monitor.execute(statement)
    await busy(house, 8, every=0.05)
    await house.monitor.execute("DROP TRIGGER slowly ON events")


async def forgotten(house: House, nemesis: Nemesis) -> None:
    """A disk comes back as it was before a stop that its host had seen."""
    await house.ask("start", 0)
    await asyncio.sleep(4)
    house._tasks[1].cancel()  # the disk as it is now is what comes back
    path = file_of(house.folder, house.hosts[0])
    path.with_suffix(".copy").write_bytes(path.read_bytes())
    await house.ask("stop", 0)
    await asyncio.sleep(5)
    assert load(path).disk.boot == 1
    await nemesis.restore(Fault(at=0, kind="restore", span=0.5))
    await asyncio.sleep(4)


async def started_anew(house: House, nemesis: Nemesis) -> None:
    """A game crashes, and while no processor says anything, somebody starts it and its host restarts it: the start comes second."""
    await house.ask("start", 0)
    host, path = house.hosts[0], file_of(house.folder, house.hosts[0])

    async def is_last(status: str) -> bool:
        query = "SELECT status FROM sessions WHERE deployment = $1 ORDER BY id DESC LIMIT 1"
        found: str | None = await house.monitor.fetchval(query, house.deployments[0])
        return found == status

    async def plays_again() -> bool:
        return len(load(path).games) > 1

    await house.until("it runs", lambda: is_last("running"))
    house.controls.write(**{f"crashes-{host}": house.time.now})
    await house.until("it crashed", lambda: is_last("crashed"))
    house.processors[0].signal(signal.SIGSTOP)
    await house.ask("start", 0)
    await house.until("its host restarts it", plays_again)
    house.processors[0].signal(signal.SIGCONT)
    await asyncio.sleep(4)


async def back_unheard(house: House, nemesis: Nemesis) -> None:
    """A disk comes back as it was before a session began, and its host does not hear that it should report."""
    house._tasks[1].cancel()  # the disk as it is now is what comes back
    path = file_of(house.folder, house.hosts[0])
    path.with_suffix(".copy").write_bytes(path.read_bytes())
    await house.ask("start", 0)
    await asyncio.sleep(5)
    house.controls.write(mute=1)
    await nemesis.restore(Fault(at=0, kind="restore", span=0.5))
    await asyncio.sleep(6)
    house.controls.write(mute=0)


ALL: dict[str, Mutation] = {
    "the inbox": Mutation(doubled, ("inbox",)),
    "the inbox is a set": Mutation(overtaken, ("inbox as a set",)),
    "the outbox": Mutation(killed_after_commits, ("outbox",)),
    "the row lock": Mutation(two_at_once, ("row locks",), more={"replicas": 2, "processor": {"slow": 1.0}}),
    "the confirms": Mutation(broker_dies, agents="unconfirmed"),
    "the counter's lock": Mutation(
        two_relays, ("counter's lock",), with_it=("leases",), more={"replicas": 2, "hosts": 2, "deployments": 8}
    ),
    "closing the channel": Mutation(
        handed_over,
        ("closing the channel",),
        more={
            "replicas": 2,
            "deployments": 4,
            "processor": {"slow": 0.15, "broker_settings": {"batch_max": 1}},
            "controls": {"hasty": 1},
        },
    ),
    "the pulse": Mutation(silence, ("pulse",), more={"threshold": 5}),
    "the re-send order": Mutation(broker_dies, agents="shuffled"),
    "the repeated wish": Mutation(lost_commands, ("repeated wish",)),
    "the wish taken back": Mutation(too_late, ("wish taken back",)),
    "the last-said seen_version": Mutation(forgotten, ("last-said seen_version",)),
    "the run numbers": Mutation(started_anew, agents="by version", more={"controls": {"calm": 1}}),
    "the comparison of live ids": Mutation(
        back_unheard,
        ("comparison of live ids", "report that stays due"),
        with_it=("report that stays due",),
        more={"controls": {"calm": 1}},
    ),
}
