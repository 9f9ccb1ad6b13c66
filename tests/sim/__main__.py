"""`make sim SEEDS=1000`: many seeds, each on a database of its own, as many at once as there are cores.

Prints how far it is; a seed that fails is printed with what it broke, shrunk to fewer faults, and ends the run with 1.
"""

import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conftest import fresh_database
from harness import shared, sim_run
from harness.templates import template

MAJOR = 15


def try_plan(plan: sim_run.Plan) -> tuple[list[str], int, int, int]:
    """One plan on a fresh database: violations, turns, crashes, messages."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with fresh_database(MAJOR, template(MAJOR)) as url:
        told = sim_run.run(plan, url)
    return told.violations, told.turns, told.crashes, told.messages


def try_seed(seed: int) -> tuple[int, list[str], int, int, int]:
    """One seed."""
    return seed, *try_plan(sim_run.plan_of(seed))


def shrink(seed: int) -> None:
    """Print the fewest faults with which a seed still fails."""
    print(f"seed {seed}: looking for fewer faults …", flush=True)
    plan = sim_run.shrink(sim_run.plan_of(seed), lambda fewer: bool(try_plan(fewer)[0]))
    for fault in plan.faults:
        print(f"  {fault.at:8.3f} s  {fault.kind} {fault.which} for {fault.span} s")
    for said in try_plan(plan)[0]:
        print(f"  {said}")


def run(seeds: Iterable[int]) -> int:
    """Try them all; how many failed."""
    wanted = list(seeds)
    failed, counts, begin = [], [0, 0, 0], time.monotonic()
    with ProcessPoolExecutor(os.cpu_count() or 2) as workers:
        for done, work in enumerate(as_completed([workers.submit(try_seed, seed) for seed in wanted]), 1):
            seed, violations, *more = work.result()
            counts = [a + b for a, b in zip(counts, more, strict=True)]
            if violations:
                failed.append(seed)
                print(f"seed {seed} breaks:", *violations, sep="\n  ", flush=True)
            if done % 10 == 0 or done == len(wanted):
                print(
                    f"{done} of {len(wanted)} seeds, {len(failed)} failed, {time.monotonic() - begin:.0f} s", flush=True
                )
    print(f"{counts[0]} steps, {counts[1]} crashes, {counts[2]} messages", flush=True)
    if failed:
        shrink(min(failed))
    return len(failed)


def main(words: list[str]) -> int:
    """`[COUNT]` seeds from 1, or `=SEED` for a single one."""
    said = words[0] if words else "50"
    seeds = [int(said[1:])] if said.startswith("=") else range(1, int(said) + 1)
    home = shared.begin()
    try:
        shared.service(f"postgres{MAJOR}")
        template(MAJOR)
        return 1 if run(seeds) else 0
    finally:
        if home is not None:
            shared.end(home)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
