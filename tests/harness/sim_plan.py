"""What a seed means: how many of what there are, and which faults strike when. A plan with fewer faults is a shrunk one."""

import random
from dataclasses import dataclass

KINDS = {
    "kill_replica": 6,
    "freeze_replica": 4,
    "freeze_leader": 2,
    "kill_agent": 5,
    "freeze_agent": 2,
    "reboot": 2,
    "goodbye": 1,
    "cut_replica": 3,
    "cut_agent": 4,
    "broker_down": 2,
    "database_down": 2,
    "restored_database": 1,
    "lose_reply": 3,
    "lose_confirm": 5,
    "purge": 1,
    "lose_commands": 3,
    "doubles": 2,
    "slow_database": 2,
    "api_away": 1,
    "reorders": 1,
    "restore": 1,
    "twin": 1,
    "start_at_restart": 2,
    "move": 1,
    "full_subscriber": 1,
    "repartition": 2,
}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at a moment, for a while; `which` picks whom it meets."""

    at: float
    kind: str
    which: int
    span: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a seed means. `faults` may be fewer than drawn: that is how a failing seed is shrunk.

    `agrees_within`: seconds after which the rows must say what the machines say, once all is healed."""

    seed: int
    minutes: float = 10
    rest: float = 150
    hosts: int = 3
    deployments: int = 2
    replicas: int = 2
    readers: int = 2
    asks_every: float = 6.0
    agrees_within: float = 15.0
    faults: tuple[Fault, ...] = ()


def plan_of(seed: int, *, minutes: float = 10, kinds: dict[str, int] | None = None, count: int | None = None) -> Plan:
    """The plan that a seed draws, of these kinds of faults (all, unless given) by their weights."""
    chance = random.Random(f"plan {seed}")
    weights = kinds or KINDS
    drawn = chance.randint(5, 40)
    kinds_ = chance.choices(list(weights), list(weights.values()), k=count or drawn)
    faults = [
        Fault(
            round(chance.uniform(10, minutes * 60), 3),
            kind,
            chance.randrange(1000),
            round(chance.expovariate(1 / 12), 3),
        )
        for kind in kinds_
    ]
    return Plan(
        seed=seed,
        minutes=minutes,
        hosts=chance.randint(1, 4),
        deployments=chance.randint(1, 3),
        replicas=chance.randint(1, 3),
        faults=tuple(sorted(faults, key=lambda f: f.at)),
    )
