"""`make faults SEEDS=6 SECONDS=180`: long runs, one after the other, with a line for each fault as it happens; then every outage with
ten rounds of restarts, every point of death, and every protection that can be switched off.

A seed that fails prints itself, its schedule, the rules that it broke with their evidence, and where its record is kept; the
command then ends with 1. `SEED=7` runs that one alone, with the same schedule.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import shared

from faults.plan import plan_of
from faults.run import faulty, quiet
from faults.services import Services

ROUNDS = "10"


def main(words: list[str]) -> int:
    """`SEEDS SECONDS [REPLICAS [HOSTS]]`; SEEDS is a count, or `=SEED`."""
    said, seconds = words[0], float(words[1])
    replicas, hosts = (int(words[2]) if len(words) > 2 else 3), (int(words[3]) if len(words) > 3 else 4)
    seeds = [int(said[1:])] if said.startswith("=") else list(range(1, int(said) + 1))
    quiet()
    home = shared.begin()
    failed = try_seeds(seeds, seconds, replicas, hosts)
    others = 0 if said.startswith("=") else try_others()
    if home is not None:
        shared.end(home)
    print(f"{len(seeds) - len(failed)} of {len(seeds)} seeds hold{''.join(f', {s} fails' for s in failed)}", flush=True)
    return 1 if failed or others else 0


def try_others() -> int:
    """All that is no seed; pytest's exit code."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        str(Path(__file__).parent),
        "--deselect",
        "tests/faults/test_seeds.py",
        "-n",
        "2",
    ]
    return subprocess.run(command, env={**os.environ, "FAULTS_ROUNDS": ROUNDS}, check=False).returncode


def try_seeds(seeds: list[int], seconds: float, replicas: int, hosts: int) -> list[int]:
    """Each in turn; which failed."""
    services = Services().open()
    failed = []
    try:
        for seed in seeds:
            plan = plan_of(seed, seconds=seconds, replicas=replicas, hosts=hosts, real_hosts=1, partitions=(4, 6))
            print(plan.text(), flush=True)
            began = time.monotonic()
            told = asyncio.run(faulty(plan, services, lambda said: print(f"  {said}", flush=True)))
            h = told.history
            print(
                f"seed {seed}: {len(told.violations)} violations; {len(h.settled)} messages settled, "
                f"{len(h.session_history)} changes, {len(h.external)} on external, {time.monotonic() - began:.0f} s",
                flush=True,
            )
            if told.violations:
                failed.append(seed)
                print(told.text(plan), flush=True)
    finally:
        services.close()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
