"""`python -m bench [--seconds N] [NAME…]`: run measurements, print their figures, write RESULTS.md and results.svg."""

import importlib
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench import PARTS, report

HERE = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Every measurement, or those named; services that they start end with this process."""
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"no measurement is called {unknown[0]!r}; there are: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(HERE.parent / "tests"))
    from harness import shared

    from bench import places

    home = shared.begin()
    with ExitStack() as stack:
        if home is not None:
            stack.callback(shared.end, home)
        for start in (places.start_database, places.start_broker):
            stack.callback(start().stop)
        for name in wanted or PARTS:
            print(name, flush=True)
            before, began = report.others(), time.monotonic()
            figures = importlib.import_module(f"bench.{name}").measure()
            for figure in figures:
                print(f"  {figure.amount:>12,.2f} {figure.unit:<14} {figure.what}", flush=True)
            print(f"  {name} took {time.monotonic() - began:.0f} s", flush=True)
            report.keep(name, figures, before)
            report.write()
    return 0


def words(given: list[str]) -> list[str]:
    """The names that are left when `--seconds N` is taken out of them; it is handed on in the environment."""
    if "--seconds" not in given:
        return given
    at = given.index("--seconds")
    os.environ["BENCH_SECONDS"] = given[at + 1]
    return given[:at] + given[at + 2 :]


if __name__ == "__main__":
    sys.exit(main(words(sys.argv[1:])))
