"""The same events with 1,000 and with 100,000 hosts in the database."""

import asyncio

from bench import REPEATS, Figure, median, progress
from bench.processor import Run, ours
from bench.world import World

SMALL, LARGE = 1_000, 100_000
DEPLOYMENTS = 10_000


def measure() -> list[Figure]:
    """Events a second at both sizes, side by side, and their ratio."""
    pairs = [(one(SMALL), one(LARGE)) for _ in range(REPEATS)]
    ratios = [large.rate / small.rate for small, large in pairs]
    return [
        median(f"{SMALL:,} hosts", [small.rate for small, _ in pairs], "events/s"),
        median(f"{LARGE:,} hosts", [large.rate for _, large in pairs], "events/s"),
        median(f"ratio {LARGE:,} / {SMALL:,} hosts", ratios, "times", at_least=0.8),
        median(f"{LARGE:,} hosts: resident memory at the end", [large.memory for _, large in pairs], "MiB"),
    ]


def one(hosts: int) -> Run:
    """10,000 sessions go their way, each on a deployment of its own."""
    run = asyncio.run(ours(World(hosts=hosts, deployments=DEPLOYMENTS, rounds=1)))
    progress(f"{hosts:,} hosts: {run.rate:,.0f} events/s, {run.memory:.0f} MiB")
    return run
