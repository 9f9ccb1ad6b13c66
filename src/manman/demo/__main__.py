"""The demo game as a program: `python -m manman.demo`, or `python -I -S -B …/manman/demo`."""

import os
import sys

if __name__ == "__main__":
    # At the end, and only to find `manman.demo` when started by folder: the standard library cannot be shadowed.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from manman.demo.game import main

    sys.exit(main(sys.argv[1:]))
