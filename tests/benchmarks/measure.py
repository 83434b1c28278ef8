"""Run Python code in a fresh process and say what it cost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Printed by the child at its end: CPU seconds of the whole process and its peak resident memory in bytes (Linux).
REPORT = """
import json, time
try:  # not ru_maxrss: on Linux a child inherits that of the process that started it
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    peak = None
print(json.dumps([time.process_time(), peak]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds (user and system, start-up included) and peak memory of one process."""

    cpu_s: float
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    value: str


def cost(code: str, *arguments: str) -> Cost:
    """Run ``code`` with ``arguments`` in a fresh interpreter, in the checkout's root."""
    command = [sys.executable, "-c", code + REPORT, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Cost(*json.loads(done.stdout.splitlines()[-1]))
