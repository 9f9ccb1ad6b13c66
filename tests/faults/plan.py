"""What a seed means: how many hosts and replicas, and the schedule of faults. The same seed draws the same schedule."""

import random
from dataclasses import dataclass, field
from typing import Any

KINDS = {
    "kill_processor": 6,
    "freeze_processor": 3,
    "freeze_leader": 3,
    "stop_processor": 2,
    "cut_processor_broker": 3,
    "cut_processor_database": 3,
    "hold_processor_broker": 1,
    "hold_processor_database": 1,
    "slow_database": 2,
    "slow_broker": 1,
    "kill_agent": 4,
    "freeze_agent": 2,
    "cut_agent": 3,
    "hold_agent": 1,
    "reboot": 2,
    "goodbye": 1,
    "restore": 1,
    "kill_broker": 2,
    "restart_broker": 1,
    "kill_database": 2,
    "restart_database": 1,
    "freeze_broker": 1,
    "freeze_database": 1,
    "alarm_broker": 1,
    "doubles": 2,
    "reorders": 1,
    "purge": 1,
    "full_subscriber": 1,
    "api_away": 1,
    "start_at_restart": 2,
    "move": 2,
}
REAL = {"kill_game": 2}  # where there are real games
SKEWS = (0.0, 0.0, -3600.0, 3600.0)
COPY_EVERY = 8.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong at a moment (seconds of the run), for a while; `which` picks whom it meets."""

    at: float
    kind: str
    which: int = 0
    span: float = 3.0

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.kind} {self.which} for {self.span:.2f} s"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run. `host_skews` and `replica_skews` are seconds by which clocks are off, in turn. `real_hosts`: how many hosts with the
    product's own agent there are beside `hosts`. `processor` is what every replica's program is told besides where things are, `lives`
    what its first, second, … life is told besides that. `asks` are (moment, verb, index of the deployment), beside those of chance.
    """

    seed: int
    seconds: float = 25.0
    hosts: int = 2
    real_hosts: int = 0
    deployments: int = 2
    replicas: int = 2
    asks_every: float = 0.7
    asks: tuple[tuple[float, str, int], ...] = ()
    faults: tuple[Fault, ...] = ()
    host_skews: tuple[float, ...] = (0.0,)
    replica_skews: tuple[float, ...] = (0.0,)
    agents: str = "sound"
    processor: dict[str, Any] = field(default_factory=dict)
    lives: tuple[dict[str, Any], ...] = ()
    api: dict[str, Any] = field(default_factory=dict)
    controls: dict[str, float] = field(default_factory=dict)
    threshold: int = 10
    patience: float = 120.0

    def text(self) -> str:
        """For people: what is needed to see the same faults again."""
        lines = [
            f"seed {self.seed}: {self.seconds:.0f} s, {self.hosts} + {self.real_hosts} hosts, {self.replicas} replicas"
        ]
        lines += [f"  clocks of hosts off by {self.host_skews} s, of replicas by {self.replica_skews} s"]
        return "\n".join(lines + [f"  {fault}" for fault in self.faults])


def plan_of(
    seed: int,
    *,
    seconds: float = 25.0,
    replicas: int = 2,
    hosts: int = 2,
    real_hosts: int = 0,
    partitions: tuple[int, ...] = (),
) -> Plan:
    """The plan that a seed draws; a longer run has more faults, about one in three seconds. `partitions`: their number at first, and
    what it is changed to over the time of the run."""
    chance = random.Random(f"faults {seed}")
    weights = KINDS | (REAL if real_hosts else {})
    kinds = chance.choices(list(weights), list(weights.values()), k=round(seconds / 3))
    faults = [
        Fault(
            at=round(chance.uniform(2.0, seconds), 2),
            kind=kind,
            which=chance.randrange(1000),
            span=round(min(0.5 + chance.expovariate(1 / 4), 20.0, seconds / 2), 2),
        )
        for kind in kinds
    ]
    faults += [
        Fault(at=round(0.5 + place * seconds / len(partitions), 2), kind="partitions", which=count)
        for place, count in enumerate(partitions)
    ]
    return Plan(
        seed=seed,
        seconds=seconds,
        hosts=hosts,
        real_hosts=real_hosts,
        replicas=replicas,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
        host_skews=tuple(chance.choice(SKEWS) for _ in range(hosts)),
        replica_skews=tuple(chance.choice(SKEWS) for _ in range(replicas)),
    )
