"""``python -m tests.evidence.benchmarks [NAME…] [--write]``: run the benchmarks, print their tables."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run every ``bench_*.py``, or those named; ``--write`` also keeps the results under ``results/``."""
    known = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.benchmarks", description=main.__doc__)
    parser.add_argument("names", nargs="*", choices=[*known, []], help=f"of {', '.join(known)}; all if none is named")
    parser.add_argument("--write", action="store_true", help="write results/NAME.json as well")
    options = parser.parse_args()
    for name in options.names or known:
        rows = importlib.import_module(f"tests.evidence.benchmarks.bench_{name}").run()
        width = max(len(row.what) for row in rows)
        sys.stdout.write("\n".join([name, *(f"  {row.what:<{width}}  {row.value}" for row in rows)]) + "\n")
        if options.write:
            write(name, [asdict(row) for row in rows])


def write(name: str, rows: list[dict[str, str]]) -> None:
    """Keep the rows of one benchmark, with what they ran on."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    ran_on = {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,  # of others too, at the end
    }
    (folder / f"{name}.json").write_text(json.dumps({"ran_on": ran_on, "rows": rows}, indent=2) + "\n")


def cpu_name() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
