"""``python -m tests.scripts.plain SCRIPT…``: run scripts in turn in one process, as ``many`` does with us."""

import runpy
import sys


def main() -> None:
    """Run each script given on the command line."""
    for path in sys.argv[1:]:
        sys.argv = [path]
        runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
