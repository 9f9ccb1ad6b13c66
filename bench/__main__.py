"""`python -m bench [NAME…]`: run measurements and print their figures."""

import importlib
import pkgutil
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(wanted: list[str]) -> int:
    """Every measurement, or those named; services that they start end with this process."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from harness import shared

    home = shared.begin()
    try:
        for name in wanted or sorted(
            item.name for item in pkgutil.iter_modules([str(HERE)]) if item.name != "__main__"
        ):
            print(name, flush=True)
            for figure in importlib.import_module(f"bench.{name}").measure():
                print(f"  {figure.amount:>12,.1f} {figure.unit:<14} {figure.what}", flush=True)
    finally:
        if home is not None:
            shared.end(home)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
