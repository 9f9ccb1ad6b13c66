"""Which seeds every run tries, and the plans that found something once. `make sim` prints a failing plan to be kept here."""

from harness.sim_plan import Fault, Plan

# Those that break a rule and are not mended yet.
OPEN: frozenset[int] = frozenset()
SEEDS = tuple(seed for seed in range(1, 53) if seed not in OPEN)

# What it found → the plan, shrunk to the faults that mattered.
LEARNED: dict[str, Plan] = {
    "what a restored database had forgotten of partitions was routed on to queues that nobody consumed": Plan(
        seed=331,
        hosts=4,
        deployments=3,
        replicas=1,
        minutes=10,
        asks_every=6.0,
        faults=(
            Fault(233.482, "kill_agent", 625, 19.069),
            Fault(249.09, "repartition", 595, 0.5),
            Fault(411.415, "restored_database", 52, 0.322),
            Fault(485.024, "repartition", 349, 16.299),
        ),
    ),
    "a game was ended because the restored database had forgotten the lease of its id": Plan(
        seed=4,
        hosts=4,
        deployments=1,
        replicas=1,
        minutes=2,
        faults=(
            Fault(21.797, "cut_replica", 183, 7.451),
            Fault(36.965, "restored_database", 218, 26.423),
            Fault(54.091, "lose_reply", 577, 4.387),
        ),
    ),
    "a reader met the old epoch, because only processors asked whether the database was restored": Plan(
        seed=1, hosts=2, deployments=3, replicas=3, minutes=3, faults=(Fault(90.0, "restored_database", 700, 3.0),)
    ),
    "sessions of a host that came back in the batch that ended them were said to be reachable": Plan(
        seed=5,
        hosts=2,
        deployments=3,
        replicas=2,
        minutes=4,
        faults=tuple(
            Fault(20.0 + 30 * n, kind, 7 * n, 14.0) for n, kind in enumerate(["cut_agent", "freeze_agent"] * 3)
        ),
    ),
    "a report that newer messages had overtaken condemned a session, and its game was ended": Plan(
        seed=16,
        hosts=2,
        deployments=2,
        replicas=2,
        minutes=4,
        asks_every=2.0,
        faults=tuple(
            Fault(15.0 + 25 * n, kind, 11 * n, 9.0)
            for n, kind in enumerate(["reorders", "kill_agent", "lose_confirm"] * 3)
        ),
    ),
    "a second start ended the game that its host had begun itself, when the refusal of the first overtook the word of it": Plan(
        seed=1,
        hosts=1,
        deployments=1,
        replicas=2,
        minutes=4,
        asks_every=0.8,
        faults=(Fault(15.0, "reorders", 0, 220.0),),
    ),
    "a host was heard as of when its word was applied, which had waited here for the database longer than the threshold": Plan(
        seed=551,
        minutes=10,
        rest=150,
        hosts=2,
        deployments=2,
        replicas=3,
        faults=(
            Fault(339.507, "move", 732, 5.433),
            Fault(350.453, "slow_database", 108, 2.194),
            Fault(363.591, "doubles", 612, 21.576),
            Fault(403.277, "slow_database", 830, 2.361),
            Fault(404.451, "freeze_replica", 321, 6.067),
            Fault(419.348, "database_down", 898, 13.861),
            Fault(427.888, "reboot", 189, 1.596),
            Fault(435.023, "broker_down", 862, 37.321),
        ),
    ),
}
