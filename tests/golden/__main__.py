"""``python -m tests.golden``: show how the text views differ from the golden files; with ``--write`` renew them."""

from __future__ import annotations

import argparse
import difflib
import sys

from tests.golden import TRACES, golden, rendered
from tests.real import NO_REAL_TRACES, real_trace_folder


def main() -> int:
    """0: nothing differs, or the files were renewed; 1: something differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help="renew the golden files")
    write = parser.parse_args().write
    folder = real_trace_folder()
    if folder is None:
        sys.stderr.write(NO_REAL_TRACES + "\n")
        return 2
    differs = False
    for name in TRACES:
        path, found = golden(name), rendered(name, folder)
        known = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = difflib.unified_diff(known.splitlines(), found.splitlines(), f"{name}.txt", "now", lineterm="")
        sys.stdout.writelines(f"{line}\n" for line in lines)
        differs |= known != found
        if write:
            path.write_text(found, encoding="utf-8", newline="\n")
    return int(differs and not write)


if __name__ == "__main__":
    sys.exit(main())
