"""Run Python code in a fresh process and say what it cost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from tests import ROOT

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


# Starts a command and reports its CPU time and peak memory, all of it: start-up and end included. A small process of
# its own, because Linux hands a child the peak of the process that started it.
LAUNCHER = """
import json, os, sys
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, used = os.wait4(child, 0)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]))
"""


def process_cost(*command: str, environment: dict[str, str] | None = None) -> Cost | None:
    """CPU seconds and peak memory of a whole process (Linux); None: it failed."""
    launch = [sys.executable, "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launch, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    cpu_s, peak, code = json.loads(done.stdout)
    return None if code else Cost(cpu_s, peak)
