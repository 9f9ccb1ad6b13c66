"""`make sim SEEDS=1000`: many seeds, each on a database of its own, as many at once as there are cores.

Prints how far it is; a seed that fails is printed with what it broke, shrunk to fewer faults, and ends the run with 1.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import shared, sim_run, sim_server

from bench import Figure, report


@dataclass
class Count:
    """What was tried, and what came of it."""

    seeds: int = 0
    faults: int = 0
    steps: int = 0
    statements: int = 0
    crashes: int = 0
    messages: int = 0
    accepted: int = 0
    sessions: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, seed: int, one: "Count") -> None:
        """One seed more."""
        for name in ("seeds", "faults", "steps", "statements", "crashes", "messages", "accepted", "sessions"):
            setattr(self, name, getattr(self, name) + getattr(one, name))
        if one.failed:
            self.failed[seed] = one.failed[seed]

    def figures(self, seconds: float) -> list[Figure]:
        """Itself as the page of results shows it."""
        numbers = [
            ("seeds, of ten simulated minutes each", self.seeds, "seeds"),
            ("seeds in which a rule was broken", len(self.failed), "seeds"),
            ("faults", self.faults, ""),
            ("crashes of processes", self.crashes, ""),
            ("steps", self.steps, ""),
            ("statements", self.statements, ""),
            ("messages", self.messages, ""),
            ("accepted power commands", self.accepted, ""),
            ("sessions", self.sessions, ""),
            ("it took", round(seconds / 60, 1), "min"),
        ]
        failed = {"seeds in which a rule was broken": ("none", not self.failed)}
        return [
            Figure(
                what=what,
                amount=amount,
                unit=unit,
                target=failed.get(what, ("", None))[0],
                met=failed.get(what, ("", None))[1],
            )
            for what, amount, unit in numbers
        ]


def try_plan(plan: sim_run.Plan) -> Count:
    """One plan on a fresh database."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with sim_server.database() as url:
        told = sim_run.run(plan, url)
    return Count(
        seeds=1,
        faults=told.faults,
        steps=told.turns,
        statements=told.statements,
        crashes=told.crashes,
        messages=told.messages,
        accepted=len(told.history.accepted),
        sessions=len(told.history.sessions),
        failed={plan.seed: told.violations} if told.violations else {},
    )


def try_seed(seed: int) -> tuple[int, Count]:
    """One seed; what even ends the run by an error is a failure like the others."""
    try:
        return seed, try_plan(sim_run.plan_of(seed))
    except Exception as error:
        return seed, Count(seeds=1, failed={seed: [f"0: {type(error).__name__}: {error}"]})


def shrink(seed: int) -> None:
    """Print the fewest faults with which a seed still fails, as a plan to be kept among the regressions."""
    print(f"seed {seed}: looking for fewer faults …", flush=True)
    plan = sim_run.shrink(sim_run.plan_of(seed), lambda fewer: bool(try_plan(fewer).failed))
    print(f"  {plan!r}")
    for said in try_plan(plan).failed.get(seed, []):
        print(f"  {said}", flush=True)


def run(seeds: Iterable[int], workers: int, enough: Callable[[], bool]) -> Count:
    """Try them all, or until it is enough."""
    count, begin, left = Count(), time.monotonic(), iter(seeds)
    with ProcessPoolExecutor(workers) as pool:
        under_way: set[Future[tuple[int, Count]]] = set()
        while True:
            fresh = [] if enough() else list(islice(left, workers - len(under_way)))
            under_way |= {pool.submit(try_seed, seed) for seed in fresh}
            if not under_way:
                return count
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for seed, one in [work.result() for work in done]:
                count.add(seed, one)
                if one.failed:
                    print(f"seed {seed} breaks:", *one.failed[seed], sep="\n  ", flush=True)
                if count.seeds % 10 == 0:
                    spent = time.monotonic() - begin
                    print(f"{count.seeds} seeds, {len(count.failed)} failed, {spent:.0f} s", flush=True)


def main(words: list[str]) -> int:
    """Run what was asked for; 1 when a seed failed."""
    asked = argparse.ArgumentParser(prog="make sim", description=__doc__)
    asked.add_argument("seeds", nargs="?", default="50", help="how many, from 1; or =SEED for a single one")
    asked.add_argument("--first", type=int, default=1, help="the first seed")
    asked.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    asked.add_argument("--minutes", type=float, default=1e9, help="begin no further seed after so many minutes")
    asked.add_argument("--keep", action="store_true", help="write the figures into bench/RESULTS.md")
    said = asked.parse_args(words)
    single = said.seeds.startswith("=")
    seeds = [int(said.seeds[1:])] if single else range(said.first, said.first + int(said.seeds))
    home, begin = shared.begin(), time.monotonic()
    try:
        count = run(seeds, said.workers, lambda: time.monotonic() - begin > said.minutes * 60)
        print(
            f"{count.seeds} seeds, {len(count.failed)} failed: {count.steps} steps, {count.crashes} crashes, {count.messages} messages"
        )
        if said.keep:
            command = f"make sim SEEDS={count.seeds}"
            report.keep(report.SIMULATION, count.figures(time.monotonic() - begin), None, command)
            report.write()
        if count.failed:
            shrink(min(count.failed))
        return 1 if count.failed else 0
    finally:
        if home is not None:
            shared.end(home)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
