"""The wrapper as a program: `python -I -S -B …/manman/wrapper [--detach] FOLDER`, by its folder and without site-packages."""

import os
import sys

if __name__ == "__main__":
    # At the end, and only to find `manman.wrapper`: the standard library cannot be shadowed.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from manman.wrapper.main import main

    sys.exit(main(sys.argv[1:]))
